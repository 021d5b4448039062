/** How many connections there are at a time: from one place, and from all. */
import { isIPv6 } from "node:net";

export interface Crowd {
  /** Counts a connection from `address`. */
  enter(address: string): Stay;
}

/** How many connections there are with the new one, and what to call when it has ended. */
export interface Stay {
  readonly fromHere: number;
  readonly all: number;
  readonly leave: () => void;
}

export function newCrowd(): Crowd {
  const counts = new Map<string, number>();
  let all = 0;
  return {
    enter(address) {
      const place = network(address);
      const count = (counts.get(place) ?? 0) + 1;
      counts.set(place, count);
      all++;
      let gone = false;
      return {
        fromHere: count,
        all,
        leave() {
          if (gone) return;
          gone = true;
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
