/** The pure pieces of the submission side, as tables of cases. */

import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Failure } from "../../src/failure.ts";
import { parseAliases } from "../../src/server/submission/aliases.ts";
import { network, newCrowd } from "../../src/server/submission/crowd.ts";
import { atBeginning, unstuff } from "../../src/server/submission/dots.ts";
import { fixHeader } from "../../src/server/submission/fixups.ts";
import { newHead } from "../../src/server/submission/head.ts";
import { extended, standardPatience } from "../../src/server/submission/limits.ts";
import { readLine } from "../../src/server/submission/lines.ts";
import { inspect, noOctets } from "../../src/server/submission/octets.ts";
import { senderPolicy } from "../../src/server/submission/policy.ts";
import { receivedField } from "../../src/server/submission/received.ts";
import { saslprep, startSasl } from "../../src/server/submission/sasl.ts";
import { newSession, type Rules } from "../../src/server/submission/session.ts";
import { heard } from "../../src/server/submission/speech.ts";
import { counted, formatTally } from "../../src/server/submission/tally.ts";
import { respond } from "../../src/server/submission/verbs.ts";

const time = Date.UTC(2026, 10, 22, 13, 2, 46);

describe("network()", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8::7", "2001:db8:0:0::/64"],
    ["2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
    ["2001:0db8:0000:0001::", "2001:db8:0:1::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ])("puts %s into %s", (address, place) => expect(network(address)).toBe(place));
});

test("newCrowd() counts a place's connections until each has left once", () => {
  const crowd = newCrowd();
  const first = crowd.enter("2001:db8::1");
  const second = crowd.enter("2001:db8::2");
  expect([first.count, second.count]).toEqual([1, 2]);
  first.leave();
  first.leave();
  expect(crowd.enter("2001:db8::3").count).toBe(2);
  expect(crowd.enter("2001:db8:1::1").count).toBe(1);
});

test("extended() buys time at the lowest rate, and never more than a command's", () => {
  const { command } = standardPatience;
  expect(extended(1_000, 900, 500, standardPatience)).toBe(2_000);
  expect(extended(1_000, 900, 500_000_000, standardPatience)).toBe(900 + command);
});

test("formatTally() counts as Postfix does", () => {
  let tally = counted(new Map(), "EHLO", true);
  tally = counted(counted(tally, "AUTH", false), "FROB", false);
  expect(formatTally(tally)).toBe("ehlo=1 auth=0/1 unknown=0/1 commands=1/3");
  expect(formatTally(new Map())).toBe("commands=0");
});

describe("senderPolicy()", () => {
  const aliases = new Map([["press@example.org", new Set(["user1"])]]);
  const own = senderPolicy("own", "Example.org", aliases);
  test.each([
    ["user1", "user1@example.org", true],
    ["USER1", "User1@EXAMPLE.org", true],
    ["user1", "user1+a+b@example.org", true],
    ["user1", "PRESS@example.org", true],
    ["user2", "press@example.org", false],
    ["user1", "user11@example.org", false],
    ["user1", "user1@example.com", false],
    ["user1", "+user1@example.org", false],
    ["user1", "user1@sub.example.org", false],
    ["user1", '"user1+x@example.org"@example.com', false],
    ["user1@example.com", "user1+x@example.com", true],
    ["user1@example.com", "user1@example.org", false],
    ["user+tag", "user@example.org", false],
  ])("lets %s send as %s: %s", (login, address, may) => expect(own.mayUse(login, address)).toBe(may));

  test("describes what would do, and does not list hundreds", () => {
    const many = new Map(Array.from({ length: 9 }, (_, at) => [`a${at}@example.org`, new Set(["user1"])]));
    expect(senderPolicy("own", "example.org", many).describe("user1")).toBe(
      "user1@example.org, a0@example.org, a1@example.org, a2@example.org, a3@example.org, 5 more",
    );
    expect(own.describe("user2")).toBe("user2@example.org");
  });
});

describe("parseAliases()", () => {
  test("reads addresses and their logins", () => {
    const text = "# roles\r\nPress@example.org: user1, User2\n\npress@example.org:user3\n";
    expect([...(parseAliases(text, "aliases").get("press@example.org") ?? [])]).toEqual([
      "user1",
      "user2",
      "user3",
    ]);
  });
  test("names every line that is wrong", () => {
    const read = (): unknown =>
      parseAliases("press: user1\nok@example.org: a\nx@example.org:\n", "/etc/aliases");
    expect(read).toThrow(Failure);
    expect(read).toThrow(/^\/etc\/aliases:1: expected .*\n\/etc\/aliases:3: expected /);
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

describe("inspect()", () => {
  test.each([
    ["a\r\nb\r\n", undefined],
    ["a\rb\r\n", "a CR without LF"],
    ["a\r\r\n", "a CR without LF"],
    ["\n", "an LF without CR"],
    ["a\n\r\n", "an LF without CR"],
    ["a\0\r\n", "a NUL"],
  ])("finds what is wrong in %j: %s, in whatever pieces it comes", (text, fault) => {
    const octets = Buffer.from(text);
    expect(inspect(noOctets, octets).fault).toBe(fault);
    let seen = noOctets;
    for (const octet of octets) seen = inspect(seen, Buffer.of(octet));
    expect(seen.fault).toBe(fault);
    expect(seen.size).toBe(octets.length);
  });
  test("sees octets above 127", () => {
    expect(inspect(noOctets, Buffer.from("a")).eightBit).toBe(false);
    expect(inspect(noOctets, Buffer.of(128)).eightBit).toBe(true);
  });
});

test("newHead() finds the empty line in whatever pieces a message comes", () => {
  const message = Buffer.from(`From: a\r\nX: ${"y".repeat(9_000)}\r\n\r\nbody\r\n\r\nmore`);
  const end = message.indexOf("\r\n\r\n") + 2;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const head = newHead();
      let at = 0;
      let found: ReturnType<typeof head.add>;
      for (const size of [...sizes, message.length]) {
        if (found) break;
        found = head.add(message.subarray(at, at + size));
        at = Math.min(at + size, message.length);
      }
      expect(found?.end).toBe(end);
      expect(found?.octets.equals(message.subarray(0, at))).toBe(true);
    }),
  );
});

describe("unstuff()", () => {
  /** The whole of `wire`, cut into pieces of the `sizes` given. */
  function read(wire: string, sizes: readonly number[]): { message: string; rest: string | undefined } {
    const octets = Buffer.from(wire, "latin1");
    const parts: Buffer[] = [];
    let place = atBeginning;
    let at = 0;
    for (const size of [...sizes, octets.length]) {
      const given = unstuff(place, octets.subarray(at, at + size));
      at += size;
      place = given.place;
      parts.push(given.octets);
      if (given.rest) {
        const rest = Buffer.concat([given.rest, octets.subarray(at)]).toString("latin1");
        return { message: Buffer.concat(parts).toString("latin1"), rest };
      }
    }
    return { message: Buffer.concat(parts).toString("latin1"), rest: undefined };
  }

  test.each([
    [".\r\n", "", ""],
    ["a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"],
    ["..\r\n.\r\n", ".\r\n", ""],
    [".a\r\n..b\r\n...\r\n.\r\n", "a\r\n.b\r\n..\r\n", ""],
    ["a\n.\r\n", "a\n.\r\n", undefined],
    ["a\n..\r\n", "a\n..\r\n", undefined],
    ["a\r.\r\n", "a\r.\r\n", undefined],
    ["a\r\n.\n", "a\r\n\n", undefined],
    ["a\r\n.\r.\r\n", "a\r\n\r.\r\n", undefined],
    ["a\r\n.\r\r\n.\r\nb", "a\r\n\r\r\n", "b"],
    ["a\r\n.\0\r\n", "a\r\n\0\r\n", undefined],
  ])("reads %j as %j and leaves %j, in whatever pieces it comes", (wire, message, rest) => {
    expect(read(wire, [])).toEqual({ message, rest });
    expect(
      read(
        wire,
        Array.from(wire, () => 1),
      ),
    ).toEqual({ message, rest });
  });

  test("gives back what a client stuffed, and nothing ends it early", () => {
    const part = fc.constantFrom(".", "\r", "\n", "\r\n", "a", "\r\n.\r\n", "\r\n.");
    fc.assert(
      fc.property(fc.array(part), fc.array(fc.integer({ min: 1, max: 5 })), (parts, sizes) => {
        const message = `${parts.join("")}\r\n`;
        const stuffed = message.replace(/(^|\r\n)\./g, "$1..");
        expect(read(`${stuffed}.\r\nRSET\r\n`, sizes)).toEqual({ message, rest: "RSET\r\n" });
      }),
      { numRuns: 500 },
    );
  });

  test("takes a megabyte of stuffed dots in one pass", () => {
    const flood = "..\r\n".repeat(250_000);
    expect(read(`${flood}.\r\n`, []).message.length).toBe(flood.length * 0.75);
  });
});

describe("receivedField()", () => {
  const passage = { hostname: "relay.example.org", cipher: "TLS_X", smtputf8: false, id: "A1", time };
  test("hides the client and names the only recipient", () => {
    expect(receivedField({ ...passage, recipient: "x@example.net" })).toBe(
      "Received: from authenticated-user by relay.example.org\r\n" +
        "\twith ESMTPSA id A1 for <x@example.net>\r\n" +
        "\ttls TLS_X; Sun, 22 Nov 2026 13:02:46 +0000\r\n",
    );
  });
  test.each([
    ["laptop.example", "192.0.2.7", "laptop.example ([192.0.2.7])"],
    ["[192.0.2.9]", "2001:db8::7", "[192.0.2.9] ([IPv6:2001:db8::7])"],
    ["a)(b", "192.0.2.7", "unknown ([192.0.2.7])"],
  ])("shows %s at %s as %s", (helo, address, shown) => {
    expect(receivedField({ ...passage, client: { helo, address } })).toContain(
      `Received: from ${shown} by relay`,
    );
  });
});

describe("fixHeader()", () => {
  const supplies = { hostname: "relay.example.org", id: "A1", time };
  test("keeps every octet that it does not have to change", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 8 }), (values) => {
        const clean = values.map((value) =>
          Buffer.from(value)
            .toString("latin1")
            .replace(/[\r\n]/g, " "),
        );
        const header = `From: a@example.org\r\n${clean.map((value) => `X-Y: ${value}\r\n`).join("")}`;
        expect(fixHeader(header, supplies)).toMatchObject({ kept: header });
      }),
    );
  });
  test("adds what is missing and takes the log's Message-ID from what is there", () => {
    expect(fixHeader("From: a@example.org\r\nMessage-ID:\r\n <1@example.org>\r\n", supplies)).toEqual({
      added: "Date: Sun, 22 Nov 2026 13:02:46 +0000\r\n",
      kept: "From: a@example.org\r\nMessage-ID:\r\n <1@example.org>\r\n",
      messageId: "1@example.org",
    });
    expect(fixHeader("From: a@example.org\r\n", supplies)).toMatchObject({
      messageId: "20261122130246.A1@relay.example.org",
    });
  });
});

