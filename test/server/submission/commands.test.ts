/** What surrounds the commands: lines, names, counts, time, and that nothing said breaks anything. */

import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SaslContext } from "../../../src/server/submission/auth/exchange.ts";
import { startSasl } from "../../../src/server/submission/auth/mechanisms.ts";
import { extendedDue, standardTimeouts } from "../../../src/server/submission/client-limits.ts";
import { untilDrained } from "../../../src/server/submission/connection.ts";
import { newConnectionTable, subscriberNetwork } from "../../../src/server/submission/limits/admission.ts";
import { newLineRepair } from "../../../src/server/submission/line-ends.ts";
import { readCommandLine } from "../../../src/server/submission/parser.ts";
import { senderPolicy } from "../../../src/server/submission/sender-policy.ts";
import { type CommandContext, newSession } from "../../../src/server/submission/session.ts";
import { formatCounts, withCommand } from "../../../src/server/submission/session-log.ts";
import { respond } from "../../../src/server/submission/verbs.ts";
import { saslprep } from "../../../src/smtp/saslprep.ts";
import { quotaOf } from "./test-listener.ts";

describe("whatever a client says", () => {
  const rules: CommandContext = {
    hostname: "relay.example.org",
    domain: "example.org",
    messageSize: 1_000,
    recipients: 3,
    senders: senderPolicy("own", "example.org", new Map()),
    challenges: ["CRAM-MD5", "SCRAM-SHA-256"],
    nonce: () => "NONCE",
    quota: quotaOf(),
    isFrozen: () => false,
    requireTls: true,
  };
  const word = fc.constantFrom(
    ...[
      "EHLO",
      "HELO",
      "MAIL",
      "FROM:",
      "<user1@example.org>",
      "RCPT",
      "TO:<",
      "x@example.net>",
      "SIZE=",
      "DATA",
    ],
    ...[
      "AUTH",
      "PLAIN",
      "LOGIN",
      "CRAM-MD5",
      "SCRAM-SHA-256",
      "EXTERNAL",
      "=",
      "*",
      "NOTIFY=",
      "ORCPT=rfc822;",
      "+41",
      "BODY=8BITMIME",
      "SMTPUTF8",
      "RSET",
    ],
    ...[
      "STARTTLS",
      "QUIT",
      "VRFY",
      "HELP",
      "NOOP",
      "<>",
      ":",
      '"',
      "\\",
      "é",
      "[IPv6:::1]",
      "\t",
      " ",
      "POST /",
    ],
  );
  const line = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(word).map((words) => words.join(" ")),
    fc.array(word).map((words) => words.join("")),
  );

  test("is answered with one code, an enhanced one of its class and no line break", () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, known) => {
        let session = newSession("smtps", "192.0.2.7", {
          cipher: "TLS_X",
          certifiedAddress: "user1@example.org",
        });
        if (known) session = { ...session, helo: "x", login: { name: "user1", mechanism: "PLAIN" } };
        for (const said of lines) {
          const given = respond(session, said, rules);
          session = given.session;
          expect(new Set(given.replies.map(({ code }) => code)).size).toBeLessThanOrEqual(1);
          for (const { code, status, text } of given.replies) {
            expect(text).not.toMatch(/[\r\n\0]/);
            expect(Buffer.byteLength(text)).toBeLessThan(490);
            if (status !== "")
              expect(status).toMatch(new RegExp(`^${String(code).charAt(0)}\\.\\d+\\.\\d+$`));
            else expect(code < 400 || /EHLO|HELO/.test(text)).toBe(true);
          }
        }
      }),
    );
  });

  test("readLine() gives text without control characters, or a complaint", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (octets, inExchange) => {
        const read = readCommandLine(Buffer.concat([octets, Buffer.from("\r\n")]), inExchange);
        if (typeof read === "string") expect(read).not.toMatch(/[\0-\x08\x0a-\x1f\x7f]/);
        else expect(read.code).toBeGreaterThanOrEqual(500);
      }),
    );
  });

  test("startSasl() never throws", () => {
    const offered = ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "EXTERNAL"] as const;
    const ground: SaslContext = {
      offered,
      hostname: "relay.example.org",
      binding: Buffer.alloc(32),
      nonce: () => "NONCE",
    };
    const scramFirst = fc.constantFrom("n,,n=", "y,a=", "p=tls-exporter,,n=user1,r=", "n,,n=user1,r=x");
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.tuple(scramFirst, fc.string({ unit: "binary" })).map((parts) => parts.join("")),
        ),
        fc.constantFrom(...offered.map((name) => `${name} `), ""),
        (text, mechanism) => {
          const step = startSasl(`${mechanism}${Buffer.from(text).toString("base64")}`, ground);
          expect(["challenge", "credentials", "question", "refused"]).toContain(step.kind);
          if (step.kind === "challenge") expect(step.next(text).kind).toBeDefined();
        },
      ),
    );
  });
});

