/** An answer that may be a moment old. */

/** Milliseconds for which an answer is good. Our choice: what is asked for here only spares a client a vain effort. */
const good = 1_000;

/**
 * `ask`, asked at most once in a second, or in `every`, of the clock `now` (milliseconds); who comes meanwhile gets the last answer, or
 * waits for the one that is on its way. What failed is asked again.
 */
export function cachedBriefly<Value>(
  ask: () => Promise<Value>,
  now: () => number,
  every = good,
): () => Promise<Value> {
  let last: { readonly at: number; readonly answer: Promise<Value> } | undefined;
  return async () => {
    if (last === undefined || Math.abs(now() - last.at) >= every) last = { at: now(), answer: ask() };
    const { answer } = last;
    try {
      return await answer;
    } catch (error) {
      if (last?.answer === answer) last = undefined;
      throw error;
    }
  };
}
