/**
 * The next hops of a recipient's domain, in the order in which to try them (RFC 5321 section 5.1, RFC 7505).
 * Says where to go, or with a reply why there is no way; opens no connection.
 */
import { isIP } from "node:net";
import { addressLiteral, asciiDomain } from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { isPublic } from "./reach.ts";
import { type Answer, answerTo, type MailExchanger, type Resolver } from "./resolver.ts";
import type { TlsPolicy } from "./tls-policy.ts";

/** One address of one host. */
export interface Hop {
  /** Host name, which its certificate is for; the address again where there is no name. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** TLS from the first byte (RFC 8314 section 3.3), not by STARTTLS. */
  readonly implicit?: boolean;
  /** What the DNS or a policy demands of this host; absent where the route's own terms are all. */
  readonly tls?: TlsPolicy;
}

export interface Routing {
  readonly resolver: Resolver;
  /** Our own name: mail is never sent to ourselves. */
  readonly hostname: string;
  /** Port of the hosts found, 25 but in tests. */
  readonly port: number;
  /** Whether hosts on loopback and private addresses may be used. */
  readonly privateAddresses: boolean;
  readonly random: () => number;
}

// Our choice: no honest domain needs more, and a hostile one shall not keep us busy.
const mostHosts = 10;
const mostHops = 20;

/** The hops for `domain` as it stands in a forward-path: a name, U-labels allowed, or an address literal. */
export async function routeByMx(domain: string, routing: Routing): Promise<readonly Hop[] | Reply> {
  const literal = addressLiteral(domain);
  if (literal !== undefined)
    return usable([{ host: literal, address: literal, port: routing.port }], domain, routing);
  const name = asciiDomain(domain);
  if (name === undefined || !isHostName(name))
    return reply(550, "5.1.2", `${domain} is no domain that mail can go to`);

  const answer = await answerTo(routing.resolver.resolveMx(name));
  if (answer.kind === "trouble") return lookupFailed(domain, answer.reason);
  if (answer.kind === "unknown") return reply(550, "5.1.2", `the domain ${domain} does not exist`);
  const hosts = exchangers(name, answer, routing);
  return "code" in hosts ? hosts : addressesOf(hosts, domain, routing);
}

/** Host names of `domain` in order of preference, or why there are none. */
function exchangers(
  domain: string,
  answer: Answer<MailExchanger>,
  { hostname, random }: Routing,
): readonly string[] | Reply {
  // RFC 5321 section 5.1: a domain without MX records is its own exchanger.
  const listed = answer.kind === "found" ? answer.values : [{ exchange: domain, priority: 0 }];
  if (listed.length === 1 && isRoot(listed[0]?.exchange ?? "")) {
    return reply(556, "5.1.10", `the domain ${domain} takes no mail (null MX)`); // RFC 7505 section 3
  }
  const named = listed
    .map(({ exchange, priority }) => ({ host: exchange.toLowerCase().replace(/\.$/, ""), priority }))
    .filter(({ host }) => isHostName(host));
  const ours = named.filter(({ host }) => host === hostname.toLowerCase()).map(({ priority }) => priority);
  const better = named.filter(({ priority }) => priority < Math.min(...ours));
  if (ours.length > 0 && better.length === 0) {
    return reply(
      554,
      "5.4.6",
      `mail for ${domain} would come back to this host: its MX records name ${hostname}`,
    );
  }
  return shuffled(better, random)
    .sort((a, b) => a.priority - b.priority)
    .slice(0, mostHosts)
    .map(({ host }) => host);
}

async function addressesOf(
  hosts: readonly string[],
  domain: string,
  routing: Routing,
): Promise<readonly Hop[] | Reply> {
  const { resolver, port, random } = routing;
  const found = await Promise.all(
    hosts.map(async (host) => ({
      host,
      answers: await Promise.all([answerTo(resolver.resolve6(host)), answerTo(resolver.resolve4(host))]),
    })),
  );
  const hops = found.flatMap(({ host, answers }) => {
    const addresses = answers.flatMap((answer) => (answer.kind === "found" ? answer.values : []));
    return shuffled(addresses, random).map((address) => ({ host, address, port }));
  });
  if (hops.length > 0) return usable(hops, domain, routing);
  const trouble = found.flatMap(({ answers }) => answers).find(({ kind }) => kind === "trouble");
  if (trouble?.kind === "trouble") return lookupFailed(domain, trouble.reason);
  return reply(550, "5.4.4", `no mail server of ${domain} has an address`);
}

/**
 * What is left when loopback and private addresses are not allowed. Where nothing is, the domain has said for
 * good that it takes no mail from outside: MX records to 127.0.0.1 were the custom before RFC 7505.
 */
function usable(hops: readonly Hop[], domain: string, { privateAddresses }: Routing): readonly Hop[] | Reply {
  const left = hops.filter(({ address }) => privateAddresses || isPublic(address)).slice(0, mostHops);
  return left.length > 0
    ? left
    : reply(550, "5.4.4", `the mail servers of ${domain} have no address that is reachable from outside`);
}

/** The addresses of a relay that the operator named, whatever they are. `lookup` rejects as node:dns does. */
export async function routeToHost(
  host: string,
  port: number,
  lookup: (host: string) => Promise<readonly string[]>,
): Promise<readonly Hop[] | Reply> {
  if (isIP(host) !== 0) return [{ host, address: host, port }];
  const answer = await answerTo(lookup(host));
  if (answer.kind === "found") return answer.values.map((address) => ({ host, address, port }));
  // The operator's mistake or the resolver's trouble: the mail stays here until it is mended.
  return reply(451, "4.4.4", `the relay ${host} has no address: check delivery.relay and the DNS`);
}

function lookupFailed(domain: string, reason: string): Reply {
  return reply(451, "4.4.3", `the DNS does not tell where mail for ${domain} goes (${reason})`);
}

const isRoot = (name: string): boolean => name === "" || name === ".";

/** ASCII, and no bare IPv4 address however spelt: its last label is a number (RFC 1123 section 2.1). */
function isHostName(name: string): boolean {
  const labels = name.split(".");
  return (
    name.length <= 253 &&
    labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label)) &&
    !/^(?:\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? "")
  );
}

/** In random order: RFC 5321 section 5.1 spreads the load over hosts of equal preference. */
function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
