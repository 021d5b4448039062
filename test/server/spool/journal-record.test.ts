/** Records of the journal: what is written is read back, and nothing else is. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contentOf } from "../../../src/server/spool/journal-reading.ts";
import {
  formatRecord,
  isSound,
  longestSegment,
  readSegment,
  recordLength,
  type SegmentPart,
  sumOf,
} from "../../../src/server/spool/journal-record.ts";

const mark = "0123456789ABCDEF";

interface Letter {
  readonly envelope: string;
  readonly body: Buffer;
  /** Whether it begins a batch. */
  readonly begins: boolean;
}

interface Written {
  readonly octets: Buffer;
  /** Where each record begins and ends, and its batch. */
  readonly places: readonly { readonly offset: number; readonly end: number; readonly batch: number }[];
}

/** A segment with these records, and behind them what was there before. */
function segmentOf(letters: readonly Letter[], behind: Buffer = Buffer.alloc(200), as = mark): Written {
  const parts: Uint8Array[] = [];
  const places: { offset: number; end: number; batch: number }[] = [];
  let offset = 0;
  let batch = 0;
  for (const { envelope, body, begins } of letters) {
    if (begins) batch = offset;
    const line = Buffer.from(envelope);
    const half = body.length >> 1;
    const chunks = [body.subarray(0, half), body.subarray(half)];
    parts.push(...formatRecord({ mark: as, offset, batch }, line, chunks, sumOf(body)));
    const end = offset + recordLength(line.length, body.length);
    places.push({ offset, end, batch });
    offset = end;
  }
  return { octets: Buffer.concat([...parts, behind]), places };
}

const read = (octets: Buffer, whole = 0): readonly SegmentPart[] => [...readSegment(octets, mark, whole)];

/** Sound records, as they were given. */
function lettersIn(octets: Buffer): readonly (readonly [number, string, string])[] {
  return read(octets)
    .filter(isSound)
    .map(({ offset, end, bodyLength, envelope }) => {
      const body = octets.toString("latin1", end - 1 - bodyLength, end - 1);
      return [offset, envelope, body] as const;
    });
}

const given = (letters: readonly Letter[], { places }: Written) =>
  letters.map(
    ({ envelope, body }, index) => [places[index]?.offset, envelope, body.toString("latin1")] as const,
  );

const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets)),
  fc.constant(Buffer.alloc(600)),
  fc
    .string({ unit: fc.constantFrom("\n", "tpa1 ", mark, " ", "0", "\r\n") })
    .map((text) => Buffer.from(text)),
);
const letter: fc.Arbitrary<Letter> = fc.record({
  envelope: fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  body: bodies,
  begins: fc.boolean(),
});
const some = fc.array(letter, { minLength: 1, maxLength: 6 });

describe("a segment of records", () => {
  it("is text that a person can page through", () => {
    const { octets } = segmentOf(
      [{ envelope: '{"version":2}', body: Buffer.from("Subject: x\r\n\r\nHello\r\n"), begins: true }],
      Buffer.alloc(0),
    );
    expect(octets.toString()).toMatchInlineSnapshot(`
      "tpa1 0123456789ABCDEF 00000000 00000000 00000013 00000021 D03C57B7 AE1DE71E
      {"version":2}
      Subject: x

      Hello

      "
    `);
  });

  it("gives back what was written, in order", () => {
    fc.assert(
      fc.property(some, (letters) => {
        const written = segmentOf(letters);
        expect(lettersIn(written.octets)).toEqual(given(letters, written));
        expect(read(written.octets).every(isSound)).toBe(true);
      }),
    );
  });

  it("ends where nothing was written since it was taken, whatever was there before", () => {
    fc.assert(
      fc.property(some, some, fc.nat({ max: 2000 }), (letters, before, skip) => {
        const old = segmentOf(before, undefined, "FEDCBA9876543210").octets;
        const written = segmentOf(letters, old.subarray(Math.min(skip, old.length)));
        expect(lettersIn(written.octets)).toEqual(given(letters, written));
        expect(read(written.octets).every(isSound)).toBe(true);
      }),
    );
  });

  it("has no record that a sender wrote into a message, with another mark or at another place", () => {
    const inner: Letter = { envelope: "{}", body: Buffer.from("forged"), begins: true };
    const body = Buffer.concat([
      Buffer.from("\r\n"),
      segmentOf([inner], undefined, "AAAAAAAAAAAAAAAA").octets,
      Buffer.from("\n"),
      segmentOf([inner]).octets,
    ]);
    const { octets, places } = segmentOf([
      { envelope: "{}", body, begins: true },
      { envelope: '{"a":1}', body: Buffer.from("x"), begins: true },
    ]);
    octets[76] = 0; // the outer one is damaged, so that the next one is looked for
    const [first, second] = read(octets);
    expect(first).toEqual({ kind: "unreadable", offset: 0, end: places[1]?.offset });
    expect(second).toMatchObject({ kind: "record", envelope: '{"a":1}', isBodySound: true });
  });
});

