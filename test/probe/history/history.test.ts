import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { append, read, trim } from "../../../src/probe/history/file.ts";
import { groupBy, percentile, slices, statisticsOf } from "../../../src/probe/history/statistics.ts";
import { shareLine } from "../../../src/probe/history/summary.ts";
import type { ProbeOutcome, ProbeResult } from "../../../src/probe/result.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "history-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const result = (at: number, outcome: ProbeOutcome = "inbox", after?: number, route = "net"): ProbeResult => ({
  route,
  provider: "example.net",
  at,
  outcome,
  grade: 0,
  words: "w",
  ...(after !== undefined && { after }),
});

describe("the history", () => {
  test("gives back what was appended, in order, from a moment on", async () => {
    const file = join(folder, "history");
    expect(await read(file, 0)).toEqual([]);
    await append(file, [result(3), result(1)]);
    await append(file, []);
    await Promise.all(Array.from({ length: 20 }, (_, number) => append(file, [result(10 + number)])));
    expect((await read(file, 2)).map(({ at }) => at)).toEqual([
      3,
      ...Array.from({ length: 20 }, (_, number) => 10 + number),
    ]);
  });

  test("passes over what a crash tore, and what is no result", async () => {
    const file = join(folder, "history");
    await append(file, [result(1)]);
    await appendFile(
      file,
      '{"route":"net","prov\nnull\n7\n{"route":"x","provider":"y","at":2,"outcome":"eaten","grade":0,"words":""}\n{"route":"x","provider":"y","at":2,"outcome":"inbox","grade":9,"words":""}\n',
    );
    await append(file, [result(2)]);
    expect((await read(file, 0)).map(({ at }) => at)).toEqual([1, 2]);
  });

  test("begins a new line behind one that a crash or a full disk cut short", async () => {
    const file = join(folder, "history");
    await append(file, [result(1)]);
    await appendFile(file, '{"route":"net","prov');
    await append(file, [result(2)]);
    expect((await read(file, 0)).map(({ at }) => at)).toEqual([1, 2]);
  });

  test("is trimmed of what is old", async () => {
    const file = join(folder, "history");
    const week = 7 * 86_400_000;
    const lines = async (): Promise<number> => (await readFile(file, "utf8")).trimEnd().split("\n").length;
    await trim(file, 3 * week); // there is none yet
    await append(file, [result(week), result(2 * week), result(3 * week)]);
    await trim(file, 2 * week); // not worth the while
    expect(await lines()).toBe(3);
    await trim(file, 3 * week);
    expect(await lines()).toBe(1);
  });

  test("says which file cannot be used", async () => {
    await expect(append(join(folder, "nowhere", "history"), [result(1)])).rejects.toThrow(
      /nowhere\/history: the history cannot be used: ENOENT/,
    );
    await expect(read(folder, 0)).rejects.toThrow(/the history cannot be used: EISDIR/);
  });
});

describe("statistics", () => {
  test("of nothing are nothing", () => {
    expect(statisticsOf([])).toEqual({ probes: 0, outcomes: {} });
    expect(statisticsOf([result(1, "pending")])).toEqual({ probes: 0, outcomes: {} });
  });

  test("count what reached the inbox, and how fast", () => {
    const results = [
      ...Array.from({ length: 19 }, (_, at) => result(at, "inbox", (at + 1) * 100)),
      result(19, "lost"),
    ];
    expect(statisticsOf(results)).toEqual({
      probes: 20,
      success: 0.95,
      median: 1000,
      percentile95: 1900,
      outcomes: { inbox: 19, lost: 1 },
    });
    expect(statisticsOf([result(1, "spam", 100), result(2, "late", 300)])).toMatchObject({
      success: 0.5,
      median: 100,
    });
  });

  test.each([
    [[], 0.5, undefined],
    [[7], 0.95, 7],
    [[1, 2, 3, 4], 0.5, 2],
    [[1, 2, 3, 4], 1, 4],
  ])("percentile of %j at %f", (sorted, share, expected) => {
    expect(percentile(sorted, share)).toBe(expected);
  });

  test("by slices and by keys lose nothing that lies within", () => {
    const results = [result(0), result(49), result(50, "lost", undefined, "com"), result(99), result(100)];
    expect(slices(results, 0, 100, 2).map(({ from, results: part }) => [from, part.length])).toEqual([
      [0, 2],
      [50, 2],
    ]);
    expect(groupBy(results, ({ route }) => route).map(([key, part]) => [key, part.length])).toEqual([
      ["com", 1],
      ["net", 4],
    ]);
  });
});

test("a line of shares shows how much reached the inbox, all of it only as a full block, and gaps", () => {
  const results = [
    result(0, "inbox", 100),
    result(1, "late", 800),
    ...Array.from({ length: 9 }, () => result(10, "inbox", 800)),
    result(11, "spam"),
    result(20, "lost"),
    result(40, "late", 400),
    result(41, "lost"),
  ];
  expect(shareLine(slices(results, 0, 50, 5))).toBe("█▇▁ ▄");
  expect(shareLine(slices([], 0, 50, 5))).toBe("     ");
});
