/**
 * What is to be done when: the queue in memory, an ID and a few numbers for each message, never an envelope.
 * Of what is due, each login gets its turn: one who sends 5000 messages does not delay another's single one.
 */
import { newHeap } from "./heap.ts";

export interface Item {
  /** Queue ID. */
  readonly id: string;
  /** "" for the relay's own reports. */
  readonly login: string;
  /** When it was accepted and when it is due, in milliseconds since the epoch. */
  readonly accepted: number;
  readonly due: number;
}

export interface Agenda<Entry extends Item> {
  put(entry: Entry): void;
  /** Takes out something that is due at `now`, or gives undefined. */
  take(now: number): Entry | undefined;
  /** Takes out `entry`, due or not. */
  remove(entry: Entry): void;
  /** When the next one becomes due; undefined where none waits for its time. */
  next(): number | undefined;
}

export function newAgenda<Entry extends Item>(): Agenda<Entry> {
  const later = newHeap<Entry>(({ due }) => due);
  /** By login, in order of arrival; the login whose turn is next comes first. */
  const ready = new Map<string, Set<Entry>>();

  function makeReady(entry: Entry): void {
    const same = ready.get(entry.login);
    if (same) same.add(entry);
    else ready.set(entry.login, new Set([entry]));
  }

  return {
    put: later.add,
    take(now) {
      for (let next = later.first(); next && next.due <= now; next = later.first()) {
        later.remove(next);
        makeReady(next);
      }
      for (const [login, entries] of ready) {
        ready.delete(login);
        for (const entry of entries) {
          entries.delete(entry);
          if (entries.size > 0) ready.set(login, entries); // to the end: the others come first
          return entry;
        }
      }
      return undefined;
    },
    remove(entry) {
      if (later.remove(entry)) return;
      const same = ready.get(entry.login);
      same?.delete(entry);
      if (same?.size === 0) ready.delete(entry.login);
    },
    next: () => (ready.size > 0 ? Number.NEGATIVE_INFINITY : later.first()?.due),
  };
}
