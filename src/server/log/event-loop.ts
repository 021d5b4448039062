/** A watch on the event loop: one thread serves everybody, and what takes it for long keeps all waiting. */
import { log } from "./log.ts";

export interface LoopClocks {
  /** Milliseconds of a clock that nobody sets. */
  readonly now: () => number;
  /** Milliseconds of processor time that the process has used. */
  readonly processor: () => number;
  readonly longest: () => LongestWork;
  /** Calls `look` again and again, so many milliseconds apart, until the function that it gives is called. */
  readonly every: (milliseconds: number, look: () => void) => () => void;
}

export interface EventLoopWatch {
  /** The longest delay of the last minute or two, in seconds. */
  readonly delay: () => number;
  stop(): void;
}

/** Milliseconds between two looks. Our choice, and so are the others. */
const interval = 100;

/** Milliseconds late from which on it is told. */
const reportedDelay = 1_000;

/** Milliseconds after which the longest delay begins anew; the one before still counts. */
const period = 60_000;

/** Begins to watch. A standstill is logged when it is over, with the message whose work it was, where that is known. */
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

/**
 * What the one thread is at. Work on a message that does not wait for anything is done in its name: whoever watches the
 * event loop can tell what held it up, and a start after a crash knows which message it was (spool/in-hand-file.ts).
 */

/** Hears of each message that is taken in hand, and "" when none is any more. */
export type MessageMarker = (id: string) => void;

/** The longest of what was done in one go since somebody asked. */
export interface LongestWork {
  /** A queue ID, or "" where nothing had a name. */
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
  const begun = performance.now();
  try {
    return work();
  } finally {
    const milliseconds = performance.now() - begun;
    if (milliseconds > longest.milliseconds) longest = { id, milliseconds };
    current = outer;
    if (outer !== id) marker(outer);
  }
}

/** What took longest since the last call. */
export function takeLongestWork(): LongestWork {
  const found = longest;
  longest = nothingDone;
  return found;
}
