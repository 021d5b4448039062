import { describe, expect, test } from "vitest";
import { delayAfter, watch } from "../../../src/commands/sync/watch.ts";

const minute = 60_000;
const pace = { interval: 2000, fullInterval: 60 * minute, retryLongest: 5 * minute, random: () => 1 };

/** Runs the loop over `script`: the state that each look finds, an Error for one that fails, "HUP" for SIGHUP. */
async function play(script: readonly (string | Error)[], random = () => 1) {
  const steps = [...script];
  const stop = new AbortController();
  const told: string[] = [];
  let time = 0;
  await watch(
    (known) => {
      const next = steps.shift() ?? "";
      if (steps.length === 0) stop.abort();
      if (next instanceof Error) return Promise.reject(next);
      told.push(known === next ? "base search" : "whole search");
      return Promise.resolve(next);
    },
    {
      ...pace,
      random,
      now: () => time,
      pause: (milliseconds) => {
        time += milliseconds;
        told.push(`${milliseconds / 1000} s`);
        const rung = steps[0] === "HUP";
        if (rung) steps.shift();
        return Promise.resolve(rung);
      },
    },
    (error) => {
      told.push(String(error));
      return Promise.resolve();
    },
    stop.signal,
  );
  return told.slice(0, -1);
}

describe("watch()", () => {
  test("searches at first, and then only when the directory has changed", async () => {
    expect(await play(["a", "a", "a", "b", "b"])).toEqual([
      ...[
        "whole search",
        "2 s",
        "base search",
        "2 s",
        "base search",
        "2 s",
        "whole search",
        "2 s",
        "base search",
      ],
    ]);
  });

  test("searches every hour even so", async () => {
    const looks = await play(Array.from({ length: 1804 }, () => "a"));
    const whole = looks
      .filter((told) => !told.endsWith(" s"))
      .flatMap((told, at) => (told === "whole search" ? [at] : []));
    expect(whole).toEqual([0, 1800]);
  });

  test("searches at once on SIGHUP", async () => {
    expect(await play(["a", "HUP", "a", "a"])).toEqual([
      ...["whole search", "2 s", "whole search", "2 s", "base search"],
    ]);
  });

  test("waits longer each time the directory is away, and no longer than the setting", async () => {
    const away = new Error("away");
    const told = await play([...Array.from({ length: 10 }, () => away), "a", "a"]);
    expect(told.filter((line) => line.endsWith(" s"))).toEqual(
      [4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 2].map((seconds) => `${seconds} s`),
    );
    expect(told.slice(-3)).toEqual(["whole search", "2 s", "base search"]);
  });

  test("searches again after a failure, whatever the state", async () => {
    expect(await play(["a", new Error("refused"), "a"])).toEqual([
      ...["whole search", "2 s", "Error: refused", "4 s", "whole search"],
    ]);
  });

  test("searches every minute where the directory tells no state", async () => {
    expect(await play(["", "", ""])).toEqual([
      "whole search",
      "60 s",
      "whole search",
      "60 s",
      "whole search",
    ]);
  });

  test("says nothing about the look that its end cuts short", async () => {
    expect(await play(["a", new Error("cut short")])).toEqual(["whole search"]);
  });
});

test("restAfter() spreads many hosts over half of the pause", () => {
  expect(delayAfter(1, "", { ...pace, random: () => 0 })).toBe(2000);
  expect(delayAfter(1, "", { ...pace, random: () => 1 })).toBe(4000);
  expect(delayAfter(1_000_000, "", pace)).toBe(5 * minute);
});
