/**
 * Which transport a recipient's copy uses: the relay an operator redirected it to, else the first matching route, else
 * the default. All of them together are a transport again.
 */
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { reply } from "../../smtp/reply.ts";
import type { Envelope } from "../spool/envelope.ts";
import { unreached } from "./attempt.ts";
import { tlsRequestSuffix } from "./tls/require-tls.ts";
import type { Transport } from "./transport.ts";

/** Patterns in lower case, domains in A-labels; an empty list matches everything. */
export interface RouteMatch {
  /** Recipients' domains: a domain, with a dot in front its subdomains, or "*". */
  readonly to: readonly string[];
  /** The same for senders, also a whole address, or "<>" for the null reverse-path. */
  readonly from: readonly string[];
  /** Domains of the logins that submitted the message, "" for the main one; a report has no login. Absent: all. */
  readonly loginDomains?: readonly string[];
}

export interface Route {
  readonly match: RouteMatch;
  readonly transport: Transport;
}

/** Whether the route is for the messages of `login`, which is null for those of the relay itself. */
function matchesLogin({ loginDomains = [] }: RouteMatch, login: string | null): boolean {
  if (loginDomains.length === 0) return true;
  return login !== null && loginDomains.includes(login.includes("@") ? domainOf(login).toLowerCase() : "");
}

/** Whether the route is for a message from `sender` ("" for the null reverse-path) to `recipient`. */
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
  // Local parts are case-sensitive (RFC 5321 section 2.4), but no operator means two people by different case.
  return pattern === `${sender.slice(0, -domainOf(sender).length).toLowerCase()}${domain}`;
}

const domainIn = (address: string): string =>
  (asciiDomain(domainOf(address)) ?? domainOf(address)).toLowerCase();

/**
 * The routes as one transport. `redirected` returns the transport to the relay an envelope names, undefined if it is
 * not a relay. `now` is in milliseconds since the epoch.
 */
export function routedTransport(
  routes: readonly Route[],
  otherwise: Transport,
  redirected: (relay: string) => Transport | undefined,
  now: () => number,
): Transport {
  /** Routes to the same host may differ in login and source address, so their destinations differ in name. */
  const numbered = routes.map(({ match, transport }, index) => ({
    match,
    transport,
    suffix: ` (route ${index + 1})`,
  }));
  const standard = { transport: otherwise, suffix: "" };

  function transportFor({ relay, sender, login }: Envelope, address: string) {
    if (relay === undefined) {
      const own = numbered.find(
        ({ match }) => matchesLogin(match, login) && matchesRoute(match, sender, address),
      );
      return own ?? standard;
    }
    return { transport: redirected(relay) ?? unknownRelay(relay, now), suffix: " (redirected)" };
  }

  return {
    destination(envelope, address) {
      const { transport, suffix } = transportFor(envelope, address);
      return `${transport.destination(envelope, address)}${suffix}${tlsRequestSuffix(envelope)}`;
    },
    deliver(message, ...more) {
      const [first] = message.recipients;
      return first
        ? transportFor(message.envelope, first.address).transport.deliver(message, ...more)
        : Promise.resolve([]);
    },
  };
}

/** The mail stays in the queue until an operator redirects it again. */
const unknownRelay = (relay: string, now: () => number): Transport => ({
  destination: () => relay,
  deliver: async ({ recipients }) =>
    unreached(
      recipients,
      reply(451, "4.4.4", `the message was redirected to "${relay}", which is no relay`),
      now(),
    ),
});
