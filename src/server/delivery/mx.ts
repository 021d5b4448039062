/**
 * The next hops of a recipient's domain, in the order in which to try them (RFC 5321 section 5.1, RFC 7505), or a reply
 * that says why there are none. Opens no connection.
 */

import { isIP } from "node:net";
import { addressLiteral, asciiDomain } from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { isPublic } from "./dns/public-addresses.ts";
import { answerTo, type DnsAnswer, type MailExchanger, type Resolver } from "./dns/resolver.ts";
import type { NextHop } from "./next-hop.ts";
import { danePolicy } from "./tls/dane.ts";

export interface MxSettings {
  readonly resolver: Resolver;
  /** Our own name: mail is never sent to ourselves. */
  readonly hostname: string;
  /** The hosts' port: 25, except in tests. */
  readonly port: number;
  /** Whether hosts on loopback and private addresses may be used. */
  readonly privateAddresses: boolean;
  readonly random: () => number;
}

// Our choice: no honest domain needs more, and a hostile one must not keep us busy.
const mostHosts = 10;
const mostHops = 20;

/** The hops for `domain` as in a forward-path: a name, U-labels allowed, or an address literal. */
export async function hopsByMx(domain: string, routing: MxSettings): Promise<readonly NextHop[] | Reply> {
  const literal = addressLiteral(domain);
  if (literal !== undefined)
    return reachable([{ host: literal, address: literal, port: routing.port }], domain, routing);
  const name = asciiDomain(domain);
  if (name === undefined || !isHostName(name))
    return reply(550, "5.1.2", `${domain} is no domain that mail can go to`);

  const answer = await routing.resolver.mx(name);
  if (answer.kind === "trouble") return lookupFailed(domain, answer.reason);
  if (answer.kind === "unknown") return reply(550, "5.1.2", `the domain ${domain} does not exist`);
  const hosts = exchangers(name, answer, routing);
  if ("code" in hosts) return hosts;
  const { authentic = false, alias = name } = answer;
  return addressesOf(hosts, { domain, names: [name, alias], authentic }, routing);
}

/** The domain whose hosts are looked up. */
interface MxOrigin {
  /** As in the forward-path. */
  readonly domain: string;
  /** In A-labels: the domain, and the target of its CNAME. */
  readonly names: readonly string[];
  readonly authentic: boolean;
}

/** The mail hosts of `domain` in order of preference, or why there are none. */
function exchangers(
  domain: string,
  answer: DnsAnswer<MailExchanger>,
  { hostname, random }: MxSettings,
): readonly string[] | Reply {
  // RFC 5321 section 5.1: a domain without MX records is its own mail host.
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
  origin: MxOrigin,
  routing: MxSettings,
): Promise<readonly NextHop[] | Reply> {
  const { domain } = origin;
  const found = await Promise.all(hosts.map((host) => addressesOfHost(host, origin, routing)));
  const hops = found.flatMap((one) => one.hops);
  if (hops.length > 0) return reachable(hops, domain, routing);
  const trouble = found.find((one) => one.trouble !== undefined)?.trouble;
  return trouble ?? reply(550, "5.4.4", `no mail server of ${domain} has an address`);
}

/** The hops of one host; none, and maybe a temporary reply, if it cannot be used now. */
async function addressesOfHost(
  host: string,
  { domain, names, authentic }: MxOrigin,
  { resolver, port, random }: MxSettings,
): Promise<{ readonly hops: readonly NextHop[]; readonly trouble?: Reply }> {
  const answers = await Promise.all([resolver.ipv6(host), resolver.ipv4(host)]);
  const families = answers.map((answer) => (answer.kind === "found" ? shuffled(answer.values, random) : []));
  const addresses = alternating(families);
  const silent = answers.find((answer) => answer.kind === "trouble");
  if (addresses.length === 0) {
    return { hops: [], ...(silent && { trouble: lookupFailed(domain, silent.reason) }) };
  }
  const { signed } = resolver;
  const tls =
    authentic && signed ? await danePolicy({ host, port, domains: names, answers }, signed) : undefined;
  if (tls && "code" in tls) return { hops: [], trouble: tls };
  const more = { ...(tls && { tls }), ...(authentic && { authentic }) };
  return { hops: addresses.map((address) => ({ host, address, port, ...more })) };
}

/** One of each in turn, so that an unreachable address family does not use up all attempts (RFC 8305 section 4). */
function alternating<Item>(lists: readonly (readonly Item[])[]): readonly Item[] {
  const longest = Math.max(...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1))).flat();
}

/**
 * The hops without loopback and private addresses, if these are not allowed. If none is left, the failure is permanent:
 * before RFC 7505, an MX record to 127.0.0.1 was the usual way to refuse mail.
 */
function reachable(
  hops: readonly NextHop[],
  domain: string,
  { privateAddresses }: MxSettings,
): readonly NextHop[] | Reply {
  const left = hops.filter(({ address }) => privateAddresses || isPublic(address)).slice(0, mostHops);
  return left.length > 0
    ? left
    : reply(550, "5.4.4", `the mail servers of ${domain} have no address that is reachable from outside`);
}

/** The addresses of a relay that the operator named, private ones too. `lookup` rejects as node:dns does. */
export async function hopsOfRelay(
  host: string,
  port: number,
  lookup: (host: string) => Promise<readonly string[]>,
): Promise<readonly NextHop[] | Reply> {
  if (isIP(host) !== 0) return [{ host, address: host, port }];
  const answer = await answerTo(lookup(host));
  if (answer.kind === "found") return answer.values.map((address) => ({ host, address, port }));
  // The operator's mistake or a DNS failure: the mail stays in the queue until it is repaired.
  return reply(451, "4.4.4", `the relay ${host} has no address: check relay and the DNS`);
}

function lookupFailed(domain: string, reason: string): Reply {
  return reply(451, "4.4.3", `the DNS does not tell where mail for ${domain} goes (${reason})`);
}

const isRoot = (name: string): boolean => name === "" || name === ".";

/** ASCII, and no IPv4 address in any spelling: its last label would be a number (RFC 1123 section 2.1). */
export function isHostName(name: string): boolean {
  const labels = name.split(".");
  return (
    name.length <= 253 &&
    labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label)) &&
    !/^(?:\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? "")
  );
}

/** In random order: RFC 5321 section 5.1 wants the load spread over hosts of equal preference. */
function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
