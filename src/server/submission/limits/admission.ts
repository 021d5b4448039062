/**
 * How many connections there are at a time, from one place and from all, and who gives its place up when there are
 * too many: the stranger that has been idle the longest. Whoever has logged in never does.
 */

import { readFile } from "node:fs/promises";
import { isIPv6, type Socket } from "node:net";
import type { Reply } from "../../../smtp/reply.ts";
import type { Door } from "../../log/events.ts";

// A client at the door, before it has said anything.

/** What was known of a client when it was let in. */
export interface Visit {
  readonly door: Door;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Whether patience is short because there are so many connections. */
  readonly isStressed: () => boolean;
  /** A command came. */
  readonly heard: () => void;
  /** It has logged in. */
  readonly known: () => void;
  /** Ends it to make room for another one; who can say goodbye takes this over. */
  giveWay: () => void;
  /** Said in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly leave: () => void;
}

export interface Crowd {
  /** Counts a connection from `address`. */
  enter(address: string): Stay;
  /** Connections that were let in, and do not end already. */
  admitted(): number;
  /** Ends the stranger that has been idle the longest; false where there is none. */
  makeRoom(): boolean;
}

/** How many connections there are with the new one, and what to call when it has ended. */
export interface Stay {
  readonly fromHere: number;
  readonly all: number;
  /** It is let in; `giveWay` ends it at once. */
  readonly admit: (giveWay: () => void) => void;
  /** It gave a sign of life. */
  readonly heard: () => void;
  /** It has logged in. */
  readonly known: () => void;
  readonly leave: () => void;
}

/** Commands of a stranger that count as signs of life: more than a login takes. Our choice. */
const signsOfLife = 12;

export function newCrowd(): Crowd {
  const counts = new Map<string, number>();
  let all = 0;
  let admitted = 0;
  /** What ends them; those that have been idle the longest come first. */
  const strangers = new Map<object, () => void>();

  return {
    admitted: () => admitted,
    makeRoom() {
      for (const [stay, giveWay] of strangers) {
        strangers.delete(stay);
        giveWay();
        return true;
      }
      return false;
    },
    enter(address) {
      const place = network(address);
      const count = (counts.get(place) ?? 0) + 1;
      counts.set(place, count);
      all++;
      const me = {};
      let isIn = false;
      let isGone = false;
      let signs = 0;
      const giveUp = (): void => {
        strangers.delete(me);
        if (isIn) admitted--;
        isIn = false;
      };
      return {
        fromHere: count,
        all,
        admit(giveWay) {
          isIn = true;
          admitted++;
          strangers.set(me, () => {
            giveUp();
            giveWay();
          });
        },
        heard() {
          const giveWay = strangers.get(me);
          signs++;
          if (!giveWay || signs > signsOfLife) return;
          strangers.delete(me);
          strangers.set(me, giveWay);
        },
        known: () => void strangers.delete(me),
        leave() {
          if (isGone) return;
          isGone = true;
          giveUp();
          all--;
          const rest = (counts.get(place) ?? 1) - 1;
          if (rest === 0) counts.delete(place);
          else counts.set(place, rest);
        },
      };
    },
  };
}

/** What one subscriber has: an IPv4 address, or the /64 of an IPv6 address (RFC 6177). */
export function network(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const front = head.split(":").filter((group) => group !== "");
  const back = (tail ?? "").split(":").filter((group) => group !== "");
  const gap = tail === undefined ? 0 : 8 - front.length - back.length;
  const groups = [...front, ...Array.from({ length: gap }, () => "0"), ...back].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}

// Whether descriptors run short. The kernel gives each socket the lowest number that is free, so the number of a new
// one tells how many are in use. A client for whom there was none would see its connection end without a word.

/** Kept for the disk, for deliveries and for telling clients so. Our choice. */
const spare = 64;

/** As many as the process may have; Infinity where the system does not tell. */
export async function mostDescriptors(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const found = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}

/** Whether `socket` has one of the last descriptors of `most`. */
export function isShort(socket: Socket, most: number): boolean {
  return descriptorOf(socket) >= most - Math.min(spare, most / 4);
}

/** Node shows it nowhere else; 0 where it does not. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  const number: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : 0;
  return typeof number === "number" ? number : 0;
}
