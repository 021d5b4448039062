/**
 * When a refusal is answered: at a time that does not tell how long its check took, and so not who exists, what is
 * stored for somebody or whether the same was asked before.
 */

/** What a step has beyond the dearest check, for the way to the thread and back. Our choice. */
const room = 1.25;

/** All in milliseconds. */
export interface Refusal {
  /** Since the client's line was there. */
  readonly spent: number;
  /** What this refusal is to wait at least. */
  readonly wait: number;
  /** What any refusal is to wait at least. */
  readonly pause: number;
  /** What the dearest check takes that the password file can cause. */
  readonly dearest: number;
}

/** Milliseconds after the client's line: `wait` where that is enough for any check, else the next of even steps. */
export function answeredAfter({ spent, wait, pause, dearest }: Refusal): number {
  const step = Math.max(pause, room * dearest);
  const due = Math.max(wait, step);
  return spent <= due ? due : Math.ceil(spent / step) * step;
}
