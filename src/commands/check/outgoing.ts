/** How mail leaves: the routes with all that they need, the resolver for DANE, and whether anybody answers out there. */
import { lookup, Resolver } from "node:dns/promises";
import type { RouteSettings } from "../../config/route-settings.ts";
import { writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode } from "../../failure.ts";
import { records } from "../../probe/checkup/spf.ts";
import { runSmtpCheck } from "../../probe/transaction/smtp-check.ts";
import { nameServer } from "../../server/delivery/dns/query.ts";
import { validatingResolver } from "../../server/delivery/dns/resolver.ts";
import { newSessionPool } from "../../server/delivery/session-pool.ts";
import { probeDependencies } from "../probe/host.ts";
import { tlsOf, transportFor } from "../serve/delivery.ts";
import { type Look, orFailures } from "./context.ts";
import { cannotTell, fail, fine, type Judgement, warn } from "./rows.ts";

/** Opened as the relay would, so that every file and address is tried. */
export const routes: Look = ({ config, isOffline }) =>
  orFailures(async () => {
    const pool = newSessionPool(Date.now);
    try {
      await transportFor(config, pool);
    } finally {
      pool.close();
    }
    return describeRoutes(config, isOffline);
  });

/** In the order in which routes are chosen. The system is asked for the relays' addresses, unless that is unwanted. */
async function describeRoutes(
  { delivery, route }: Config,
  isOffline: boolean,
): Promise<readonly Judgement[]> {
  const routes = route.map((way, index) => {
    const to = way.to.length > 0 ? ` for ${way.to.join(", ")}` : "";
    const from = way.from.length > 0 ? ` from ${way.from.join(", ")}` : "";
    const domains = way["login-domain"];
    const by = domains.length > 0 ? ` of logins at ${domains.join(", ")}` : "";
    return describeRoute(`[[route]] number ${index + 1}`, `${to}${from}${by}`.trimStart(), way, isOffline);
  });
  const rest = route.length > 0 ? "all else" : "mail";
  return (await Promise.all([...routes, describeRoute("[delivery]", rest, delivery, isOffline)])).flat();
}

async function describeRoute(
  name: string,
  which: string,
  way: RouteSettings,
  isOffline: boolean,
): Promise<readonly Judgement[]> {
  const relays = way.relay.map((relay) => written(relay, way)).join(", else ");
  const login = way["relay-user"] === "" ? "" : `, logged in as ${way["relay-user"]}`;
  const lost = isOffline ? [] : await Promise.all(way.relay.map(withoutAddress));
  return [fine(name, `${which} goes ${relays}${login}`), ...lost.flat()];
}

function written(relay: RouteSettings["relay"][number], way: RouteSettings): string {
  if (relay.kind === "file") return `to the folder ${relay.directory}`;
  const tls = `(TLS ${relay.kind === "smtps" && way.tls === "auto" ? "verified" : tlsOf(way)})`;
  if (relay.kind === "mx") return `to the MX of each domain ${tls}`;
  return `to ${relay.kind}://${writeAddress(relay)} ${tls}`;
}

/** A warning and no more: the DNS may be down for a moment. */
async function withoutAddress(relay: RouteSettings["relay"][number]): Promise<readonly Judgement[]> {
  if (!("host" in relay)) return [];
  try {
    await lookup(relay.host);
    return [];
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [warn(relay.host, `it has no address (${errorCode(error)}), mail for it would wait here`)];
  }
}

/** A zone that everybody knows and that is signed, to see whether signatures are checked. */
const signedZone = "org";

