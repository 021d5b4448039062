/**
 * Slots for deliveries under way. So many may move at a time; one whose other side has been silent for a moment gives
 * its slot back and waits beside them, where there is room for many more: a host that hangs costs a descriptor and some
 * memory, and no slot. When it speaks it moves again, without having to ask. Of all the room a login has at most
 * twice as much as it leaves free, so that there is always some for another.
 */
import type { DeliveryActivity } from "../delivery/transaction.ts";

export interface DeliverySlot {
  /** Learns whose step is next; at first it is ours. */
  readonly report: (activity: DeliveryActivity) => void;
  release(): void;
}

export interface Slots {
  /** Whether another delivery may begin. */
  free(): boolean;
  /** Whether one of `login` may, as far as its share goes. */
  hasShareFor(login: string): boolean;
  take(login: string): DeliverySlot;
}

export interface SlotLimits {
  /** Deliveries that move, at most, when another begins. */
  readonly moving: number;
  /** Deliveries under way, those included that wait for an answer. */
  readonly all: number;
}

/**
 * Milliseconds of silence. Our choice: 1000 hosts that hang have all been asked, 100 at a time, after half a second; a
 * host far away may need longer for an answer, and then somebody else begins meanwhile.
 */
export const quietAfter = 50;

/** What is needed of the scheduler's clock. */
export interface SlotClock {
  readonly steady: () => number;
  readonly alarm: (after: number, ring: () => void) => () => void;
}

/** `freed` is called when a place has become free in between. */
export function newSlots(
  { moving: most, all }: SlotLimits,
  { steady, alarm }: SlotClock,
  freed: () => void,
): Slots {
  const held = new Map<string, number>();
  let moving = 0;
  let underWay = 0;

  function count(login: string, by: 1 | -1): void {
    underWay += by;
    const theirs = (held.get(login) ?? 0) + by;
    if (theirs === 0) held.delete(login);
    else held.set(login, theirs);
  }

  return {
    free: () => moving < most && underWay < all,
    hasShareFor: (login) => (held.get(login) ?? 0) < 2 * (all - underWay),
    take(login) {
      let moves = true;
      /** When something was last heard of the other side, if it is its turn. */
      let heard: number | undefined;
      /** Stops the alarm, of which there is one at a time, not one for each reply. */
      let silence: (() => void) | undefined;
      moving += 1;
      count(login, 1);

      function rest(): void {
        if (!moves) return;
        moves = false;
        moving -= 1;
        freed();
      }

      function listen(after: number): void {
        silence = alarm(after, () => {
          silence = undefined;
          if (heard === undefined) return;
          const left = heard + quietAfter - steady();
          if (left > 0) listen(left);
          else rest();
        });
      }

      return {
        report(activity) {
          heard = activity === "talks" ? steady() : undefined;
          if (activity === "waits" || activity === "yields") return rest();
          if (!moves) moving += 1;
          moves = true;
          if (heard !== undefined && !silence) listen(quietAfter);
        },
        release() {
          silence?.();
          if (moves) moving -= 1;
          moves = false;
          count(login, -1);
        },
      };
    },
  };
}
