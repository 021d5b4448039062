/** A map that holds so much and no more, for what strangers fill: what was set longest ago goes first. */

export interface Forgetful<Value> {
  readonly size: number;
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
}

/** Holds at least half of `most` of those set last, and never more than `most`. */
export function newForgetful<Value>(most: number): Forgetful<Value> {
  // Two generations: dropping the first key of a Map again and again costs V8 more and more.
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();
  return {
    get size() {
      return young.size + old.size;
    },
    get: (key) => young.get(key) ?? old.get(key),
    set(key, value) {
      old.delete(key);
      young.set(key, value);
      if (young.size < most / 2) return;
      old = young;
      young = new Map();
    },
    delete(key) {
      young.delete(key);
      old.delete(key);
    },
  };
}
