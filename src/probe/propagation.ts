/**
 * When a new password begins to work and the old one ends, with as few wrong passwords as possible: servers slow down
 * or ban clients that send too many. Pure but for what is passed in.
 *
 * As long as the old password works it is tried: it is right, and costs nothing. Its first refusal is usually the only
 * wrong password of a run, as the new one is tried at once. Where both work for a while (a cache of logins, several
 * servers) the old one tells nothing, so the new one is tried beside it after a minute, and then three times later each
 * time: our choice, which stays below a fail2ban limit of five in ten minutes.
 */

import { type Grade, seconds, type Thresholds } from "./result.ts";
import type { LoginAnswer } from "./transaction/smtp-check.ts";
import { oneLine } from "./untrusted-text.ts";

export type PasswordKind = "old" | "new";

/** Times are milliseconds since the change. */
export interface PasswordTimeline {
  /** When the first login with the new one began that succeeded; absent where none did. */
  readonly newWorks?: number;
  /** When the first login with the old one began that was refused; absent where it still works, or was not known. */
  readonly oldEnds?: number;
  /** How many wrong passwords were sent. */
  readonly wrong: number;
  /** Why the last attempt without an answer had none; absent where all had one. */
  readonly trouble?: string;
}

export interface ChangeTiming {
  /** Milliseconds, from any beginning. */
  readonly now: () => number;
  /** Resolves early when the run is interrupted. */
  readonly pause: (milliseconds: number) => Promise<void>;
  /** Milliseconds between two attempts, and until everything is given up. */
  readonly interval: number;
  readonly timeout: number;
}

const firstGuess = 60_000;

/** Where neither works, the new one is tried twice as late each time, up to this. */
const longestPause = 60_000;

/**
 * Follows a change that was just made, until both times are known or time is up. `hasOld`: the old password is known.
 */
export async function followChange(
  hasOld: boolean,
  attempt: (which: PasswordKind) => Promise<LoginAnswer>,
  { now, pause, interval, timeout }: ChangeTiming,
  stop: AbortSignal,
): Promise<PasswordTimeline> {
  const begun = now();
  let newWorks: number | undefined;
  let oldEnds: number | undefined;
  let trouble: string | undefined;
  let wrong = 0;
  let misses = 0;
  let nextGuess = hasOld ? firstGuess : 0;

  /** When it began, and the answer. */
  async function say(which: PasswordKind): Promise<readonly [at: number, kind: LoginAnswer["kind"]]> {
    const at = now() - begun;
    const answer = await attempt(which);
    if (answer.kind === "unknown") trouble = answer.reason;
    if (answer.kind === "out") wrong += 1;
    return [at, answer.kind];
  }

  for (;;) {
    if (hasOld && oldEnds === undefined) {
      const [at, kind] = await say("old");
      if (kind === "out") {
        oldEnds = at;
        nextGuess = at;
      }
    }
    if (newWorks === undefined && now() - begun >= nextGuess) {
      const [at, kind] = await say("new");
      if (kind === "in") newWorks = at;
      if (kind === "out") {
        misses += 1;
        const isAlone = !hasOld || oldEnds !== undefined;
        nextGuess = isAlone ? at + Math.min(longestPause, interval * 2 ** misses) : at * 3;
      }
    }
    const isDone = newWorks !== undefined && (oldEnds !== undefined || !hasOld);
    if (isDone || stop.aborted || now() - begun + interval > timeout) break;
    await pause(interval);
    if (stop.aborted) break;
  }
  return {
    ...(newWorks !== undefined && { newWorks }),
    ...(oldEnds !== undefined && { oldEnds }),
    wrong,
    ...(trouble !== undefined && { trouble }),
  };
}

export interface PropagationResult extends PasswordTimeline {
  /** The test account. */
  readonly login: string;
  /** When the directory had the new password, in milliseconds since the epoch; absent where nothing was changed. */
  readonly at?: number;
  readonly grade: Grade;
  /** One line of plain text. */
  readonly words: string;
}

/** The result of a change made at `at`; `hasOld`: the old password was known. */
export function judgeTimeline(
  { login, at, hasOld }: { readonly login: string; readonly at: number; readonly hasOld: boolean },
  timeline: PasswordTimeline,
  limits: Thresholds & { readonly timeout: number },
): PropagationResult {
  const { newWorks, oldEnds, trouble } = timeline;
  const why = trouble === undefined ? "" : `; last trouble: ${trouble}`;
  const given = seconds(limits.timeout);
  const of = (grade: Grade, words: string): PropagationResult => ({
    login,
    at,
    grade,
    words: oneLine(words),
    ...timeline,
  });
  if (newWorks === undefined)
    return of(
      2,
      oldEnds === undefined
        ? `the new password does not work after ${given}${hasOld ? ", the old one still does" : ""}${why}`
        : `neither password works: the old one ended after ${seconds(oldEnds)}, the new one does not work after ${given}${why}`,
    );
  if (hasOld && oldEnds === undefined)
    return of(
      2,
      `the new password works after ${seconds(newWorks)}, but the old one still does after ${given}${why}`,
    );
  const last = Math.max(newWorks, oldEnds ?? 0);
  const both = hasOld
    ? `the new password works after ${seconds(newWorks)}, the old one ended after ${seconds(oldEnds ?? 0)}`
    : `the new password works after ${seconds(newWorks)}; the old one was not known`;
  if (last > limits.crit) return of(2, `${both}, which is too late`);
  return last > limits.warn ? of(1, `${both}, which is late`) : of(0, both);
}

/** Nothing was changed, because `reason`. */
export const nothingChanged = (login: string, reason: string): PropagationResult => ({
  login,
  grade: 2,
  words: oneLine(`${reason}; nothing was changed`),
  wrong: 0,
});

const grades = ["OK", "WARNING", "CRITICAL", "UNKNOWN"] as const;

/** The status line for Nagios and the like. */
export function propagationLine(
  { grade, words, newWorks, oldEnds }: PropagationResult,
  { warn, crit }: Thresholds,
): string {
  const figures = [
    ...(newWorks === undefined ? [] : [`new=${figure(newWorks)}s;${figure(warn)};${figure(crit)};0`]),
    ...(oldEnds === undefined ? [] : [`old=${figure(oldEnds)}s;${figure(warn)};${figure(crit)};0`]),
  ];
  return `PROPAGATION ${grades[grade]} - ${words}${figures.length === 0 ? "" : ` | ${figures.join(" ")}`}\n`;
}

const figure = (milliseconds: number): string => (milliseconds / 1000).toFixed(3);
