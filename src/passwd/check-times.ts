/**
 * How long the slowest check takes that the password file can cause. It is measured: one password is checked against
 * one hash of each algorithm and cost, once, since what a cost means in milliseconds depends on the machine.
 */
import type { Logins } from "./logins.ts";
import { type Pool, type SteadyClock, startPool } from "./pool.ts";
import { longestPassword } from "./scheme.ts";

export interface CheckTimes {
  /** In milliseconds, with a margin; for a login with several lines all of them count. */
  slowest(logins: Logins): Promise<number>;
}

/** Of the time measured: the next check may take a little longer. Our choice. */
const margin = 1.25;

/** `time` gives the milliseconds that one check takes against each of the stored passwords. */
export function newCheckTimes(time: (stored: readonly string[]) => Promise<readonly number[]>): CheckTimes {
  const known = new Map<string, number>();
  const found = new WeakMap<Logins, Promise<number>>();
  let last: Promise<unknown> = Promise.resolve();

  async function find({ samples, mixes }: Logins): Promise<number> {
    const unknown = [...samples].filter(([kind]) => !known.has(kind));
    const times = unknown.length === 0 ? [] : await time(unknown.map(([, stored]) => stored));
    for (const [at, [kind]] of unknown.entries()) {
      const took = times[at] ?? 0;
      if (took > 0) known.set(kind, took); // else with the next version of the file
    }
    let slowest = 0;
    for (const kinds of mixes) {
      const cost = kinds.reduce((sum, kind) => sum + (known.get(kind) ?? 0), 0);
      slowest = Math.max(slowest, cost);
    }
    return margin * slowest;
  }

  return {
    slowest(logins) {
      const before = found.get(logins);
      if (before) return before;
      const started = last.then(() => find(logins));
      last = started;
      found.set(logins, started);
      return started;
    },
  };
}

export interface Stopwatch {
  /** Milliseconds that one check takes against each; 0 where it cannot be made. */
  time(stored: readonly string[]): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** A check shorter than this is made once more: the first one of a thread also loads what it needs. Milliseconds. */
const short = 500;

/** Measures on a thread of its own, so that no login waits for it. */
export function newStopwatch(worker: URL, clock: SteadyClock): Stopwatch {
  let pool: Pool | undefined;
  let isClosed = false;

  async function timeOn(thread: Pool, stored: string): Promise<number> {
    const check = { password: "?".repeat(longestPassword), names: ["nobody"], hashes: [stored] };
    let least: number | undefined;
    for (let times = 0; times < 2 && (least ?? 0) < short; times += 1) {
      const began = clock.steady();
      const { kind } = await thread.check(check);
      if (kind === "answer") least = Math.min(least ?? Number.POSITIVE_INFINITY, clock.steady() - began);
    }
    return least ?? 0;
  }

  return {
    async time(stored) {
      if (isClosed) return [];
      const thread = startPool(1, 1, worker, clock);
      pool = thread;
      const times: number[] = [];
      for (const one of stored) times.push(await timeOn(thread, one));
      await thread.close();
      return times;
    },
    async close() {
      isClosed = true;
      await pool?.close();
    },
  };
}
