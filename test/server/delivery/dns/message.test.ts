import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type DnsQuestion,
  readResponse,
  writeQuestion,
} from "../../../../src/server/delivery/dns/message.ts";

const question: DnsQuestion = { id: 0x1234, name: "mx.example.net", type: "A" };

const words = (...values: readonly number[]): Buffer =>
  Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));

const name = (text: string): Buffer =>
  Buffer.concat([
    ...text.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, "latin1")])),
    Buffer.of(0),
  ]);

/** An answer record; its name is the question's unless another is given. */
function record(type: number, data: Buffer, owner: Buffer = words(0xc00c)): Buffer {
  return Buffer.concat([owner, words(type, 1, 0, 300, data.length), data]);
}

/** A response to `asked`, with these answers; `flags` are those of a good one unless given. */
function response(records: readonly Buffer[], asked: DnsQuestion = question, flags = 0x81a0): Buffer {
  const numbers = { A: 1, CNAME: 5, MX: 15, TXT: 16, AAAA: 28, TLSA: 52 };
  return Buffer.concat([
    words(asked.id, flags, 1, records.length, 0, 0),
    name(asked.name),
    words(numbers[asked.type], 1),
    ...records,
  ]);
}

const address = Buffer.of(192, 0, 2, 1);

describe("a question", () => {
  test("asks for recursion, for the AD bit, and says what we can take", () => {
    expect(writeQuestion(question)?.toString("hex")).toBe(
      [
        "1234 0120 0001 0000 0000 0001", // RD and AD; one question, one additional record
        "026d78 076578616d706c65 036e6574 00 0001 0001",
        "00 0029 04d0 0000 8000 0000", // OPT: 1232 octets, DO
      ]
        .join("")
        .replaceAll(" ", ""),
    );
  });

  test.each([
    ["an empty label", "a..b"],
    ["no name", ""],
    ["a label of 64 octets", `${"a".repeat(64)}.example`],
    ["a name of 256 octets", `${"a.".repeat(127)}a`],
    ["a blank", "a b.example"],
    ["a letter that is not ASCII", "b\u00fccher.example"],
  ])("is not asked about %s", (_, wrong) => {
    expect(writeQuestion({ ...question, name: wrong })).toBeUndefined();
  });

  test("may be about the longest name that there is", () => {
    expect(writeQuestion({ ...question, name: `${"a.".repeat(126)}a` })).toHaveLength(12 + 255 + 4 + 11);
  });
});

