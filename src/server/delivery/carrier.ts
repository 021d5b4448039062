/**
 * A way for mail to leave: by the MX records of each domain, through relays, or into a folder. The scheduler knows
 * only this; routes.ts makes one way of many.
 */
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import type { Reply } from "../../smtp/reply.ts";
import type { Envelope } from "../spool/envelope.ts";
import { attempt, unreached } from "./attempt.ts";
import { deliverToFolder } from "./folder.ts";
import type { Letter, Outcome } from "./letter.ts";
import { type Hop, type Routing, routeByMx, routeToHost } from "./route.ts";
import type { Terms } from "./terms.ts";

export interface Carrier {
  /** Where the message of `envelope` goes for `address`; recipients with the same destination share a transaction. */
  destination(envelope: Envelope, address: string): string;
  /**
   * Delivers `letter`, whose recipients have one destination. A recipient without an outcome was not tried,
   * because `signal` came first. Throws nothing that is the next hop's, the network's or the disk's doing.
   */
  carry(letter: Letter, signal: AbortSignal): Promise<readonly Outcome[]>;
}

/**
 * The addresses of a host that the operator named, as getaddrinfo(3) has them; rejects with node:dns's codes.
 */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** By the recipient's domain. `now` is in milliseconds since the epoch. */
export function mxCarrier(routing: Routing, terms: Terms, now: () => number): Carrier {
  return {
    destination: (_, address) => asciiDomain(domainOf(address)) ?? domainOf(address).toLowerCase(),
    carry: (letter, signal) =>
      carryBy(
        letter,
        () => routeByMx(domainOf(letter.recipients[0]?.address ?? ""), routing),
        terms,
        now,
        signal,
      ),
  };
}

/** A host that the operator named. */
export type Relay = Omit<Hop, "address">;

/** Everything through the first of `relays` that takes it, each time looked up anew. */
export function relayCarrier(
  relays: readonly Relay[],
  lookup: Lookup,
  terms: Terms,
  now: () => number,
): Carrier {
  const name = relays.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(",");
  return {
    destination: () => name,
    carry: (letter, signal) => carryBy(letter, () => routeToRelays(relays, lookup), terms, now, signal),
  };
}

/** Everything into a folder. */
export function folderCarrier(directory: string, now: () => number): Carrier {
  return {
    destination: () => directory,
    carry: (letter) => deliverToFolder(directory, letter, now),
  };
}

async function carryBy(
  letter: Letter,
  route: () => Promise<readonly Hop[] | Reply>,
  terms: Terms,
  now: () => number,
  signal: AbortSignal,
): Promise<readonly Outcome[]> {
  const hops = await route();
  if ("code" in hops) return unreached(letter.recipients, hops, now());
  return attempt(letter, hops, terms, now, signal);
}

/** The addresses of all relays in order; a reply where none has one. */
async function routeToRelays(relays: readonly Relay[], lookup: Lookup): Promise<readonly Hop[] | Reply> {
  const found = await Promise.all(
    relays.map(async (relay) => {
      const hops = await routeToHost(relay.host, relay.port, lookup);
      return "code" in hops ? hops : hops.map((hop) => ({ ...relay, ...hop }));
    }),
  );
  const hops = found.flatMap((one) => ("code" in one ? [] : one));
  return hops.length > 0 ? hops : (found.find((one) => "code" in one) ?? []);
}
