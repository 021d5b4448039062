import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { authorRefusal, completeAuthor } from "../../../../src/server/submission/header/author.ts";
import { senderPolicy } from "../../../../src/server/submission/sender-policy.ts";
import { splitFields } from "../../../../src/smtp/header.ts";

const aliases = new Map([["press@example.org", new Set(["user1", "user2"])]]);
const own = senderPolicy("own", "example.org", aliases);

const allowed = "user1@example.org, press@example.org";
const refused = (field: string, address: string): string =>
  `550 5.7.1 user1 may not send as ${address} in the ${field} field, but as: ${allowed}`;

/** What it shows, the header of user1's message, and the reply; "" where it is let through. */
const headers: readonly (readonly [string, readonly string[], string])[] = [
  ["its own address", ["From: User One <user1@example.org>"], ""],
  ["its own address in other letters", ["FROM: <USER1@Example.Org>"], ""],
  ["its own address in quotes", ['From: "user1"@example.org'], ""],
  ["its own address with a tag", ["From: user1+lists@example.org"], ""],
  ["a role address that it has", ["From: Press <press@example.org>"], ""],
  ["somebody else's address", ["From: user2@example.org"], refused("From", "user2@example.org")],
  ["an address elsewhere", ["From: user1@example.net"], refused("From", "user1@example.net")],
  [
    "somebody else's address behind its own as the name",
    ['From: "user1@example.org" <boss@example.org>'],
    refused("From", "boss@example.org"),
  ],
  [
    "somebody else's address on a folded line",
    ["From: user1@example.org,", " boss@example.org"],
    refused("From", "boss@example.org"),
  ],
  ["somebody else's in a group", ["From: We: boss@example.org;"], refused("From", "boss@example.org")],
  ["a blank before the colon", ["From : boss@example.org"], refused("From", "boss@example.org")],
  [
    "two From fields",
    ["From: user1@example.org", "Subject: x", "from: user1@example.org"],
    "554 5.6.0 The message has 2 From fields, but may have one only",
  ],
  [
    "a From that means two things",
    ["From: boss@example.org <user1@example.org>"],
    "554 5.6.0 *From field cannot*",
  ],
  [
    "a From whose comment has another address in brackets",
    ["From: (<boss@example.org>) user1@example.org"],
    "554 5.6.0 *From field cannot*",
  ],
  ["a From without an address", ["From: User One"], "554 5.6.0 *From field cannot be understood*"],
  ["a From that is empty", ["From:"], "554 5.6.0 *From field cannot be understood*"],
  [
    "a From of many kilobytes",
    [`From: ${"user1@example.org,".repeat(4_000)}`],
    "554 5.6.0 *and may have 65536*",
  ],
  [
    "two of its addresses and no Sender",
    ["From: user1@example.org, press@example.org"],
    "554 5.6.0 *a Sender field must tell who sends it",
  ],
  [
    "two of its addresses and its Sender",
    ["From: user1@example.org, press@example.org", "Sender: user1@example.org"],
    "",
  ],
  [
    "two addresses, of which one is not its own, and its Sender",
    ["From: user1@example.org, user2@example.org", "Sender: user1@example.org"],
    refused("From", "user2@example.org"),
  ],
  ["a group of nobody and no Sender", ["From: Nobody:;"], "554 5.6.0 *a Sender field must tell who sends it"],
  ["a group of nobody and its Sender", ["From: Nobody:;", "Sender: user1@example.org"], ""],
  [
    "somebody else as the Sender",
    ["From: user1@example.org", "Sender: user2@example.org"],
    refused("Sender", "user2@example.org"),
  ],
  [
    "a Sender of two",
    ["From: user1@example.org", "Sender: user1@example.org, press@example.org"],
    "554 5.6.0 The Sender field must name one address, and no more",
  ],
  [
    "two Sender fields",
    ["From: user1@example.org", "Sender: user1@example.org", "Sender: user1@example.org"],
    "554 5.6.0 The message has 2 Sender fields, but may have one only",
  ],
  [
    "its own message sent again, twice",
    [
      "Resent-From: user1@example.org",
      "Resent-From: press@example.org",
      "Resent-Sender: user1@example.org",
      "From: user1@example.org",
    ],
    "",
  ],
  [
    "somebody else's message sent again",
    ["Resent-From: user1@example.org", "From: user2@example.org"],
    refused("From", "user2@example.org"),
  ],
  [
    "a message sent again by somebody else",
    ["Resent-From: user2@example.org", "From: user1@example.org"],
    refused("Resent-From", "user2@example.org"),
  ],
  [
    "a message sent again for somebody else",
    ["Resent-Sender: user2@example.org", "From: user1@example.org"],
    refused("Resent-Sender", "user2@example.org"),
  ],
  ["Reply-To somebody else", ["From: user1@example.org", "Reply-To: user2@example.org"], ""],
];

