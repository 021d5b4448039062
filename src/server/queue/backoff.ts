/**
 * When to try again (RFC 5321 section 4.5.4.1): a growing delay with a cap, blurred so that messages
 * do not march in step.
 */

export interface Backoff {
  /** Delay after the first temporary failure, in milliseconds; each further one doubles it. */
  readonly first: number;
  /** Longest delay, in milliseconds. */
  readonly longest: number;
}

/** A pause of a destination is never longer, in milliseconds. Our choice. */
export const longestPause = 15 * 60_000;

/** A fifth of the delay, half of it to either side: our choice. */
const blur = 0.2;

/**
 * Milliseconds until the next attempt.
 * @param attempts made so far, 1 or more
 * @param chance between 0 and 1
 */
export function delayAfter(attempts: number, { first, longest }: Backoff, chance: number): number {
  const doublings = Math.min(Math.max(attempts, 1) - 1, 40); // beyond any cap, and still a number
  const delay = Math.min(first * 2 ** doublings, longest);
  return Math.round(delay * (1 + blur * (chance - 0.5)));
}

/**
 * Milliseconds until a message that is `due` in the clock `now` shall be tried. One that would wait longer than any
 * delay or pause after so many `attempts` lets it wait is due: the clock was set back since.
 */
export function waitUntil(due: number, now: number, attempts: number, backoff: Backoff): number {
  const pause = Math.min(longestPause, backoff.longest) * (1 + blur / 2);
  const most = Math.max(attempts === 0 ? 0 : delayAfter(attempts, backoff, 1), pause);
  const wait = Math.max(due - now, 0);
  return wait > most ? 0 : wait;
}