/** What is done to octets between two places. */
const damages: readonly (readonly [string, (octets: Buffer, from: number, to: number) => Buffer])[] = [
  ["is cut off", (octets, from) => octets.subarray(0, from)],
  ["has a flipped bit", (octets, from) => withOctet(octets, from, (octet) => octet ^ (1 << (from % 8)))],
  ["has zeros", (octets, from, to) => Buffer.from(octets).fill(0, from, to)],
  ["has zeros to its end", (octets, from) => Buffer.from(octets).fill(0, from)],
  ["has octets of another use", (octets, from, to) => Buffer.from(octets).fill("tpa1 \n{}", from, to)],
];

function withOctet(octets: Buffer, at: number, change: (octet: number) => number): Buffer {
  const changed = Buffer.from(octets);
  changed[at] = change(changed[at] ?? 0);
  return changed;
}

describe("a segment that", () => {
  it.each(damages)(
    "%s loses what was hit and nothing else, and gives nothing that was not written",
    (_, hit) => {
      fc.assert(
        fc.property(some, fc.nat(), fc.integer({ min: 1, max: 700 }), (letters, where, length) => {
          const written = segmentOf(letters);
          const end = written.places.at(-1)?.end ?? 0;
          const from = where % end;
          const octets = hit(written.octets, from, Math.min(from + length, end));
          const all = given(letters, written);
          const untouched = all.filter((_, index) => {
            const { offset, end } = written.places[index] ?? { offset: 0, end: 0 };
            return written.octets.subarray(offset, end).equals(octets.subarray(offset, end));
          });
          expect(lettersIn(octets)).toEqual(untouched);
        }),
        { numRuns: 500 },
      );
    },
  );

  it("was torn in its last batch has a torn end there; before it, that is damage", () => {
    fc.assert(
      fc.property(some, fc.nat(), (letters, where) => {
        const written = segmentOf(letters);
        const end = written.places.at(-1)?.end ?? 0;
        const octets = withOctet(written.octets, where % end, (octet) => octet ^ 1);
        const parts = read(octets);
        const { torn } = contentOf(parts, []);
        const known = parts.filter(isSound).reduce((last, { batch }) => Math.max(last, batch), 0);
        const hit = written.places.find((place) => place.end > where % end);
        const isDamage = (hit?.offset ?? 0) < known;
        if (isDamage) expect(torn).toEqual([]);
        expect(contentOf(read(octets, end), [{ word: "whole", offset: end }]).torn).toEqual([]);
        if (written.places.some(({ batch }) => batch > (hit?.offset ?? 0))) expect(isDamage).toBe(true);
      }),
    );
  });

  it("has two damaged records in a row tells both", () => {
    const letters = ["one", "two", "three"].map((body) => ({
      envelope: "{}",
      body: Buffer.from(body),
      begins: true,
    }));
    const { octets, places } = segmentOf(letters);
    const second = places[1]?.offset ?? 0;
    octets[second - 2] = 0; // the first message
    octets[second] = 0; // the second record's head
    expect(read(octets).map(({ kind, offset }) => [kind, offset])).toEqual([
      ["record", 0],
      ["unreadable", second],
      ["record", places[2]?.offset],
    ]);
  });

  it("lost its last record, which was known to be whole, says so", () => {
    const written = segmentOf([
      { envelope: "{}", body: Buffer.from("one"), begins: true },
      { envelope: "{}", body: Buffer.from("two"), begins: true },
    ]);
    const { offset = 0, end = 0 } = written.places[1] ?? {};
    const octets = Buffer.from(written.octets).fill(0, offset);
    expect(read(octets)).toHaveLength(1);
    expect(read(octets, end)[1]).toEqual({ kind: "unreadable", offset, end });
  });
});

describe("reading a segment takes time in proportion to its length", () => {
  /** Milliseconds of processor, the least of some tries. */
  const cost = (octets: Buffer): number =>
    Math.min(
      ...Array.from({ length: 5 }, () => {
        const before = process.cpuUsage();
        read(octets);
        const { user, system } = process.cpuUsage(before);
        return (user + system) / 1000;
      }),
    );

  const hostile: readonly (readonly [string, string])[] = [
    ["beginnings of records", "tpa1 "],
    ["ends of lines", "\n"],
    ["heads of another place", `tpa1 ${mark} 00000000 00000000 00000000 00000000 00000000 00000000\n`],
  ];
  it.each(hostile)("also where it is full of %s", (_, text) => {
    const of = (length: number) => Buffer.alloc(length, `x${text}`);
    expect(cost(of(8_000_000))).toBeLessThan(40 * cost(of(1_000_000)) + 200);
  });

  it("and eight digits are enough for the longest", () => {
    expect(longestSegment).toBeGreaterThan(64 * 1024 * 1024);
  });
});
