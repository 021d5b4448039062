/** What comes first of many: a binary heap from which anything can be taken out again. */

export interface Heap<Item> {
  add(item: Item): void;
  /** The first, which stays. */
  first(): Item | undefined;
  has(item: Item): boolean;
  /** False where it was not there. */
  remove(item: Item): boolean;
}

/** In order of `rank`, lowest first; the rank of an item must not change while it is there. */
export function newHeap<Item>(rank: (item: Item) => number): Heap<Item> {
  /** Each item ranks no higher than the two below it, at 2n+1 and 2n+2. */
  const items: Item[] = [];
  const places = new Map<Item, number>();

  const rankAt = (at: number): number => {
    const item = items[at];
    return item === undefined ? Number.POSITIVE_INFINITY : rank(item);
  };

  function place(item: Item, at: number): void {
    items[at] = item;
    places.set(item, at);
  }

  /** Puts `item`, whose rank may be too low for the place `at`, where it belongs. */
  function rise(item: Item, at: number): void {
    let here = at;
    while (here > 0) {
      const above = (here - 1) >> 1;
      const other = items[above];
      if (other === undefined || rank(other) <= rank(item)) break;
      place(other, here);
      here = above;
    }
    place(item, here);
  }

  /** The same where its rank may be too high. */
  function sink(item: Item, at: number): void {
    let here = at;
    for (;;) {
      const [left, right] = [2 * here + 1, 2 * here + 2];
      const below = rankAt(right) < rankAt(left) ? right : left;
      const other = items[below];
      if (other === undefined || rank(item) <= rank(other)) break;
      place(other, here);
      here = below;
    }
    place(item, here);
  }

  return {
    add: (item) => rise(item, items.length),
    first: () => items[0],
    has: (item) => places.has(item),
    remove(item) {
      const at = places.get(item);
      if (at === undefined) return false;
      places.delete(item);
      const last = items.pop();
      if (last === undefined || last === item) return true;
      rise(last, at);
      sink(last, places.get(last) ?? at);
      return true;
    },
  };
}
