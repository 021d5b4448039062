/**
 * Queue IDs: 12 upper-case hexadecimal digits that sort by time. Log readers know the shape from Postfix:
 * pflogsumm breaks on other characters, logwatch on lower case.
 */

/** Sixteenths of a millisecond since the epoch fit into 48 bits until the year 2527. */
const perMillisecond = 16;
export const queueIdLength = 12;

/** Whether a file's name is a queue ID. Nothing else in the spool's folders is ever read or removed. */
export function isQueueId(name: string): boolean {
  return /^[0-9A-F]{12}$/.test(name);
}

/**
 * A source of queue IDs by the clock `now` (milliseconds since the epoch), each greater than the one before
 * even where the clock stands still or goes back. With `mark`, one digit, all of them end in it, and there is one for each
 * millisecond.
 */
export function queueIds(now: () => number, mark = ""): () => string {
  const step = mark === "" ? 1 : perMillisecond;
  const end = mark === "" ? 0 : Number.parseInt(mark, 16);
  let last = mark === "" ? 0 : end - step;
  return () => {
    const current =
      mark === "" ? Math.floor(now() * perMillisecond) : Math.floor(now()) * perMillisecond + end;
    last = Math.max(last + step, current);
    return last.toString(16).toUpperCase().padStart(queueIdLength, "0");
  };
}
