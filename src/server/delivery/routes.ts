/**
 * Which way a recipient's copy goes: where an operator redirected it, else by the first route that fits, else the way
 * that is for all. Each way is a transport, and so are all of them together.
 */
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { reply } from "../../smtp/reply.ts";
import type { Envelope } from "../spool/envelope.ts";
import { unreached } from "./attempt.ts";
import { tlsRequestSuffix } from "./tls/require-tls.ts";
import type { Transport } from "./transport.ts";

/** Patterns in lower case, domains in A-labels; a list that is empty fits all. */
export interface RouteMatch {
  /** Domains of recipients: one, with a dot in front those below it, or "*". */
  readonly to: readonly string[];
  /** The same for senders, where an address may stand, and "<>" for the null reverse-path. */
  readonly from: readonly string[];
}

export interface Route {
  readonly match: RouteMatch;
  readonly transport: Transport;
}

/** Whether a message from `sender`, "" for the null reverse-path, to `recipient` goes by the route. */
export function matchesRoute({ to, from }: RouteMatch, sender: string, recipient: string): boolean {
  const domain = domainIn(recipient);
  return (
    (to.length === 0 || to.some((pattern) => matchesDomain(pattern, domain))) &&
    (from.length === 0 || from.some((pattern) => matchesSender(pattern, sender)))
  );
}

const matchesDomain = (pattern: string, domain: string): boolean =>
  pattern === "*" || pattern === domain || (pattern.startsWith(".") && domain.endsWith(pattern));

function matchesSender(pattern: string, sender: string): boolean {
  if (sender === "") return pattern === "<>" || pattern === "*";
  const domain = domainIn(sender);
  if (!pattern.includes("@")) return matchesDomain(pattern, domain);
  // Local parts may differ by case alone (RFC 5321 section 2.4), but no operator means two people by that.
  return pattern === `${sender.slice(0, -domainOf(sender).length).toLowerCase()}${domain}`;
}

const domainIn = (address: string): string =>
  (asciiDomain(domainOf(address)) ?? domainOf(address)).toLowerCase();

/**
 * The ways put together. `redirected` gives the way to a relay that an envelope names, undefined where that is none;
 * `now` is in milliseconds since the epoch.
 */
export function routedTransport(
  routes: readonly Route[],
  otherwise: Transport,
  redirected: (relay: string) => Transport | undefined,
  now: () => number,
): Transport {
  /** Routes may share a destination, but neither a login nor a source address, so neither a session. */
  const numbered = routes.map(({ match, transport }, index) => ({
    match,
    transport,
    suffix: ` (route ${index + 1})`,
  }));
  const standard = { transport: otherwise, suffix: "" };

  function transportFor({ relay, sender }: Envelope, address: string) {
    if (relay === undefined)
      return numbered.find(({ match }) => matchesRoute(match, sender, address)) ?? standard;
    return { transport: redirected(relay) ?? unknownRelay(relay, now), suffix: " (redirected)" };
  }

  return {
    destination(envelope, address) {
      const { transport, suffix } = transportFor(envelope, address);
      return `${transport.destination(envelope, address)}${suffix}${tlsRequestSuffix(envelope)}`;
    },
    deliver(message, signal, report) {
      const [first] = message.recipients;
      return first
        ? transportFor(message.envelope, first.address).transport.deliver(message, signal, report)
        : Promise.resolve([]);
    },
  };
}

/** The mail stays here until an operator says better. */
const unknownRelay = (relay: string, now: () => number): Transport => ({
  destination: () => relay,
  deliver: async ({ recipients }) =>
    unreached(
      recipients,
      reply(451, "4.4.4", `the message was redirected to "${relay}", which is no relay`),
      now(),
    ),
});
