/**
 * A time limit for one piece of work. AbortSignal.any and AbortSignal.timeout would do the same,
 * but leave a timer behind for each delivery, long after it is done.
 */

/** Runs `work` with a signal that is raised when `outer` is, or `after` so many milliseconds. */
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