describe("a response", () => {
  test("has addresses, names and their times to live", () => {
    const alias = record(5, name("Real.example.net"));
    const real = record(1, address, name("real.EXAMPLE.net"));
    expect(readResponse(response([alias, real]), question)).toEqual({
      truncated: false,
      authentic: true,
      code: 0,
      records: [
        { name: "mx.example.net", ttl: 300, data: { type: "CNAME", target: "real.example.net" } },
        { name: "real.example.net", ttl: 300, data: { type: "A", address: "192.0.2.1" } },
      ],
    });
  });

  test("has mail exchangers, with their names compressed or not, and the null MX", () => {
    const asked: DnsQuestion = { ...question, type: "MX" };
    const records = [
      record(15, Buffer.concat([words(10), Buffer.from("\u0001a"), words(0xc00c)])),
      record(15, Buffer.concat([words(20), name("b.example.org")])),
      record(15, Buffer.concat([words(0), Buffer.of(0)])),
    ];
    expect(readResponse(response(records, asked), asked)?.records.map(({ data }) => data)).toEqual([
      { type: "MX", priority: 10, exchange: "a.mx.example.net" },
      { type: "MX", priority: 20, exchange: "b.example.org" },
      { type: "MX", priority: 0, exchange: "" },
    ]);
  });

  test("has TLSA records, and those of other types are passed over", () => {
    const asked: DnsQuestion = { ...question, type: "TLSA" };
    const records = [record(46, Buffer.alloc(30)), record(52, Buffer.of(3, 1, 1, 0xab))];
    expect(readResponse(response(records, asked), asked)?.records.map(({ data }) => data)).toEqual([
      { type: "TLSA", tlsa: { usage: 3, selector: 1, matching: 1, data: Uint8Array.of(0xab) } },
    ]);
  });

  test("has texts, the parts of each joined, and one that ends too late is no answer", () => {
    const asked: DnsQuestion = { ...question, type: "TXT" };
    const whole = record(16, Buffer.from("\u0008v=STSv1;\u0000\u0005 id=1"));
    expect(readResponse(response([whole], asked), asked)?.records.map(({ data }) => data)).toEqual([
      { type: "TXT", text: "v=STSv1; id=1" },
    ]);
    const broken = record(16, Buffer.from("\u0009v=STSv1;"));
    expect(readResponse(response([broken], asked), asked)).toBeUndefined();
  });

  test.each([
    ["20010db8000000000000000000000001", "2001:db8::1"],
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["20010db8000000010000000000000000", "2001:db8:0:1::"],
    ["00010000000200000003000000040000", "1:0:2:0:3:0:4:0"],
    ["10000010000000000000000000000010", "1000:10::10"],
  ])("has the IPv6 address %s as %s", (hex, text) => {
    const asked: DnsQuestion = { ...question, type: "AAAA" };
    const [found] =
      readResponse(response([record(28, Buffer.from(hex, "hex"))], asked), asked)?.records ?? [];
    expect(found?.data).toEqual({ type: "AAAA", address: text });
  });

  test("with odd octets in a name has them escaped, so that none is taken for a dot", () => {
    const odd = record(5, Buffer.concat([Buffer.from("\u0005a.b\\\n"), words(0xc00c)]));
    const [found] = readResponse(response([odd]), question)?.records ?? [];
    expect(found?.data).toEqual({ type: "CNAME", target: "a\\046b\\092\\010.mx.example.net" });
  });

  test("that is truncated counts as far as its header goes", () => {
    expect(readResponse(response([record(1, address)], question, 0x8380), question)).toEqual({
      truncated: true,
      authentic: false,
      code: 0,
      records: [],
    });
  });

  const good = response([record(1, address)]);
  const forward = response([record(5, words(0xc000 + 46)), record(1, address, name("a"))]);
  test.each([
    ["to another number", response([], { ...question, id: 1 })],
    ["to another name", response([], { ...question, name: "mx.example.org" })],
    ["to another type", response([], { ...question, type: "AAAA" })],
    ["that is a question", response([], question, 0x0120)],
    ["to another operation", response([], question, 0xa980)],
    ["that is cut short", good.subarray(0, good.length - 1)],
    ["with a wrong count", Buffer.concat([good.subarray(0, 7), Buffer.of(9), good.subarray(8)])],
    ["with an address of three octets", response([record(1, address.subarray(1))])],
    ["with a name that points at itself", response([record(5, words(0xc00c + 4 + 16 + 12))])],
    ["with a name that points forward", forward],
    ["with a name that does not fill its record", response([record(5, Buffer.concat([name("a"), address]))])],
    ["without an octet", Buffer.alloc(0)],
  ])("%s is none", (_, message) => {
    expect(readResponse(message, question)).toBeUndefined();
  });

  test("may have a name of pointers, but not of more than a name has labels", () => {
    // Each pointer leads to the one before it; the first of them to the question's name.
    const chain = (pointers: number): Buffer => {
      const begin = 12 + name(question.name).length + 4 + 12; // behind the header, the question and a record's head
      const data = words(
        ...Array.from({ length: pointers }, (_, at) => 0xc000 + (at === 0 ? 12 : begin + 2 * at - 2)),
      );
      return response([record(99, data), record(1, address, words(0xc000 + begin + 2 * (pointers - 1)))]);
    };
    expect(readResponse(chain(126), question)?.records.map((one) => one.name)).toEqual([question.name]);
    expect(readResponse(chain(5000), question)).toBeUndefined();
  });

  test("of any octets at all is read or refused, and never throws", () => {
    const head = response([]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (octets) => {
        readResponse(Buffer.from(octets), question);
        readResponse(
          Buffer.concat([head.subarray(0, 6), words(octets.length % 50), head.subarray(8), octets]),
          question,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("with any octet changed is read or refused, and never throws", () => {
    const asked: DnsQuestion = { ...question, type: "MX" };
    const whole = response(
      [
        record(15, Buffer.concat([words(10), Buffer.from("\u0001a"), words(0xc00c)])),
        record(5, words(0xc00f)),
        record(52, Buffer.of(3, 1, 1, 0xab)),
      ],
      asked,
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const changed = Buffer.from(whole);
          for (const [at, octet] of changes) changed[at] = octet;
          const read = readResponse(changed, asked);
          for (const { name: owner } of read?.records ?? []) expect(owner).toMatch(/^[!-~]*$/);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
