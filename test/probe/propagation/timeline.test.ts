/** Following a change of a password: what is tried when, on a clock of its own. */
import { describe, expect, test } from "vitest";
import {
  followChange,
  judgeTimeline,
  type PasswordKind,
  propagationLine,
} from "../../../src/probe/propagation.ts";
import type { LoginAnswer } from "../../../src/probe/transaction/smtp-check.ts";

const minute = 60_000;
const limits = { warn: 5 * minute, crit: 15 * minute, timeout: 20 * minute };

interface Server {
  /** Seconds after the change. */
  readonly newFrom: number;
  readonly oldUntil: number;
  readonly silentUntil?: number;
}

/** Seconds and passwords of all attempts, as "0 old", and what came of them. */
async function follow({ newFrom, oldUntil, silentUntil = 0 }: Server, hasOld = true) {
  let time = 1000;
  const attempts: string[] = [];
  const answer = (which: PasswordKind): LoginAnswer => {
    const second = (time - 1000) / 1000;
    attempts.push(`${second} ${which}`);
    if (second < silentUntil) return { kind: "unknown", reason: "it is silent" };
    return { kind: (which === "new" ? second >= newFrom : second < oldUntil) ? "in" : "out" };
  };
  const timeline = await followChange(
    hasOld,
    (which) => Promise.resolve(answer(which)),
    {
      now: () => time,
      pause: (milliseconds) => {
        time += milliseconds;
        return Promise.resolve();
      },
      interval: 5000,
      timeout: limits.timeout,
    },
    new AbortController().signal,
  );
  const { grade, words } = judgeTimeline({ login: "probe", at: 0, hasOld }, timeline, limits);
  return { attempts, timeline, grade, words };
}

describe("followChange()", () => {
  test("says one wrong password where the change comes at once for both", async () => {
    const { attempts, timeline, grade, words } = await follow({ newFrom: 12, oldUntil: 12 });
    expect(attempts).toEqual(["0 old", "5 old", "10 old", "15 old", "15 new"]);
    expect(timeline).toEqual({ newWorks: 15_000, oldEnds: 15_000, wrong: 1 });
    expect([grade, words]).toEqual([0, "the new password works after 15 s, the old one ended after 15 s"]);
  });

  test("finds that both work, by few guesses", async () => {
    const { attempts, timeline, grade } = await follow({ newFrom: 70, oldUntil: 600 });
    expect(attempts.filter((attempt) => attempt.endsWith("new"))).toEqual(["60 new", "180 new"]);
    expect(timeline).toEqual({ newWorks: 180_000, oldEnds: 600_000, wrong: 2 });
    expect(grade).toBe(1);
  });

  test("tries ever more slowly where neither works", async () => {
    const { attempts, words } = await follow({ newFrom: Number.POSITIVE_INFINITY, oldUntil: 5 });
    const guesses = attempts.filter((attempt) => attempt.endsWith("new"));
    expect(guesses.slice(0, 6)).toEqual(["5 new", "15 new", "35 new", "75 new", "135 new", "195 new"]);
    expect(words).toBe(
      "neither password works: the old one ended after 5.0 s, the new one does not work after 20 min",
    );
  });

  test("tries the new one at once where the old one is not known", async () => {
    const { attempts, timeline, words } = await follow({ newFrom: 12, oldUntil: 12 }, false);
    expect(attempts).toEqual(["0 new", "10 new", "30 new"]);
    expect(timeline).toEqual({ newWorks: 30_000, wrong: 2 });
    expect(words).toBe("the new password works after 30 s; the old one was not known");
  });

  test("learns nothing from a server that gives no answer, and goes on", async () => {
    const { timeline } = await follow({ newFrom: 0, oldUntil: 0, silentUntil: 20 });
    expect(timeline).toEqual({ newWorks: 20_000, oldEnds: 20_000, wrong: 1, trouble: "it is silent" });
  });

  test.each([
    [
      "never comes",
      { newFrom: 1e6, oldUntil: 1e6 },
      /^the new password does not work after 20 min, the old one still does$/,
    ],
    [
      "leaves the old one good",
      { newFrom: 0, oldUntil: 1e6 },
      /^the new password works after 60 s, but the old one still does/,
    ],
    ["comes too late", { newFrom: 960, oldUntil: 960 }, /, which is too late$/],
    ["meets silence", { newFrom: 0, oldUntil: 0, silentUntil: 1e6 }, /; last trouble: it is silent$/],
  ])("a change that %s is critical", async (_, server, expected) => {
    const { grade, words } = await follow(server);
    expect(grade).toBe(2);
    expect(words).toMatch(expected);
  });

  test("says no more than three wrong passwords in ten minutes before the old one ends", async () => {
    const { attempts } = await follow({ newFrom: 1e6, oldUntil: 1e6 });
    const guesses = attempts.filter((attempt) => attempt.endsWith("new"));
    expect(guesses).toEqual(["60 new", "180 new", "540 new"]);
  });
});

test("propagationLine() is a line for Nagios", () => {
  const judgement = judgeTimeline(
    { login: "probe", at: 0, hasOld: true },
    { newWorks: 1, oldEnds: 2, wrong: 1, trouble: "a|b\nc" },
    limits,
  );
  expect(propagationLine(judgement, limits)).toBe(
    "PROPAGATION OK - the new password works after 0.0 s, the old one ended after 0.0 s | new=0.001s;300.000;900.000;0 old=0.002s;300.000;900.000;0\n",
  );
  const lost = judgeTimeline(
    { login: "probe", at: 0, hasOld: true },
    { wrong: 0, trouble: "a|b\nc" },
    limits,
  );
  expect(propagationLine(lost, limits)).toBe(
    "PROPAGATION CRITICAL - the new password does not work after 20 min, the old one still does; last trouble: a/b c\n",
  );
});
