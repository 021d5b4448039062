/** A message on its way in, piece by piece: its octets, its end, its header. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fixHeader, receivedField } from "../../../src/server/submission/header/fixups.ts";
import { newHeaderBuffer } from "../../../src/server/submission/header/reader.ts";
import { MessageScan } from "../../../src/server/submission/message-scan.ts";
import { splitFields } from "../../../src/smtp/header.ts";

const time = Date.UTC(2026, 10, 22, 13, 2, 46);

describe("the scan of a message by DATA", () => {
  /** The whole of `wire`, cut into pieces of the `sizes` given. */
  function read(wire: string, sizes: readonly number[]): { message: string; rest: string | undefined } {
    const octets = Buffer.from(wire, "latin1");
    const parts: Buffer[] = [];
    const scan = new MessageScan(true);
    let at = 0;
    for (const size of [...sizes, octets.length]) {
      const given = scan.read(octets.subarray(at, at + size));
      at += size;
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

describe("the scan of a message by BDAT", () => {
  test.each([
    ["a\r\nb\r\n", undefined],
    ["a\rb\r\n", "a CR without LF"],
    ["a\r\r\n", "a CR without LF"],
    ["\n", "an LF without CR"],
    ["a\n\r\n", "an LF without CR"],
    ["a\0\r\n", "a NUL"],
  ])("finds what is wrong in %j: %s, in whatever pieces it comes", (text, fault) => {
    const octets = Buffer.from(text);
    const [whole, piecewise] = [new MessageScan(false), new MessageScan(false)];
    whole.read(octets);
    expect(whole.fault).toBe(fault);
    for (const octet of octets) piecewise.read(Buffer.of(octet));
    expect(piecewise.fault).toBe(fault);
    expect(piecewise.size).toBe(octets.length);
  });
  test("sees octets above 127", () => {
    const scan = new MessageScan(false);
    scan.read(Buffer.from("a"));
    expect(scan.eightBit).toBe(false);
    scan.read(Buffer.of(128));
    expect(scan.eightBit).toBe(true);
  });
});

test("newHead() finds the empty line in whatever pieces a message comes", () => {
  const message = Buffer.from(`From: a\r\nX: ${"y".repeat(9_000)}\r\n\r\nbody\r\n\r\nmore`);
  const end = message.indexOf("\r\n\r\n") + 2;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const head = newHeaderBuffer();
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
        expect(fixHeader(splitFields(header), supplies)).toMatchObject({ kept: header });
      }),
    );
  });
  test("adds what is missing and takes the log's Message-ID from what is there", () => {
    expect(
      fixHeader(splitFields("From: a@example.org\r\nMessage-ID:\r\n <1@example.org>\r\n"), supplies),
    ).toEqual({
      added: "Date: Sun, 22 Nov 2026 13:02:46 +0000\r\n",
      kept: "From: a@example.org\r\nMessage-ID:\r\n <1@example.org>\r\n",
      messageId: "1@example.org",
    });
    expect(fixHeader(splitFields("From: a@example.org\r\n"), supplies)).toMatchObject({
      messageId: "20261122130246.A1@relay.example.org",
    });
  });
});
