/**
 * What is to be done when: the queue in memory, an ID, some numbers and the destinations of each message, never an
 * envelope. Of what is due, each login gets its turn, and of one login each destination: one who sends 5000 messages
 * does not delay another's single one, and a destination that hangs delays nobody's mail to others.
 */
import { newHeap } from "./heap.ts";

export interface Item {
  /** Queue ID. */
  readonly id: string;
  /** "" for the relay's own reports. */
  readonly login: string;
  /** When it is due, in milliseconds of a clock that nobody sets. */
  readonly due: number;
  /** Where it is to go; at least one. */
  readonly destinations: readonly string[];
  /** Put off because its destinations pause: due at once where one of them opens. */
  readonly parked: boolean;
}

/** One message to one destination. */
export interface Visit<Entry> {
  readonly entry: Entry;
  readonly destination: string;
}

export interface Agenda<Entry extends Item> {
  put(entry: Entry): void;
  /**
   * Takes out a visit of something that is due at `now`, to a destination that is `open`, for a login that is `welcome`;
   * undefined for none.
   */
  take(
    now: number,
    open: (destination: string) => boolean,
    welcome?: (login: string) => boolean,
  ): Visit<Entry> | undefined;
  /** Whether a visit of `entry` is still to be taken. */
  has(entry: Entry): boolean;
  /** Takes out all that is left of `entry`. */
  remove(entry: Entry): void;
  /** Makes what is parked at `destination` due, the longest parked first: all, or the `most` of it. */
  unpark(destination: string, most?: number): void;
  /** When the next one becomes due; undefined where none waits for its time. What is due already does not count. */
  next(): number | undefined;
}

export function newAgenda<Entry extends Item>(): Agenda<Entry> {
  const later = newHeap<Entry>(({ due }) => due);
  /** By destination, those of `later` that need not wait for their time. */
  const parked = new Map<string, Set<Entry>>();
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
    if (entry.parked) for (const destination of entry.destinations) drop(parked, destination, entry);
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
      if (entry.parked) for (const destination of entry.destinations) add(parked, destination, entry);
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
    unpark(destination, most = Number.POSITIVE_INFINITY) {
      let left = most;
      for (const entry of parked.get(destination) ?? []) {
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
