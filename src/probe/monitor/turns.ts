/** Turns: so many do their work at the same time, and the others wait. */
export type Turn = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** Turns for `lanes` at the same time. */
export function turns(lanes: number): Turn {
  const waiting: (() => void)[] = [];
  let free = lanes;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