/** A resolver that does not validate would mean no DANE, and nobody would notice. */
export const resolver: Look = async ({ config: { delivery } }) => {
  const address = delivery["dnssec-resolver"];
  if (address === null) return [];
  const name = writeAddress(address);
  const answer = await validatingResolver(nameServer(address, { timeout: 5000, tries: 1 })).mx(signedZone);
  if (answer.kind === "trouble") {
    return [
      fail(
        name,
        `does not tell about the domain ${signedZone} (${answer.reason}); delivery.dnssec-resolver names it`,
      ),
    ];
  }
  if (answer.authentic === true) return [fine(name, "resolves and checks signatures")];
  return [
    fail(
      name,
      'checks no signatures, there would be no DANE: have it validate, or set delivery.dnssec-resolver to ""',
    ),
  ];
};

// Whether mail gets out: most providers of virtual hosts block port 25, and nobody notices before the first message.

/** Milliseconds for each step. A greeting may take longer, but not on a good day. */
const patience = 5000;

export const reach: Look = async ({ config, mxOf }) => {
  const ways = [config.delivery, ...config.route].flatMap(({ relay }) => relay);
  const named = new Map(
    ways.flatMap((way) => ("host" in way ? [[`${way.kind}://${writeAddress(way)}`, way] as const] : [])),
  );
  const relays = [...named].map(async ([name, { host, port, kind }]) => {
    const greeting = await greetingOf(host, port, kind === "smtps", config.hostname);
    return greeting.kind === "greeted"
      ? fine(name, `greets: ${greeting.words}`)
      : fail(name, `cannot be reached: ${greeting.words}`, "Is it up, and does no firewall stand between?");
  });
  const byMx = ways.some(({ kind }) => kind === "mx") ? [reachMx(config, mxOf)] : [];
  const found = await Promise.all([...relays, ...byMx]);
  return found.length > 0 ? found : [fine("", "mail goes to folders only")];
};

async function reachMx({ delivery, hostname }: Config, domain: string): Promise<Judgement> {
  const dns = dnsOf(delivery);
  const exchangers = await records(dns.resolveMx(domain));
  if (exchangers === "trouble") return cannotTell(domain, "the DNS does not tell its MX");
  const [first] = [...exchangers].sort((one, other) => one.priority - other.priority);
  if (first === undefined || first.exchange === "")
    return cannotTell(domain, "has no MX, so port 25 was not tried");
  const { exchange } = first;
  const addresses = await Promise.all([records(dns.resolve4(exchange)), records(dns.resolve6(exchange))]);
  const known = addresses.flatMap((found) => (found === "trouble" ? [] : found.slice(0, 1)));
  const troubles: string[] = [];
  for (const address of known) {
    const greeting = await greetingOf(address, delivery.port, false, hostname);
    if (greeting.kind === "greeted") return fine(exchange, `an MX of ${domain}, greets: ${greeting.words}`);
    troubles.push(`${address}: ${greeting.words}`);
  }
  const words = `an MX of ${domain}, cannot be reached at port ${delivery.port}`;
  if (troubles.length === 0) return cannotTell(exchange, `an MX of ${domain}, has no address`);
  return fail(exchange, `${words} (${troubles.join("; ")})`);
}

/** The name servers that deliveries ask. */
export function dnsOf({ nameservers, "dnssec-resolver": validating }: Config["delivery"]): Resolver {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  const servers = validating === null ? nameservers : [validating];
  if (servers.length > 0) resolver.setServers(servers.map(writeAddress));
  return resolver;
}

async function greetingOf(
  host: string,
  port: number,
  implicitTls: boolean,
  helo: string,
): Promise<{ readonly kind: "greeted" | "silent"; readonly words: string }> {
  const { recorded } = await runSmtpCheck(
    { host, port, implicitTls, helo, timeout: patience },
    {
      protocol: { from: "", to: [], quitAfter: "CONNECT" },
      tls: { verifyCa: false, verifyHost: false },
    },
    probeDependencies,
  );
  const greeting = recorded.steps.find(({ at }) => at === "CONNECT");
  const line = greeting?.reply.at(-1)?.slice(0, 100) ?? recorded.errors.at(-1) ?? "the connection broke";
  return { kind: greeting?.expected === true ? "greeted" : "silent", words: line };
}
