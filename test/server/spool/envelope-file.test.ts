/** The envelope on disk: whatever is written is read again as it was, and whatever is not an envelope is named. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Envelope, LastReply, Recipient } from "../../../src/server/spool/envelope.ts";
import {
  formatEnvelope,
  formatEnvelopeLine,
  parseEnvelope,
} from "../../../src/server/spool/envelope-file.ts";

const id = "1A0AB1C2D3E4";
const envelope: Envelope = {
  id,
  accepted: Date.parse("2026-11-22T14:11:00.000Z"),
  login: "user1",
  sender: "user1@example.org",
  size: 5120,
  eightBit: false,
  smtputf8: false,
  envid: "QQ314159",
  ret: "HDRS",
  requireTls: true,
  held: { at: Date.parse("2026-11-22T14:12:00.000Z"), by: "root", reason: "asked the sender" },
  relay: "smtp://backup.example.net:25",
  attempts: 1,
  due: Date.parse("2026-11-22T14:16:00.000Z"),
  warned: false,
  recipients: [
    {
      address: "x@example.net",
      state: "waiting",
      reply: {
        code: 451,
        status: "4.7.1",
        text: "Greylisted, come back later",
        relay: "mx.example.net[192.0.2.1]:25",
        command: "RCPT TO",
        at: Date.parse("2026-11-22T14:11:01.250Z"),
      },
      notify: ["FAILURE", "DELAY"],
      orcpt: "rfc822;x@example.net",
    },
    { address: "y@example.net", state: "delivered" },
  ],
};

const file = `{
  "version": 2,
  "id": "1A0AB1C2D3E4",
  "accepted": "2026-11-22T14:11:00.000Z",
  "login": "user1",
  "sender": "user1@example.org",
  "size": 5120,
  "eightBit": false,
  "smtputf8": false,
  "envid": "QQ314159",
  "ret": "HDRS",
  "requireTls": true,
  "held": {"at":"2026-11-22T14:12:00.000Z","by":"root","reason":"asked the sender"},
  "relay": "smtp://backup.example.net:25",
  "attempts": 1,
  "due": "2026-11-22T14:16:00.000Z",
  "warned": false,
  "recipients": [
    {"address":"x@example.net","state":"waiting","reply":{"code":451,"status":"4.7.1","text":"Greylisted, come back later","relay":"mx.example.net[192.0.2.1]:25","command":"RCPT TO","at":"2026-11-22T14:11:01.250Z"},"notify":["FAILURE","DELAY"],"orcpt":"rfc822;x@example.net"},
    {"address":"y@example.net","state":"delivered"}
  ]
}
`;

/** Any text, and those that have hurt programs before. */
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    "",
    "__proto__",
    "constructor",
    "toString",
    "a@example.org\r\nRCPT TO:<b@example.org>",
    "\u0000\u001b[2J\u007f\u0085\u2028\u2029\ufeff",
    "\ud800",
    "δοκιμή@παράδειγμα.example",
    '"quoted \\" string"@example.org',
    "</script>",
  ),
);
const time = fc.integer({ min: -8.64e15, max: 8.64e15 });
const reply: fc.Arbitrary<LastReply> = fc.record({
  code: fc.integer({ min: 200, max: 599 }),
  status: text,
  text,
  relay: text,
  command: text,
  at: time,
});
const recipient: fc.Arbitrary<Recipient> = fc.record(
  {
    address: text,
    state: fc.constantFrom("waiting", "delivered", "failed", "expired"),
    reply,
    notify: fc.subarray(["NEVER", "SUCCESS", "FAILURE", "DELAY"] as const),
    orcpt: text,
  },
  { requiredKeys: ["address", "state"] },
);
const anyEnvelope: fc.Arbitrary<Envelope> = fc.record(
  {
    id: fc.stringMatching(/^[0-9A-F]{12}$/),
    accepted: time,
    login: fc.option(text),
    sender: text,
    size: fc.maxSafeNat(),
    eightBit: fc.boolean(),
    smtputf8: fc.boolean(),
    envid: text,
    ret: fc.constantFrom("FULL", "HDRS"),
    requireTls: fc.boolean(),
    tlsOptional: fc.boolean(),
    held: fc.record({ at: time, by: text, reason: text }),
    relay: text,
    recipients: fc.array(recipient, { minLength: 1 }),
    attempts: fc.maxSafeNat(),
    due: time,
    warned: fc.boolean(),
  },
  {
    requiredKeys: [
      "id",
      "accepted",
      "login",
      "sender",
      "size",
      "eightBit",
      "smtputf8",
      "recipients",
      "attempts",
      "due",
      "warned",
    ],
  },
);

