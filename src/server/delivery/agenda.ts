/**
 * What is to be done when: the queue in memory, an ID and a few numbers for each message, never an envelope.
 * Of what is due, each login gets its turn: one who sends 5000 messages does not delay another's single one.
 */

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
  /** When the next one becomes due; undefined where none waits for its time. */
  next(): number | undefined;
}

export function newAgenda<Entry extends Item>(): Agenda<Entry> {
  /** A binary heap: each entry is due no later than the two below it, at 2n+1 and 2n+2. */
  const heap: Entry[] = [];
  /** By login, in order of arrival; the login whose turn is next comes first. */
  const ready = new Map<string, Set<Entry>>();

  const dueAt = (at: number): number => heap[at]?.due ?? Number.POSITIVE_INFINITY;

  function swap(one: number, other: number): void {
    const [a, b] = [heap[one], heap[other]];
    if (a === undefined || b === undefined) return;
    heap[one] = b;
    heap[other] = a;
  }

  function push(entry: Entry): void {
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (dueAt(above) <= dueAt(at)) return;
      swap(at, above);
      at = above;
    }
  }

  function pop(): Entry | undefined {
    swap(0, heap.length - 1);
    const entry = heap.pop();
    let at = 0;
    for (;;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const below = dueAt(right) < dueAt(left) ? right : left;
      if (dueAt(at) <= dueAt(below)) return entry;
      swap(at, below);
      at = below;
    }
  }

  function makeReady(entry: Entry): void {
    const same = ready.get(entry.login);
    if (same) same.add(entry);
    else ready.set(entry.login, new Set([entry]));
  }

  return {
    put: push,
    take(now) {
      while (dueAt(0) <= now) {
        const entry = pop();
        if (entry) makeReady(entry);
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
    next: () => (ready.size > 0 ? Number.NEGATIVE_INFINITY : heap[0]?.due),
  };
}
