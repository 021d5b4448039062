/**
 * What the one thread is at. Work on a message that does not wait for anything is done in its name: whoever watches the
 * event loop can tell what held it up, and a start after a crash knows which message it was (spool/in-hand-file.ts).
 */

/** Hears of each message that is taken in hand, and "" when none is any more. */
export type Marker = (id: string) => void;

/** The longest of what was done in one go since somebody asked. */
export interface Longest {
  /** A queue ID, or "" where nothing had a name. */
  readonly id: string;
  readonly milliseconds: number;
}

const nothing: Longest = { id: "", milliseconds: 0 };

let marker: Marker = () => undefined;
let current = "";
let longest = nothing;

/** Sends all later marks to `next`. Tests and `serve` call it; nothing else does. */
export function markWith(next: Marker): void {
  marker = next;
}

/** Does `work`, which waits for nothing, in the name of the message `id`. */
export function inHand<Result>(id: string, work: () => Result): Result {
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
export function takeLongest(): Longest {
  const found = longest;
  longest = nothing;
  return found;
}
