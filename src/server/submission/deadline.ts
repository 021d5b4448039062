/** Until when a client is waited for. Absolute: octets that trickle in do not move it, unless they are a message's. */
import { extended, type Patience } from "./patience.ts";

export interface Deadline {
  readonly isSet: boolean;
  /** From now on `due` counts, in milliseconds since the epoch. */
  set(due: number): void;
  /** Octets of a message came. */
  extend(octets: number): void;
  clear(): void;
  /** No more deadlines, whoever sets one. */
  end(): void;
}

/** Calls `passed` when a deadline passes. `now` is in milliseconds since the epoch. */
export function newDeadline(now: () => number, patience: Patience, passed: () => void): Deadline {
  let timer: NodeJS.Timeout | undefined;
  let due = Number.POSITIVE_INFINITY;
  let over = false;

  function clear(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function wait(): void {
    clear();
    if (!over) timer = setTimeout(look, Math.max(0, due - now()));
  }

  /** It may have been extended meanwhile: that costs no timer for every piece of a message. */
  function look(): void {
    if (due > now()) {
      wait();
      return;
    }
    timer = undefined;
    passed();
  }

  return {
    get isSet() {
      return timer !== undefined;
    },
    set(next) {
      due = next;
      wait();
    },
    extend(octets) {
      due = extended(due, now(), octets, patience);
    },
    clear,
    end() {
      over = true;
      clear();
    },
  };
}
