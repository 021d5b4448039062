/**
 * Keeping on: ask every few seconds whether the directory changed, search when it did, be patient while it is away.
 * Pure but for the functions it is given.
 */

/** Milliseconds; `random` gives numbers from 0 to 1. */
export interface Pace {
  readonly interval: number;
  readonly fullInterval: number;
  readonly retryLongest: number;
  readonly now: () => number;
  readonly random: () => number;
  /** Resolves when so much time has passed; true when it was cut short because somebody wants a whole search now. */
  readonly pause: (milliseconds: number) => Promise<boolean>;
}

/**
 * One look at the directory. `known` is the state it was in at the last search that counted, or undefined where a
 * whole search is due whatever the state. Gives the state before the search, "" where the directory does not tell.
 */
export type Look = (known: string | undefined) => Promise<string>;

/** Without a state there is a search each time, so not every two seconds. Our choice. */
const blindInterval = 60_000;

/**
 * Looks until `signal` aborts. A look that throws is handed to `failed`, and the next comes later: after twice the
 * pause each time, up to `retryLongest`, and not at the same moment as everybody else's.
 */
export async function watch(
  look: Look,
  pace: Pace,
  failed: (error: unknown) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let state = "";
  let searched = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let asked = true;
  while (!signal.aborted) {
    try {
      const due = asked || state === "" || pace.now() - searched >= pace.fullInterval;
      const began = pace.now();
      const next = await look(due ? undefined : state);
      if (due || next !== state) searched = began;
      state = next;
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      state = "";
      await failed(error);
    }
    asked = await pace.pause(restAfter(failures, state, pace));
  }
}

/** How long to rest after so many failures in a row. */
export function restAfter(failures: number, state: string, pace: Omit<Pace, "pause" | "now">): number {
  const { interval, fullInterval, retryLongest, random } = pace;
  if (failures > 0) {
    const longest = Math.min(retryLongest, interval * 2 ** Math.min(failures, 20));
    return longest * (0.5 + random() / 2);
  }
  return state === "" ? Math.min(fullInterval, Math.max(interval, blindInterval)) : interval;
}
