/**
 * What is to be done when: the queue in memory, an ID, some numbers and the destinations of each message, never an
 * envelope. Of what is due, each login gets its turn, and of one login each destination: one who sends 5000 messages
 * does not delay another's single one, and a destination that hangs delays nobody's mail to others.
 */

export interface TimedMessage {
  /** Queue ID. */
  readonly id: string;
  /** "" for the relay's own reports. */
  readonly login: string;
  /** When it is due, in milliseconds of a clock that nobody sets. */
  readonly due: number;
  /** Where it is to go; at least one. */
  readonly destinations: readonly string[];
  /** Put off because its destinations pause: due at once where one of them opens. */
  readonly suspended: boolean;
}

/** One message to one destination. */
export interface DueDelivery<Entry> {
  readonly entry: Entry;
  readonly destination: string;
}

export interface TimerQueue<Entry extends TimedMessage> {
  put(entry: Entry): void;
  /**
   * Takes out one delivery of something that is due at `now`, to a destination that is `open`, for a login that is `welcome`;
   * undefined for none.
   */
  take(
    now: number,
    open: (destination: string) => boolean,
    welcome?: (login: string) => boolean,
  ): DueDelivery<Entry> | undefined;
  /** Whether a delivery of `entry` is still to be taken. */
  has(entry: Entry): boolean;
  /** Takes out all that is left of `entry`. */
  remove(entry: Entry): void;
  /** Makes what is suspended at `destination` due, the longest suspended first: all, or the `most` of it. */
  resume(destination: string, most?: number): void;
  /** When the next one becomes due; undefined where none waits for its time. What is due already does not count. */
  next(): number | undefined;
}

export function newTimerQueue<Entry extends TimedMessage>(): TimerQueue<Entry> {
  const later = newHeap<Entry>(({ due }) => due);
  /** By destination, those of `later` that need not wait for their time. */
  const suspended = new Map<string, Set<Entry>>();
  /** By login and destination, in order of arrival; the login whose turn is next comes first, and so below it. */
  const ready = new Map<string, Map<string, Set<Entry>>>();

  function makeReady(entry: Entry): void {
    forgetLater(entry);
    const theirs = ready.get(entry.login) ?? new Map<string, Set<Entry>>();
    ready.set(entry.login, theirs);
    for (const destination of entry.destinations) add(theirs, destination, entry);
  }

  function forgetLater(entry: Entry): boolean {
    if (!later.remove(entry)) return false;
    if (entry.suspended) for (const destination of entry.destinations) drop(suspended, destination, entry);
    return true;
  }

  function forgetReady(entry: Entry, destination: string): void {
    const theirs = ready.get(entry.login);
    if (!theirs) return;
    drop(theirs, destination, entry);
    if (theirs.size === 0) ready.delete(entry.login);
  }

  const isReady = (entry: Entry): boolean =>
    entry.destinations.some((destination) => ready.get(entry.login)?.get(destination)?.has(entry));

  return {
    put(entry) {
      later.add(entry);
      if (entry.suspended) for (const destination of entry.destinations) add(suspended, destination, entry);
    },
    take(now, open, welcome = () => true) {
      for (let next = later.first(); next && next.due <= now; next = later.first()) makeReady(next);
      for (const [login, theirs] of ready) {
        if (!welcome(login)) continue;
        for (const [destination, entries] of theirs) {
          if (!open(destination)) continue;
          for (const entry of entries) {
            forgetReady(entry, destination);
            toTheEnd(theirs, destination);
            toTheEnd(ready, login);
            return { entry, destination };
          }
        }
      }
      return undefined;
    },
    has: (entry) => later.has(entry) || isReady(entry),
    remove(entry) {
      if (forgetLater(entry)) return;
      for (const destination of entry.destinations) forgetReady(entry, destination);
    },
    resume(destination, most = Number.POSITIVE_INFINITY) {
      let left = most;
      for (const entry of suspended.get(destination) ?? []) {
        if (left-- <= 0) return;
        makeReady(entry);
      }
    },
    next: () => later.first()?.due,
  };
}

function add<Value>(to: Map<string, Set<Value>>, key: string, value: Value): void {
  const there = to.get(key);
  if (there) there.add(value);
  else to.set(key, new Set([value]));
}

function drop<Value>(from: Map<string, Set<Value>>, key: string, value: Value): void {
  const there = from.get(key);
  there?.delete(value);
  if (there?.size === 0) from.delete(key);
}

/** The others come first now. */
function toTheEnd<Value>(order: Map<string, Value>, key: string): void {
  const value = order.get(key);
  if (value === undefined) return;
  order.delete(key);
  order.set(key, value);
}

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
