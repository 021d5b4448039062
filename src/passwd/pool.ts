/**
 * Worker threads that check passwords, first come, first served: bcrypt on the main thread would stop the relay.
 * A worker that dies takes one check with it and is replaced when the next one comes.
 */
import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { errorText } from "../failure.ts";

export interface PasswordCheck {
  readonly password: string;
  /** The names that the login may go by. */
  readonly names: readonly string[];
  /** Stored passwords as text; any of them may match. */
  readonly hashes: readonly string[];
}

/** What the worker sends back: the place of the hash that matched, or -1. */
export interface WorkerAnswer {
  readonly match: number;
}

export type CheckOutcome =
  | { readonly kind: "answer"; readonly match: number }
  | { readonly kind: "unavailable"; readonly reason: string };

/** A clock in milliseconds that never goes back, and a pause. */
export interface SteadyClock {
  readonly steady: () => number;
  readonly pause: (milliseconds: number) => Promise<unknown>;
}

export const realClock: SteadyClock = {
  steady: () => performance.now(),
  pause: (milliseconds) => pause(milliseconds, undefined, { ref: false }),
};

export interface Pool {
  /**
   * `least` gives the fewest milliseconds that the thread is taken for, which may depend on the answer: clients that
   * wait for the next check then cannot tell how long this one took.
   */
  check(check: PasswordCheck, least?: LeastTime): Promise<CheckOutcome>;
  /** Ends the threads; checks that wait are unavailable. */
  close(): Promise<void>;
}

export type LeastTime = (match: number) => number | Promise<number>;

interface QueuedCheck {
  readonly check: PasswordCheck;
  readonly least: LeastTime;
  readonly resolve: (outcome: CheckOutcome) => void;
}

/** Twice what the slowest hash within the limits of schemes.ts takes on a slow machine; milliseconds. */
const longest = 30_000;

/** Threads for the setting `passwords.workers`: where that is 0, one for each of the `processors` that the process may use. */
export const poolSize = (workers: number, processors = availableParallelism()): number =>
  workers === 0 ? processors : workers;

/** `workers` threads run the file `worker`; `queue` checks may wait for one. */
export function startPool(workers: number, queue: number, worker: URL, clock = realClock): Pool {
  const waiting: QueuedCheck[] = [];
  let closed = false;
  const threads = Array.from({ length: workers }, () => startThread(worker, clock, next));

  function next(): void {
    for (const thread of threads) {
      if (!thread.idle()) continue;
      const task = waiting.shift();
      if (!task) return;
      thread.run(task);
    }
  }

  return {
    check(check, least = () => 0) {
      if (closed) return Promise.resolve(unavailable("shutting down"));
      if (waiting.length >= queue && threads.every((thread) => !thread.idle()))
        return Promise.resolve(unavailable("too many password checks are waiting"));
      return new Promise((resolve) => {
        waiting.push({ check, least, resolve });
        next();
      });
    },
    async close() {
      closed = true;
      for (const task of waiting.splice(0)) task.resolve(unavailable("shutting down"));
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

interface Thread {
  idle(): boolean;
  run(task: QueuedCheck): void;
  close(): Promise<void>;
}

/** One thread of the pool; `free` is called whenever it can take a check again. */
function startThread(file: URL, clock: SteadyClock, free: () => void): Thread {
  let task: QueuedCheck | undefined;
  let began = 0;
  let worker: Worker | undefined = start();
  let deadline: NodeJS.Timeout | undefined;

  function start(): Worker {
    // A hash that makes a worker eat memory ends the worker, not the relay.
    const started = new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: 64 } });
    let reason = "the thread that checked the password ended";
    started.on("message", ({ match }: WorkerAnswer) => void answered(match));
    started.on("error", (error) => {
      reason += `: ${errorText(error)}`;
    });
    started.on("exit", () => {
      worker = undefined;
      finish(unavailable(reason));
    });
    return started;
  }

  async function answered(match: number): Promise<void> {
    clearTimeout(deadline);
    const own = task;
    const rest = began + ((await own?.least(match)) ?? 0) - clock.steady();
    if (rest > 0) await clock.pause(rest);
    if (own && own === task) finish({ kind: "answer", match }); // else the thread has ended
  }

  function finish(outcome: CheckOutcome): void {
    clearTimeout(deadline);
    task?.resolve(outcome);
    task = undefined;
    free();
  }

  return {
    idle: () => task === undefined,
    run(given) {
      task = given;
      began = clock.steady();
      worker ??= start();
      const used = worker;
      deadline = setTimeout(() => void used.terminate(), longest);
      used.postMessage(given.check);
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function unavailable(reason: string): CheckOutcome {
  return { kind: "unavailable", reason };
}
