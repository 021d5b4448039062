/**
 * The event loop: one thread serves everybody, so work that blocks it for long delays all. Work on a message that waits
 * for nothing is done in its name: the watch can tell which message blocked the loop, and a start after a crash knows
 * which message was being worked on (spool/in-hand-file.ts).
 */
import { log } from "./log.ts";

export interface LoopClocks {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Milliseconds of processor time that the process has used. */
  readonly processor: () => number;
  readonly longest: () => LongestWork;
  /** Calls `check` again and again, so many milliseconds apart, until the function that it gives is called. */
  readonly every: (milliseconds: number, check: () => void) => () => void;
}

export interface EventLoopWatch {
  /** The longest delay of the last minute or two, in seconds. */
  readonly delay: () => number;
  stop(): void;
}

/** Milliseconds between two checks. Our choice, like the others here. */
const interval = 100;

/** A delay from which on it is logged, in milliseconds. */
const reportedDelay = 1_000;

/** Milliseconds after which the longest delay starts again from 0; the one of the period before still counts. */
const period = 60_000;

/** Begins to watch. A blocked loop is logged when it runs again, with the message that blocked it, where that is known. */
export function watchEventLoop({ now, processor, longest, every }: LoopClocks): EventLoopWatch {
  let last = now();
  let used = processor();
  let since = last;
  let most = 0;
  let before = 0;
  const stop = every(interval, () => {
    const time = now();
    const late = Math.max(0, time - last - interval);
    const spent = processor() - used;
    const { id, milliseconds } = longest();
    if (time - since >= period) {
      since = time;
      before = most;
      most = 0;
    }
    most = Math.max(most, late);
    if (late >= reportedDelay) {
      log("standstill", {
        seconds: late / 1000,
        processor: spent / 1000,
        id: 2 * milliseconds >= late ? id : "",
      });
    }
    last = time;
    used += spent;
  });
  return { delay: () => Math.max(most, before) / 1000, stop };
}

/** Gets the ID of each message when work on it begins, and "" when that ends. */
export type MessageMarker = (id: string) => void;

/** The longest piece of work without a pause since the last question. */
export interface LongestWork {
  /** A queue ID, or "" where the work was for no message. */
  readonly id: string;
  readonly milliseconds: number;
}

const nothingDone: LongestWork = { id: "", milliseconds: 0 };

let marker: MessageMarker = () => undefined;
let current = "";
let longest = nothingDone;

/** Sends all later marks to `next`. Tests and `serve` call it; nothing else does. */
export function markWith(next: MessageMarker): void {
  marker = next;
}

/** Does `work`, which waits for nothing, in the name of the message `id`. */
export function workOnMessage<Result>(id: string, work: () => Result): Result {
  const outer = current;
  current = id;
  if (outer !== id) marker(id);
  try {
    return timed(id, work);
  } finally {
    current = outer;
    if (outer !== id) marker(outer);
  }
}

function timed<Result>(id: string, work: () => Result): Result {
  const begun = performance.now();
  try {
    return work();
  } finally {
    noteWork(id, performance.now() - begun);
  }
}

function noteWork(id: string, milliseconds: number): void {
  if (milliseconds > longest.milliseconds) longest = { id, milliseconds };
}

/**
 * The same for each of `items`, in one go: that the work on one ends is not marked where the work on the next begins. What
 * is thrown concerns that one alone, and goes to `failed`.
 */
export function workOnEach<Item extends { readonly id: string }>(
  items: readonly Item[],
  work: (item: Item) => void,
  failed: (error: unknown, item: Item) => void,
): void {
  const outer = current;
  let begun = performance.now();
  for (const item of items) {
    marker(item.id);
    current = item.id;
    try {
      work(item);
    } catch (error) {
      failed(error, item);
    }
    const ended = performance.now();
    noteWork(item.id, ended - begun);
    begun = ended;
  }
  current = outer;
  if (items.length > 0) marker(outer);
}

/** The longest piece of work since the last call. */
export function takeLongestWork(): LongestWork {
  const found = longest;
  longest = nothingDone;
  return found;
}
