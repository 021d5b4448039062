/** How many connections come from one place at a time. */
import { isIPv6 } from "node:net";

export interface Crowd {
  /** Counts a connection from `address`; gives how many there are with it, and what to call when it has ended. */
  enter(address: string): { readonly count: number; readonly leave: () => void };
}

export function newCrowd(): Crowd {
  const counts = new Map<string, number>();
  return {
    enter(address) {
      const place = network(address);
      const count = (counts.get(place) ?? 0) + 1;
      counts.set(place, count);
      let gone = false;
      return {
        count,
        leave() {
          if (gone) return;
          gone = true;
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
