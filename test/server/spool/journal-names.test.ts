import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type DoneLine,
  formatDoneLine,
  formatJournalName,
  parseDoneLines,
  parseJournalName,
} from "../../../src/server/spool/journal-names.ts";

const mark = "0123456789ABCDEF";

describe("a file of the journal", () => {
  it.each([
    [{ kind: "segment", number: 7, mark }, "0000000007-0123456789ABCDEF"],
    [{ kind: "done", number: 7, edition: 0 }, "0000000007.0.done"],
    [{ kind: "done", number: 7, edition: 12 }, "0000000007.12.done"],
    [{ kind: "free", number: 7 }, "free-0000000007"],
  ] as const)("has the name that says what it is: %o", (name, text) => {
    expect(formatJournalName(name)).toBe(text);
    expect(parseJournalName(text)).toEqual(name);
  });

  it.each([
    "",
    "0000000007",
    "7-0123456789ABCDEF",
    "0000000007.01.done",
    "free-7",
    "0000000007-0123456789abcdef",
  ])("is nothing of ours where it is called %j", (name) => {
    expect(parseJournalName(name)).toBeUndefined();
  });
});

const line: fc.Arbitrary<DoneLine> = fc.oneof(
  fc.nat().map((id): DoneLine => ({ word: "done", id: id.toString(16).toUpperCase().padStart(12, "0") })),
  fc.record({
    word: fc.constantFrom("torn" as const, "whole" as const),
    offset: fc.nat({ max: 99_999_999 }),
  }),
);

describe("the lines of a done file", () => {
  it("are read as they were written", () => {
    expect(formatDoneLine({ word: "done", id: "1A203997B800" }, mark)).toMatch(
      /^done 1A203997B800 [0-9A-F]{8}\n$/,
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const text = lines.map((one) => formatDoneLine(one, mark)).join("");
        expect(parseDoneLines(`${text}${"\0".repeat(100)}`, mark)).toEqual(lines);
        expect(parseDoneLines(text, "AAAAAAAAAAAAAAAA")).toEqual([]);
      }),
    );
  });

  it("are those that were written where a power cut left zeros in place of any part of them", () => {
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.tuple(fc.nat(), fc.nat({ max: 60 }))), (lines, holes) => {
        const texts = lines.map((one) => formatDoneLine(one, mark));
        const octets = Buffer.from(texts.join(""));
        for (const [from, length] of holes) {
          const at = from % (octets.length + 1);
          octets.fill(0, at, Math.min(octets.length, at + length));
        }
        let at = 0;
        const left = lines.filter((_, index) => {
          const text = texts[index] ?? "";
          at += text.length;
          return octets.toString("latin1", at - text.length, at) === text;
        });
        expect(parseDoneLines(octets.toString("latin1"), mark)).toEqual(left);
      }),
    );
  });
});