describe("saslprep()", () => {
  test.each([
    ["user1", "user1"],
    ["I\u00adX", "IX"],
    ["\u00aa", "a"],
    ["\u2168", "IX"],
    ["a\u00a0b", "a b"],
    ["u\u0308nter", "ünter"],
    ["a\u0007b", undefined],
    ["a\u202eb", undefined],
    ["\ue000", undefined],
  ])("prepares %j as %j", (name, prepared) => expect(saslprep(name)).toBe(prepared));
});

describe("network()", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8::7", "2001:db8:0:0::/64"],
    ["2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
    ["2001:0db8:0000:0001::", "2001:db8:0:1::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ])("puts %s into %s", (address, place) => expect(subscriberNetwork(address)).toBe(place));
});

test("newConnectionTable() counts a network's connections until each has left once", () => {
  const table = newConnectionTable();
  const first = table.add("2001:db8::1");
  const second = table.add("2001:db8::2");
  expect([first.fromNetwork, second.fromNetwork]).toEqual([1, 2]);
  first.release();
  first.release();
  expect(table.add("2001:db8::3").fromNetwork).toBe(2);
  expect(table.add("2001:db8:1::1").fromNetwork).toBe(1);
});

test("newLineRepair() ends every line with CRLF and drops NULs, however the octets are cut", () => {
  const message = "a\0b\rc\nd\r\ne\n\rf\r\r\ng\r\0\nh\n\0.\n\ri\r\r\r\r\nj\r\0\r\nk\r\rl\r\r";
  const whole = "ab\r\nc\r\nd\r\ne\r\n\r\nf\r\ng\r\nh\r\n.\r\n\r\ni\r\nj\r\nk\r\n\r\nl\r\n\r\n";
  for (let size = 1; size <= message.length; size++) {
    const repair = newLineRepair();
    const pieces: Buffer[] = [];
    for (let at = 0; at < message.length; at += size)
      pieces.push(...repair.add(Buffer.from(message.slice(at, at + size))));
    expect(Buffer.concat([...pieces, ...repair.end()]).toString()).toBe(whole);
  }
});

test("extended() buys time at the lowest rate, and never more than a command's", () => {
  const { command } = standardTimeouts;
  expect(extendedDue(1_000, 900, 500, standardTimeouts)).toBe(2_000);
  expect(extendedDue(1_000, 900, 500_000_000, standardTimeouts)).toBe(900 + command);
});

test("formatTally() counts as Postfix does", () => {
  let counts = withCommand(new Map(), "EHLO", true);
  counts = withCommand(withCommand(counts, "AUTH", false), "FROB", false);
  expect(formatCounts(counts)).toBe("ehlo=1 auth=0/1 unknown=0/1 commands=1/3");
  expect(formatCounts(new Map())).toBe("commands=0");
});

test("heard() waits for a client that does not read its replies", async () => {
  const socket = new PassThrough({ writableHighWaterMark: 4, readableHighWaterMark: 4 });
  await untilDrained(socket as unknown as Socket);
  socket.write("many octets");
  let done = false;
  const waiting = untilDrained(socket as unknown as Socket).then(() => {
    done = true;
  });
  await Promise.resolve();
  expect(done).toBe(false);
  socket.resume();
  await waiting;
  expect(done).toBe(true);
});
