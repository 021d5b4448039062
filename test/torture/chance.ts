/** Chance that a seed decides: the same seed gives the same choices, though not the same moments. */

export interface Chance {
  /** From 0 to below 1. */
  (): number;
  /** True in so many of a hundred cases. */
  percent(share: number): boolean;
  /** A whole number from 0 to below `end`. */
  below(end: number): number;
  /** One of them. */
  one<Value>(values: readonly [Value, ...Value[]]): Value;
  /** A chance of its own, so that who runs beside others does not depend on them. */
  fork(): Chance;
}

/** mulberry32 by Tommy Ettinger, public domain. */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(next() * end);
  return Object.assign(next, {
    below,
    percent: (share: number) => next() * 100 < share,
    one: <Value>(values: readonly [Value, ...Value[]]): Value => values[below(values.length)] ?? values[0],
    fork: () => chanceFrom(below(2 ** 32)),
  });
}
