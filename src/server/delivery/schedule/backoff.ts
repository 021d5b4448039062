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
