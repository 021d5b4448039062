/** What is there already, or will be: where nothing is waited for, promises cost more than most of the work. */
export type Soon<Value> = Value | Promise<Value>;

/** Gives `work` what was found, in this very call where it is there. */
export function whenThere<Value, Result>(
  found: Soon<Value>,
  work: (value: Value) => Soon<Result>,
): Soon<Result> {
  return found instanceof Promise ? found.then(work) : work(found);
}

/** Does `work` in this very call; what it throws comes as a rejection, as from an asynchronous function. */
export function attempted<Value>(work: () => Soon<Value>): Soon<Value> {
  try {
    return work();
  } catch (error) {
    return Promise.reject(error);
  }
}
