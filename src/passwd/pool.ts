/**
 * Worker threads that check passwords, first come, first served: bcrypt on the main thread would stop the relay.
 * A worker that dies takes its checks with it and is replaced when the next one comes.
 *
 * Where more checks wait than there are threads for, a thread gets two at a time that are of one kind, since it makes two of
 * bcrypt in little more time than one (bcrypt-pair.ts).
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

/** What the worker is sent. */
export interface WorkerTask extends PasswordCheck {
  readonly number: number;
}

/** What it sends back: the place of the hash that matched, or -1. */
export interface WorkerAnswer {
  readonly number: number;
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
  /** Checks of one kind can be made together; undefined where this one cannot be. */
  readonly kind: string | undefined;
  readonly least: LeastTime;
  readonly resolve: (outcome: CheckOutcome) => void;
}

/** Twice what the slowest hash within the limits of schemes.ts takes on a slow machine; milliseconds. */
const longest = 30_000;

/** Threads for the setting `passwords.workers`: where that is 0, one for each of the `processors` that the process may use. */
export const poolSize = (workers: number, processors = availableParallelism()): number =>
  workers === 0 ? processors : workers;

/** Of one bcrypt string all that decides how long its check takes. */
function kindOf({ hashes: [only = "", ...others] }: PasswordCheck): string | undefined {
  return others.length > 0 ? undefined : /^(?:\{(?:BLF-)?CRYPT\})?\$2[aby]\$(\d\d)\$/i.exec(only)?.[1];
}

/** `workers` threads run the file `worker`; `queue` checks may wait for one. */
export function startPool(workers: number, queue: number, worker: URL, clock = realClock): Pool {
  const waiting: QueuedCheck[] = [];
  let closed = false;
  const threads = Array.from({ length: workers }, () => startThread(worker, clock, next));

  function next(): void {
    const idle = threads.filter((thread) => thread.idle());
    for (const [at, thread] of idle.entries()) {
      const task = waiting.shift();
      if (!task) return;
      const isEnough = waiting.length < idle.length - at; // each of the others gets one
      const like =
        isEnough || task.kind === undefined ? -1 : waiting.findIndex(({ kind }) => kind === task.kind);
      thread.run(like < 0 ? [task] : [task, ...waiting.splice(like, 1)]);
    }
  }

  return {
    check(check, least = () => 0) {
      if (closed) return Promise.resolve(unavailable("shutting down"));
      if (waiting.length >= queue && threads.every((thread) => !thread.idle()))
        return Promise.resolve(unavailable("too many password checks are waiting"));
      return new Promise((resolve) => {
        waiting.push({ check, kind: kindOf(check), least, resolve });
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
  run(tasks: readonly QueuedCheck[]): void;
  close(): Promise<void>;
}

/** One thread of the pool; `free` is called whenever it can take checks again. */
function startThread(file: URL, clock: SteadyClock, free: () => void): Thread {
  /** By number, those that are not done with. */
  const tasks = new Map<number, QueuedCheck>();
  let last = 0;
  /** How many of them have no answer yet. */
  let open = 0;
  let began = 0;
  let worker: Worker | undefined = start();
  let deadline: NodeJS.Timeout | undefined;

  function start(): Worker {
    // A hash that makes a worker eat memory ends the worker, not the relay.
    const started = new Worker(file, { resourceLimits: { maxOldGenerationSizeMb: 64 } });
    let reason = "the thread that checked the password ended";
    started.on("message", (answer: WorkerAnswer) => void answered(answer));
    started.on("error", (error) => {
      reason += `: ${errorText(error)}`;
    });
    started.on("exit", () => {
      worker = undefined;
      clearTimeout(deadline);
      for (const number of tasks.keys()) finish(number, unavailable(reason));
      free();
    });
    return started;
  }

  async function answered({ number, match }: WorkerAnswer): Promise<void> {
    open -= 1;
    if (open === 0) clearTimeout(deadline);
    const rest = began + ((await tasks.get(number)?.least(match)) ?? 0) - clock.steady();
    if (rest > 0) await clock.pause(rest);
    finish(number, { kind: "answer", match }); // which does nothing where the thread has ended
    if (tasks.size === 0) free();
  }

  function finish(number: number, outcome: CheckOutcome): void {
    const task = tasks.get(number);
    if (!tasks.delete(number)) return;
    task?.resolve(outcome);
  }

  return {
    idle: () => tasks.size === 0,
    run(given) {
      began = clock.steady();
      open = given.length;
      worker ??= start();
      const used = worker;
      deadline = setTimeout(() => void used.terminate(), longest);
      for (const task of given) {
        last += 1;
        tasks.set(last, task);
        used.postMessage({ ...task.check, number: last } satisfies WorkerTask);
      }
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function unavailable(reason: string): CheckOutcome {
  return { kind: "unavailable", reason };
}
