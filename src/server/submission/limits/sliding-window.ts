/**
 * A count over the last hour or day, in a sliding window. It is kept in sixtieths of the span, so that it needs the same
 * little memory for ten as for ten thousand. What was counted expires at most a sixtieth late, and never early. Pure.
 */

/** Counts by slot, the oldest first, none of them zero. */
export type SlidingCount = readonly WindowSlot[];

interface WindowSlot {
  readonly slot: number;
  readonly count: number;
}

/** Spans in milliseconds. */
export const hour = 3_600_000;
export const day = 24 * hour;

const slots = 60;

/** Adds `count` at the time `at`, which may be before `now`. All times here are in milliseconds since the epoch. */
export function withAdded(
  counts: SlidingCount,
  span: number,
  at: number,
  count: number,
  now: number = at,
): SlidingCount {
  if (count === 0) return counts;
  const slot = Math.floor((at * slots) / span);
  const before = counts.find((one) => one.slot === slot)?.count ?? 0;
  const others = stillCounting(counts, span, now).filter((one) => one.slot !== slot);
  return [...others, { slot, count: before + count }].toSorted((one, other) => one.slot - other.slot);
}

/** The sum within `span` before `now`. */
export function total(counts: SlidingCount, span: number, now: number): number {
  return stillCounting(counts, span, now).reduce((sum, { count }) => sum + count, 0);
}

/** The time from which the sum is below `limit`, which is at least 1: `now` where it is. */
export function roomFrom(counts: SlidingCount, span: number, now: number, limit: number): number {
  let left = total(counts, span, now);
  if (left < limit) return now;
  for (const { slot, count } of stillCounting(counts, span, now)) {
    left -= count;
    if (left < limit) return end(slot, span);
  }
  return now;
}

/** What still counts, with times at which it can be added again. */
export function countsOf(counts: SlidingCount, span: number, now: number) {
  return stillCounting(counts, span, now).map(({ slot, count }) => ({ at: (slot * span) / slots, count }));
}

/** What still counts. After a wrong clock was set back, counts lie in the future and would stay for long: they go. */
function stillCounting(counts: SlidingCount, span: number, now: number): SlidingCount {
  return counts.filter(({ slot }) => end(slot, span) > now && ((slot - 1) * span) / slots <= now);
}

/** When everything in `slot` is older than `span`. */
const end = (slot: number, span: number): number => ((slot + 1) * span) / slots + span;

/** When something works again, for a reply: `in 12 minutes, at 15:42 UTC`. Never too early. */
export function retryText(until: number, now: number): string {
  const minutes = Math.max(1, Math.ceil((until - now) / minute));
  return `${durationText(minutes)}, at ${clockText(until)} UTC`;
}

const minute = 60_000;

function durationText(minutes: number): string {
  if (minutes === 1) return "in a minute";
  return minutes <= 120 ? `in ${minutes} minutes` : `in ${Math.ceil(minutes / 60)} hours`;
}

/** "15:42", rounded up to the minute. */
const clockText = (time: number): string =>
  new Date(Math.ceil(time / minute) * minute).toISOString().slice(11, 16);
