import { describe, expect, test } from "vitest";
import { expired, isFull, nameOf } from "../../../src/server/history/files.ts";

const hour = 3_600_000;
const day = 24 * hour;
const noon = Date.UTC(2026, 10, 29, 12);
const week = { keep: 7 * day, size: 700 };

test("a file is named by the second in which it begins", () => {
  expect(nameOf(noon)).toBe("20261129T120000Z.jsonl");
});

describe("a file", () => {
  test.each([
    ["goes on on the same day", noon + 11 * hour, 1, week, false],
    ["ends with the day", noon + 12 * hour, 1, week, true],
    ["ends with a seventh of the room", noon, 101, week, true],
    ["goes on up to that", noon, 100, week, false],
    [
      "ends with a seventh of the time, where that is short",
      noon + hour,
      0,
      { keep: 7 * hour, size: 700 },
      true,
    ],
  ])("%s", (_, now, octets, limits, full) => {
    expect(isFull({ start: noon, octets: octets - 1 }, 1, now, limits)).toBe(full);
  });
});

describe("what goes", () => {
  const file = (start: number, octets: number) => ({ name: nameOf(start), start, octets });
  const names = (files: readonly { readonly name: string }[]) => files.map(({ name }) => name);

  test("is a file whose first line is as old as anything may be", () => {
    const files = [file(noon - 7 * day, 10), file(noon - 7 * day + 1_000, 10)];
    expect(names(expired(files, noon, week))).toEqual([nameOf(noon - 7 * day)]);
  });

  test("is the oldest, until there is room for one more file", () => {
    const files = [file(noon - 3 * hour, 300), file(noon - 2 * hour, 300), file(noon - hour, 300)];
    expect(names(expired(files, noon, week))).toEqual([nameOf(noon - 3 * hour)]);
  });

  test("is everything where nothing is kept", () => {
    expect(expired([file(noon, 1)], noon, { keep: 0, size: 700 })).toHaveLength(1);
  });
});
