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
export interface Admission {
  readonly listener: Door;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Whether patience is short because there are so many connections. */
  readonly isStressed: () => boolean;
  /** A command came. */
  readonly active: () => void;
  /** It has logged in. */
  readonly loggedIn: () => void;
  /** Ends it to make room for another one; who can say goodbye takes this over. */
  evict: () => void;
  /** Said in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly release: () => void;
}

export interface ConnectionTable {
  /** Counts a connection from `address`. */
  add(address: string): ConnectionEntry;
  /** Connections that were let in, and do not end already. */
  admitted(): number;
  /** Ends the stranger that has been idle the longest; false where there is none. */
  evictIdle(): boolean;
}

/** How many connections there are with the new one, and what to call when it has ended. */
export interface ConnectionEntry {
  readonly fromNetwork: number;
  readonly total: number;
  /** It is let in; `giveWay` ends it at once. */
  readonly admit: (evict: () => void) => void;
  /** It gave a sign of life. */
  readonly active: () => void;
  /** It has logged in. */
  readonly loggedIn: () => void;
  readonly release: () => void;
}

/** Commands of a stranger that count as signs of life: more than a login takes. Our choice. */
const countedCommands = 12;

export function newConnectionTable(): ConnectionTable {
  const counts = new Map<string, number>();
  let total = 0;
  let admitted = 0;
  /** What ends them; those that have been idle the longest come first. */
  const evictable = new Map<object, () => void>();

  return {
    admitted: () => admitted,
    evictIdle() {
      for (const [key, evict] of evictable) {
        evictable.delete(key);
        evict();
        return true;
      }
      return false;
    },
    add(address) {
      const network = subscriberNetwork(address);
      const fromNetwork = (counts.get(network) ?? 0) + 1;
      counts.set(network, fromNetwork);
      total++;
      const key = {};
      let isAdmitted = false;
      let isGone = false;
      let commands = 0;
      const withdraw = (): void => {
        evictable.delete(key);
        if (isAdmitted) admitted--;
        isAdmitted = false;
      };
      return {
        fromNetwork,
        total,
        admit(evict) {
          isAdmitted = true;
          admitted++;
          evictable.set(key, () => {
            withdraw();
            evict();
          });
        },
        active() {
          const evict = evictable.get(key);
          commands++;
          if (!evict || commands > countedCommands) return;
          evictable.delete(key);
          evictable.set(key, evict);
        },
        loggedIn: () => void evictable.delete(key),
        release() {
          if (isGone) return;
          isGone = true;
          withdraw();
          total--;
          const rest = (counts.get(network) ?? 1) - 1;
          if (rest === 0) counts.delete(network);
          else counts.set(network, rest);
        },
      };
    },
  };
}

/** What one subscriber has: an IPv4 address, or the /64 of an IPv6 address (RFC 6177). */
export function subscriberNetwork(address: string): string {
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
export async function descriptorsAllowed(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const found = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}

/** Whether `socket` has one of the last descriptors of `most`. */
export function isNearLimit(socket: Socket, most: number): boolean {
  return descriptorOf(socket) >= most - Math.min(spare, most / 4);
}

/** Node shows it nowhere else; 0 where it does not. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  const number: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : 0;
  return typeof number === "number" ? number : 0;
}
