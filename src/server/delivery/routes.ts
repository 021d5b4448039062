/**
 * Which way a recipient's copy goes: where an operator redirected it, else by the first route that fits, else the way
 * that is for all. Each way is a carrier, and so are all of them together.
 */
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { reply } from "../../smtp/reply.ts";
import type { Envelope } from "../spool/envelope.ts";
import { unreached } from "./attempt.ts";
import { wishesOf } from "./tls/require-tls.ts";
import type { Carrier } from "./transport.ts";

/** Patterns in lower case, domains in A-labels; a list that is empty fits all. */
export interface Match {
  /** Domains of recipients: one, with a dot in front those below it, or "*". */
  readonly to: readonly string[];
  /** The same for senders, where an address may stand, and "<>" for the null reverse-path. */
  readonly from: readonly string[];
}

export interface Route {
  readonly match: Match;
  readonly carrier: Carrier;
}

/** Whether a message from `sender`, "" for the null reverse-path, to `recipient` goes by the route. */
export function fits({ to, from }: Match, sender: string, recipient: string): boolean {
  const domain = domainIn(recipient);
  return (
    (to.length === 0 || to.some((pattern) => isOf(pattern, domain))) &&
    (from.length === 0 || from.some((pattern) => isFrom(pattern, sender)))
  );
}

const isOf = (pattern: string, domain: string): boolean =>
  pattern === "*" || pattern === domain || (pattern.startsWith(".") && domain.endsWith(pattern));

function isFrom(pattern: string, sender: string): boolean {
  if (sender === "") return pattern === "<>" || pattern === "*";
  const domain = domainIn(sender);
  if (!pattern.includes("@")) return isOf(pattern, domain);
  // Local parts may differ by case alone (RFC 5321 section 2.4), but no operator means two people by that.
  return pattern === `${sender.slice(0, -domainOf(sender).length).toLowerCase()}${domain}`;
}

const domainIn = (address: string): string =>
  (asciiDomain(domainOf(address)) ?? domainOf(address)).toLowerCase();

/**
 * The ways put together. `redirected` gives the way to a relay that an envelope names, undefined where that is none;
 * `now` is in milliseconds since the epoch.
 */
export function routed(
  routes: readonly Route[],
  otherwise: Carrier,
  redirected: (relay: string) => Carrier | undefined,
  now: () => number,
): Carrier {
  /** Routes may share a destination, but neither a login nor a source address, so neither a session. */
  const numbered = routes.map(({ match, carrier }, index) => ({
    match,
    carrier,
    suffix: ` (route ${index + 1})`,
  }));
  const standard = { carrier: otherwise, suffix: "" };

  function wayOf({ relay, sender }: Envelope, address: string) {
    if (relay === undefined) return numbered.find(({ match }) => fits(match, sender, address)) ?? standard;
    return { carrier: redirected(relay) ?? nowhere(relay, now), suffix: " (redirected)" };
  }

  return {
    destination(envelope, address) {
      const { carrier, suffix } = wayOf(envelope, address);
      return `${carrier.destination(envelope, address)}${suffix}${wishesOf(envelope)}`;
    },
    carry(letter, signal, tell) {
      const [first] = letter.recipients;
      return first
        ? wayOf(letter.envelope, first.address).carrier.carry(letter, signal, tell)
        : Promise.resolve([]);
    },
  };
}

/** The mail stays here until an operator says better. */
const nowhere = (relay: string, now: () => number): Carrier => ({
  destination: () => relay,
  carry: async ({ recipients }) =>
    unreached(
      recipients,
      reply(451, "4.4.4", `the message was redirected to "${relay}", which is no relay`),
      now(),
    ),
});