describe("a message from user1", () => {
  it.each(headers)("with %s", (_, lines, expected) => {
    const header = lines.map((line) => `${line}\r\n`).join("");
    const objection = authorRefusal(splitFields(header), "user1", own);
    const said = objection ? `${objection.code} ${objection.status} ${objection.text}` : "";
    if (expected.includes("*")) {
      for (const part of expected.split("*")) expect(said).toContain(part);
    } else {
      expect(said).toBe(expected);
    }
  });

  it("may name anybody of the domain, or anybody at all, where the policy says so", () => {
    const from = splitFields("From: user2@example.org\r\n");
    const outside = splitFields("From: user2@example.net\r\n");
    expect(authorRefusal(from, "user1", senderPolicy("domain", "example.org", aliases))).toBeUndefined();
    expect(authorRefusal(outside, "user1", senderPolicy("domain", "example.org", aliases))?.code).toBe(550);
    expect(authorRefusal(outside, "user1", senderPolicy("any", "example.org", aliases))).toBeUndefined();
  });

  it("needs a field that can be understood even where anybody may be named", () => {
    const broken = splitFields("From: user1\r\n");
    expect(authorRefusal(broken, "user1", senderPolicy("any", "example.org", aliases))?.code).toBe(554);
  });
});

describe("withAuthor()", () => {
  const submitter = { login: "user1", sender: "user1@example.org", smtputf8: false };
  const piece = fc.constantFrom(
    ..."user1 root boss @ @localhost @example.org @(none) < > ( ) : ; , . =?".split(" "),
    '"',
    " ",
    "boss@example.org",
    "=?utf-8?Q?=3Cboss=40example.org=3E?=",
  );

  it("changes only what would be refused, and only to what is let through", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const fields = splitFields(`From: ${pieces.join("")}\r\n`);
        const { fields: completed } = completeAuthor(fields, submitter, own);
        const raw = completed.map((field) => field.raw).join("");
        if (raw === fields.map((field) => field.raw).join("")) return;
        expect(authorRefusal(fields, "user1", own)).toBeDefined();
        expect(raw).toMatch(/^From: (?:.* )?<?user1@example\.org>?\r\n$/);
        // What a name hides is still looked for: a completed field may be refused, but names nobody else.
        expect(authorRefusal(completed, "user1", own)?.code ?? 554).toBe(554);
      }),
      { numRuns: 3_000 },
    );
  });

  it("takes no address that the login may not use", () => {
    const tagged = { login: "user1+x", sender: "", smtputf8: false };
    expect(completeAuthor([], tagged, own)).toEqual({ fields: [], author: "" });
    expect(completeAuthor([], { ...submitter, login: "\u00fcnter", sender: "" }, own)).toEqual({
      fields: [],
      author: "",
    });
    expect(completeAuthor([], { ...submitter, sender: "boss@example.org" }, own).fields[0]?.raw).toBe(
      "From: user1@example.org\r\n",
    );
  });
});
