import { describe, expect, test } from "vitest";
import { newMark, readMark, writeMark } from "../../../src/probe/arrival/mark.ts";

const bound = { key: Buffer.alloc(32, 7), from: "probe@example.org", to: "x@example.net" };
const mark = newMark(Buffer.alloc(16, 0xab), 1_790_000_000_000);
const written = writeMark(mark, bound);

describe("the mark of a probe's message", () => {
  test("is read back where the key and the envelope are the same", () => {
    expect(written).toMatch(/^(ab){16}\.1790000000000\.[\w-]{43}$/);
    expect(readMark(` ${written}\r\n`, bound)).toEqual(mark);
    expect(readMark(written, { ...bound, to: "X@EXAMPLE.NET" })).toEqual(mark);
  });

  test.each([
    ["another key", written, { ...bound, key: Buffer.alloc(32, 8) }],
    ["another sender", written, { ...bound, from: "other@example.org" }],
    ["another recipient", written, { ...bound, to: "y@example.net" }],
    ["another time", written.replace(".1790000000000.", ".1790000000001."), bound],
    ["another identifier", written.replace("ab", "ac"), bound],
    ["no signature", written.replace(/\.[\w-]{43}$/, "."), bound],
    ["more behind it", `${written}x`, bound],
    ["nothing", "", bound],
    ["very much", "a".repeat(100_000), bound],
  ])("is none with %s", (_, text, other) => {
    expect(readMark(text, other)).toBeUndefined();
  });
});
