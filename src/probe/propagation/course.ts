/**
 * When a new password begins to work and the old one ends, found out with as few wrong passwords as can be: servers slow
 * down, or shut out, whoever says too many. Pure but for what is passed in.
 *
 * As long as the old password works it is the one that is tried: it is right, and costs nothing. The first time that it is
 * refused is usually the only wrong password of a run, for the new one is tried at that moment. Where both work for a while
 * (a cache of logins, several servers) the old one tells nothing, so the new one is tried beside it after a minute, and each
 * time three times later: our choice, so that a fail2ban of five in ten minutes stays quiet.
 */

/** What a server says to a password; `reason` is what stands in the way of an answer. */
export type Answer =
  | { readonly kind: "in" }
  | { readonly kind: "out" }
  | { readonly kind: "unknown"; readonly reason: string };

export type Which = "old" | "new";

/** Times are milliseconds since the change. */
export interface Course {
  /** When an attempt began that the new one opened; absent where none did. */
  readonly newWorks?: number;
  /** When an attempt began that the old one did not open any more; absent where it still does, or was not known. */
  readonly oldEnds?: number;
  /** Wrong passwords that were said. */
  readonly wrong: number;
  /** Why the last attempt that had no answer had none; absent where all had one. */
  readonly trouble?: string;
}

export interface Pace {
  /** Milliseconds, from any beginning. */
  readonly now: () => number;
  /** Resolves early when the run is told to stop. */
  readonly pause: (milliseconds: number) => Promise<void>;
  /** Milliseconds between two attempts, and until everything is given up. */
  readonly interval: number;
  readonly timeout: number;
}

const firstGuess = 60_000;

/** Where neither works, the new one is tried twice as late each time, up to this. */
const longestPause = 60_000;

/** Follows a change that was made just now, until both are known or time is up. `hasOld`: an old one is there to be tried. */
export async function followChange(
  hasOld: boolean,
  attempt: (which: Which) => Promise<Answer>,
  { now, pause, interval, timeout }: Pace,
  stop: AbortSignal,
): Promise<Course> {
  const begun = now();
  let newWorks: number | undefined;
  let oldEnds: number | undefined;
  let trouble: string | undefined;
  let wrong = 0;
  let misses = 0;
  let nextGuess = hasOld ? firstGuess : 0;

  /** When it began, and what was said. */
  async function say(which: Which): Promise<readonly [at: number, kind: Answer["kind"]]> {
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
