/**
 * How many there were lately: a count over the last hour, or day, that slides. It is kept in sixtieths of the span,
 * so that it takes the same little room for ten as for ten thousand; what has been counted goes at most one sixtieth
 * later than it might, and never too early. Pure.
 */

/** Counts of one slot each, oldest first, none of them zero. */
export type SlidingCount = readonly Slot[];

interface Slot {
  readonly slot: number;
  readonly count: number;
}

/** Spans in milliseconds. */
export const hour = 3_600_000;
export const day = 24 * hour;

const slots = 60;

/** `count` more at the time `at` (milliseconds since the epoch, as all times here). */
export function withAdded(counts: SlidingCount, span: number, at: number, count: number): SlidingCount {
  if (count === 0) return counts;
  const slot = Math.floor((at * slots) / span);
  const before = counts.find((one) => one.slot === slot)?.count ?? 0;
  const others = stillCounting(counts, span, at).filter((one) => one.slot !== slot);
  return [...others, { slot, count: before + count }].toSorted((one, other) => one.slot - other.slot);
}

/** All within `span` before `now`. */
export function total(counts: SlidingCount, span: number, now: number): number {
  return stillCounting(counts, span, now).reduce((sum, { count }) => sum + count, 0);
}

/** From when on there are fewer than `limit`, which is 1 at least: `now` where there are. */
export function roomFrom(counts: SlidingCount, span: number, now: number, limit: number): number {
  let left = total(counts, span, now);
  if (left < limit) return now;
  for (const { slot, count } of stillCounting(counts, span, now)) {
    left -= count;
    if (left < limit) return end(slot, span);
  }
  return now;
}

/** What still counts, each count with a time at which it can be put in again. */
export function countsOf(counts: SlidingCount, span: number, now: number) {
  return stillCounting(counts, span, now).map(({ slot, count }) => ({ at: (slot * span) / slots, count }));
}

/** What still counts. A clock that was wrong and went back leaves counts in the future, which would stay for long. */
function stillCounting(counts: SlidingCount, span: number, now: number): SlidingCount {
  return counts.filter(({ slot }) => end(slot, span) > now && ((slot - 1) * span) / slots <= now);
}

/** When all that fell into `slot` is older than `span`. */
const end = (slot: number, span: number): number => ((slot + 1) * span) / slots + span;

/** When something works again, in words that fit into a reply: `in 12 minutes, at 15:42 UTC`. Never too early. */

/** `until` and `now` in milliseconds since the epoch. */
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
