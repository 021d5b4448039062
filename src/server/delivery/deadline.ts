/**
 * A signal for one piece of work: raised when `outer` is, or when its time is up. AbortSignal.any and
 * .timeout would do the same, but their timers run on for as long as an hour after the work is done, one for
 * each delivery.
 */

/** Runs `work` with such a signal; `after` is in milliseconds. */
export async function within<Result>(
  outer: AbortSignal,
  after: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const raise = (): void => controller.abort();
  const timer = setTimeout(raise, after);
  outer.addEventListener("abort", raise, { once: true });
  if (outer.aborted) raise();
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", raise);
  }
}
