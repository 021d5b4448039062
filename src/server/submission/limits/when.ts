/** When something works again, in words that fit into a reply: `in 12 minutes, at 15:42 UTC`. Never too early. */

/** `until` and `now` in milliseconds since the epoch. */
export function whenAgain(until: number, now: number): string {
  const minutes = Math.max(1, Math.ceil((until - now) / minute));
  return `${inWords(minutes)}, at ${clock(until)} UTC`;
}

const minute = 60_000;

function inWords(minutes: number): string {
  if (minutes === 1) return "in a minute";
  return minutes <= 120 ? `in ${minutes} minutes` : `in ${Math.ceil(minutes / 60)} hours`;
}

/** "15:42", rounded up to the minute. */
const clock = (time: number): string =>
  new Date(Math.ceil(time / minute) * minute).toISOString().slice(11, 16);