describe("whatever a client says", () => {
  const rules: Rules = {
    hostname: "relay.example.org",
    domain: "example.org",
    messageSize: 1_000,
    recipients: 3,
    senders: senderPolicy("own", "example.org", new Map()),
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
        let session = newSession("smtps", "192.0.2.7", "TLS_X");
        if (known) session = { ...session, helo: "x", login: { name: "user1", mechanism: "PLAIN" } };
        for (const said of lines) {
          const given = respond(session, said, rules);
          session = given.session;
          expect(new Set(given.say.map(({ code }) => code)).size).toBeLessThanOrEqual(1);
          for (const { code, status, text } of given.say) {
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
        const read = readLine(Buffer.concat([octets, Buffer.from("\r\n")]), inExchange);
        if (typeof read === "string") expect(read).not.toMatch(/[\0-\x08\x0a-\x1f\x7f]/);
        else expect(read.code).toBeGreaterThanOrEqual(500);
      }),
    );
  });

  test("startSasl() never throws", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.constantFrom("PLAIN ", "LOGIN ", ""),
        (text, mechanism) => {
          const step = startSasl(`${mechanism}${Buffer.from(text).toString("base64")}`);
          expect(["challenge", "credentials", "refused"]).toContain(step.kind);
          if (step.kind === "challenge") expect(step.next(text).kind).toBeDefined();
        },
      ),
    );
  });
});

test("heard() waits for a client that does not read its replies", async () => {
  const socket = new PassThrough({ writableHighWaterMark: 4, readableHighWaterMark: 4 });
  await heard(socket as unknown as Socket);
  socket.write("many octets");
  let done = false;
  const waiting = heard(socket as unknown as Socket).then(() => {
    done = true;
  });
  await Promise.resolve();
  expect(done).toBe(false);
  socket.resume();
  await waiting;
  expect(done).toBe(true);
});
