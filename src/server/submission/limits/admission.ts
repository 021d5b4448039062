/**
 * Which connections are let in. There is a limit for one network and one for all together. When all places are in use,
 * the client that has not logged in and has been idle the longest is sent away for a new one. Nobody who has logged in
 * is sent away.
 */

import { readFile } from "node:fs/promises";
import { isIPv6, type Socket } from "node:net";
import type { Reply } from "../../../smtp/reply.ts";
import type { ListenerName } from "../../log/events.ts";

/** A client that was let in, or that stays for the refusal: what is known of it, and what its session reports back. */
export interface Admission {
  readonly listener: ListenerName;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Whether clients get less time because there are so many connections. */
  readonly isStressed: () => boolean;
  /** A command came. */
  readonly active: () => void;
  /** It has logged in. */
  readonly loggedIn: () => void;
  /** Its last reply was written, and it is to close its side; `end` ends it at once. */
  readonly farewell: (end: () => void) => void;
  /** Ends it to make room for another one. The session replaces this function when it can send a last reply. */
  evict: () => void;
  /** Sent in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly release: () => void;
}

export interface ConnectionTable {
  /** Counts a connection from `address`. */
  add(address: string): ConnectionEntry;
  /** How many are let in, without those that are ending. */
  admitted(): number;
  /** Ends the connection without a login that has been idle the longest; false where there is none. */
  evictIdle(): boolean;
}

/** A counted connection: the numbers include it. */
export interface ConnectionEntry {
  /** Connections from its network, without those that had their last reply. */
  readonly fromNetwork: number;
  /** Connections in all. */
  readonly total: number;
  /** It is let in; `evict` ends it at once. */
  readonly admit: (evict: () => void) => void;
  /** It sent a command. */
  readonly active: () => void;
  /** It has logged in. */
  readonly loggedIn: () => void;
  /**
   * Its last reply was written: its client may be back before the socket is gone, so it does not count for its network
   * any more. Of more than `most` such from one network, the first is ended, each by its `end`.
   */
  readonly farewell: (most: number, end: () => void) => void;
  /** It has ended. */
  readonly release: () => void;
}

/** Commands before the login that make a client count as active: more than a login takes. Our choice. */
const countedCommands = 12;

export function newConnectionTable(): ConnectionTable {
  const counts = new Map<string, number>();
  /** By network, what ends those that had their last reply; the first to have it comes first. */
  const parting = new Map<string, Map<object, () => void>>();
  let total = 0;
  let admitted = 0;
  /** What ends the connections without a login; the one that has been idle the longest comes first. */
  const evictable = new Map<object, () => void>();

  function uncount(network: string): void {
    const rest = (counts.get(network) ?? 1) - 1;
    if (rest === 0) counts.delete(network);
    else counts.set(network, rest);
  }

  function forget(network: string, key: object): void {
    const theirs = parting.get(network);
    theirs?.delete(key);
    if (theirs?.size === 0) parting.delete(network);
  }

  function keepParting(network: string, key: object, most: number, end: () => void): void {
    const theirs = parting.get(network) ?? new Map<object, () => void>();
    parting.set(network, theirs.set(key, end));
    const [first] = theirs;
    if (!first || theirs.size <= most) return;
    forget(network, first[0]);
    first[1]();
  }

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
      let isCounted = true;
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
        farewell(most, end) {
          if (!isCounted) return;
          isCounted = false;
          uncount(network);
          keepParting(network, key, most, end);
        },
        release() {
          if (isGone) return;
          isGone = true;
          withdraw();
          total--;
          if (isCounted) uncount(network);
          else forget(network, key);
          isCounted = false;
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

/** Descriptors kept for the disk, for deliveries and for refusing clients with a reply. Our choice. */
const spare = 64;

/** How many descriptors the process may have; Infinity where the system does not tell. */
export async function descriptorsAllowed(): Promise<number> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const found = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return found === undefined ? Number.POSITIVE_INFINITY : Number(found);
}

/**
 * Whether `socket` has one of the last descriptors of `most`. The kernel gives each socket the lowest free number, so
 * the number of a new one tells how many are in use. With none left, a client would see its connection end with no reply.
 */
export function isNearLimit(socket: Socket, most: number): boolean {
  return descriptorOf(socket) >= most - Math.min(spare, most / 4);
}

/** Node shows it nowhere else. 0 where it does not. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, "_handle");
  const number: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : 0;
  return typeof number === "number" ? number : 0;
}