describe("an envelope", () => {
  it("is written for people, a line per recipient", () => {
    expect(formatEnvelope(envelope)).toBe(file);
    expect(parseEnvelope(file, id, "queue/ID")).toEqual(envelope);
  });

  it("is read as it was written, whatever a client put into it", () => {
    fc.assert(
      fc.property(anyEnvelope, (any) => {
        expect(parseEnvelope(formatEnvelope(any), any.id, "queue/ID")).toEqual(any);
        expect(parseEnvelope(formatEnvelopeLine(any), any.id, "queue/ID")).toEqual(any);
      }),
    );
  });

  it("of version 1 is read, and written as 2", () => {
    const { requireTls, held, relay, ...old } = envelope;
    const one = formatEnvelope(old).replace('"version": 2', '"version": 1');
    expect(parseEnvelope(one, id, "queue/ID")).toEqual(old);
    expect([requireTls, held, relay]).not.toContain(undefined); // or there was nothing to leave out
  });

  it("is written on lines of its own: no text of a client begins one", () => {
    fc.assert(
      fc.property(anyEnvelope, (any) => {
        const lines = formatEnvelope(any).split("\n");
        expect(lines.length).toBeGreaterThan(any.recipients.length);
        for (const line of lines) expect(line).toMatch(/^$|^[{}]|^ {2}["\]]|^ {4}\{/);
      }),
    );
  });

  it("is not written when it could not be read back", () => {
    const [first] = envelope.recipients;
    const bad: readonly Partial<Envelope>[] = [
      { due: Number.NaN },
      { due: Number.POSITIVE_INFINITY },
      { size: -1 },
      { size: 1.5 },
      { attempts: Number.NaN },
      { recipients: [] },
      {
        recipients: [
          { address: "x@example.net", state: "waiting", reply: { ...first?.reply, code: 42 } as LastReply },
        ],
      },
    ];
    for (const part of bad) {
      expect(() => formatEnvelope({ ...envelope, ...part })).toThrow();
      expect(() => formatEnvelopeLine({ ...envelope, ...part })).toThrow();
    }
  });
});

describe("what is not an envelope is named with its place:", () => {
  const cases: readonly [string, string | RegExp, string, string][] = [
    ["a later version", '"version": 2', '"version": 3', "version: expected 1 or 2, found 3"],
    ["no version", '  "version": 2,\n', "", "version: expected 1 or 2, found nothing"],
    [
      "a field that version 1 did not know",
      /"version": 2([\s\S]*)"attempts"/,
      '"version": 1$1"requireTls": true,\n"attempts"',
      'expected no unknown field in version 1, found {"requireTls":true}',
    ],
    ["half of what is held", '"by":"root",', "", "held.by: expected a text, found nothing"],
    ["another ID", '"id": "1A', '"id": "2A', `id: expected "${id}", the file's name, found "2A0AB1C2D3E4"`],
    ["a missing field", '  "size": 5120,\n', "", "size: expected a whole number, found nothing"],
    [
      "a field of another type",
      '"size": 5120',
      '"size": "5120"',
      'size: expected a whole number, found "5120"',
    ],
    ["a negative size", "5120", "-1", "size: expected a whole number, found -1"],
    ["a login that is none", '"login": "user1"', '"login": 7', "login: expected a text or null, found 7"],
    [
      "an unknown field",
      '"warned"',
      '"hold": true,\n"warned"',
      'expected no unknown field, found {"hold":true}',
    ],
    ["a field named __proto__", '"warned"', '"__proto__": {},\n"warned"', "expected no unknown field"],
    [
      "an unknown field of a recipient",
      '"y@example.net"',
      '"y@example.net","bcc":true',
      'recipients[1]: expected no unknown field, found {"bcc":true}',
    ],
    [
      "an unknown state",
      '"delivered"',
      '"lost"',
      'recipients[1].state: expected waiting or delivered or failed or expired, found "lost"',
    ],
    ["a reply code that is none", "451", "999", "recipients[0].reply.code: expected 200 to 599, found 999"],
    ["a time that is none", "2026-11-22T14:16", "2026-13-22T14:16", "due: expected a time such as"],
    ["a day that its month has not", "2026-11-22T14:16", "2026-11-31T14:16", "due: expected a time such as"],
    ["the hour after the last", "2026-11-22T14:16", "2026-11-22T24:16", "due: expected a time such as"],
    ["the minute after the last", "2026-11-22T14:16", "2026-11-22T14:60", "due: expected a time such as"],
    [
      "a time with a sign for a digit",
      "2026-11-22T14:16",
      "2026-11-22T14:-6",
      "due: expected a time such as",
    ],
    ["a time without its zone", "14:16:00.000Z", "14:16:00.000", "due: expected a time such as"],
    [
      "no recipients",
      /"recipients": \[[\s\S]*\]/,
      '"recipients": []',
      "recipients: expected at least one, found []",
    ],
    [
      "recipients that are no list",
      /"recipients": \[[\s\S]*\]/,
      '"recipients": {}',
      "recipients: expected a list, found {}",
    ],
    ["an empty file", /[\s\S]*/, "", 'expected a JSON object, found ""'],
    ["half a file", /"sender"[\s\S]*/, "", "expected a JSON object"],
    ["a list", /[\s\S]*/, "[]", "expected an object, found []"],
    ["null", /[\s\S]*/, "null", "expected an object, found null"],
    [
      "control characters",
      /[\s\S]*/,
      "\u001b[2J\u009b2J\nx",
      'expected a JSON object, found "\\u001b[2J\\u009b2J\\nx"',
    ],
  ];
  it.each(cases)("%s", (_, from, to, complaint) => {
    const found = parseEnvelope(file.replace(from, to), id, "queue/ID");
    expect(found).toEqual({ damaged: expect.stringMatching(/^queue\/ID: [ -~…]*$/) });
    expect("damaged" in found && found.damaged).toContain(complaint);
  });

  it("anything else, without a crash", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (any) => {
        expect(parseEnvelope(any, id, "queue/ID")).toHaveProperty("damaged");
      }),
    );
  });

  it("a file with one octet changed is damaged or still an envelope, never something else", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: file.length - 1 }),
        fc.string({ minLength: 1, maxLength: 1 }),
        (at, character) => {
          const found = parseEnvelope(file.slice(0, at) + character + file.slice(at + 1), id, "queue/ID");
          if (!("damaged" in found)) expect(Object.keys(found).sort()).toEqual(Object.keys(envelope).sort());
        },
      ),
    );
  });
});
