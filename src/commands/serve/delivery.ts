/** How mail leaves, as the configuration has it: the transports, the signatures, the retries, and the scheduler that uses them. */

import { lookup, Resolver as SystemResolver } from "node:dns/promises";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, isIPv4, isIPv6 } from "node:net";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { keyPlaces } from "../../config/domains.ts";
import type { RouteSettings } from "../../config/route-settings.ts";
import { relay, writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure, nearest } from "../../failure.ts";
import { readSigningKeys, type SigningKey, type SigningKeys } from "../../server/delivery/dkim/keys.ts";
import { newSigner } from "../../server/delivery/dkim/signer.ts";
import { nameServer } from "../../server/delivery/dns/query.ts";
import {
  cachingResolver,
  type Resolver,
  systemResolver,
  validatingResolver,
} from "../../server/delivery/dns/resolver.ts";
import type { MxSettings } from "../../server/delivery/mx.ts";
import {
  newProviderLookup,
  type ProviderChange,
  type ProviderLookup,
  providerNames,
} from "../../server/delivery/provider-terms.ts";
import { type RouteMatch, routedTransport } from "../../server/delivery/routes.ts";
import type { SessionPool } from "../../server/delivery/session-pool.ts";
import {
  openStsPolicies,
  policyFetcher,
  type StsCache,
  type StsPolicies,
  stsCache,
} from "../../server/delivery/tls/mta-sts.ts";
import type { ObserveTls } from "../../server/delivery/tls/observation.ts";
import {
  folderTransport,
  mxTransport,
  relayTransport,
  signingTransport,
  type Transport,
} from "../../server/delivery/transport.ts";
import {
  type Credentials,
  type Source,
  type TransportSettings,
  timeouts,
} from "../../server/delivery/transport-settings.ts";
import type { ContactOf } from "../../server/dsn/report.ts";
import { workOnMessage } from "../../server/log/event-loop.ts";
import { log } from "../../server/log/log.ts";
import { type Scheduler, startScheduler } from "../../server/queue/scheduler.ts";
import type { RetryPolicy } from "../../server/queue/verdict.ts";
import { sendersOf } from "./session-rules.ts";
import type { RelaySpool } from "./spool.ts";

/**
 * The transport of all mail, with one for each route; open sessions wait in `sessions`. Throws a Failure where a file that a
 * route or a signature needs cannot be read, or an address to send from is not this host's.
 */
export async function transportFor(
  config: Config,
  sessions: SessionPool,
  observe?: ObserveTls,
): Promise<Transport> {
  const transport = await unsignedTransport(config, sessions, observe);
  return signedTransport(transport, config, await keysOf(config));
}

/** The keys that sign, of each domain from where it has them; none where nothing is to be signed. Throws a Failure. */
export async function keysOf(config: Config): Promise<SigningKeys> {
  const keys: [string, readonly SigningKey[]][] = [];
  for (const { folder, setting, holds } of keyPlaces(config)) {
    const found = await readSigningKeys(folder, setting);
    keys.push(...[...found].filter(([domain]) => holds(domain)));
  }
  return new Map(keys);
}

/** `transport`, what it sends signed by `keys`. Throws a Failure where the file of sender addresses cannot be read. */
export async function signedTransport(
  transport: Transport,
  config: Config,
  keys: SigningKeys,
): Promise<Transport> {
  if (keyPlaces(config).length === 0) return transport;
  const rule = await sendersOf(config);
  const mayUse = (login: string, address: string): boolean => rule.mayUse(login, address);
  return signingTransport(transport, newSigner({ keys, hostname: config.hostname, mayUse, now: Date.now }));
}

/** The same with nothing signed. `policyCache` is of MTA-STS. */
export async function unsignedTransport(
  { delivery, route, provider, hostname, domain, spool }: Config,
  sessions: SessionPool,
  observe: ObserveTls | undefined,
  policyCache: StsCache = stsCache(join(spool.directory, "mta-sts")),
): Promise<Transport> {
  const resolver = cachingResolver(resolverFor(delivery), () => performance.now());
  const routing: MxSettings = {
    resolver,
    hostname,
    port: delivery.port,
    privateAddresses: delivery["private-addresses"],
    random: Math.random,
  };
  const web = { resolver, privateAddresses: routing.privateAddresses, port: delivery["mta-sts-port"] };
  const policies = delivery["mta-sts"]
    ? await openStsPolicies(resolver, policyFetcher(web), policyCache, Date.now, observe)
    : undefined;
  const shared = { routing, policies, observe, providers: newProviderLookup(provider.map(providerChange)) };
  const tables = [delivery, ...route];
  const transports = await Promise.all(
    tables.map(async (settings, number) => {
      const name = number === 0 ? "[delivery]" : `[[route]] number ${number}`;
      const options = await settingsOf(settings, name, { hostname, sessions });
      return { settings, options, transport: transportBy(settings, options, shared) };
    }),
  );
  const [standard, ...others] = transports;
  if (standard === undefined) throw new Error("there is always [delivery]");
  const routes = others.map(({ transport }, index) => ({
    match: matchOf(route[index], domain),
    transport,
  }));
  /** A relay that the configuration knows has its login and its TLS there; another one has none, and "auto". */
  const redirected = (written: string): Transport | undefined => {
    const to = relay.read(written);
    if (to === undefined) return undefined;
    const known = transports.find(({ settings }) => settings.relay.some((one) => isDeepStrictEqual(one, to)));
    const options = known?.options ?? bareSettings(to.kind, { hostname, sessions });
    return transportBy({ relay: [to], tls: known?.settings.tls ?? "auto" }, options, shared);
  };
  return routedTransport(routes, standard.transport, redirected, Date.now);
}

/** What a route is for; without settings, all. A login of the main domain is written without it. */
const matchOf = (route: Config["route"][number] | undefined, main: string): RouteMatch => ({
  to: route?.to ?? [],
  from: route?.from ?? [],
  loginDomains: route?.["login-domain"].map((name) => (name === main ? "" : name)) ?? [],
});

/** What all transports share. */
interface TransportDependencies {
  readonly routing: MxSettings;
  readonly policies: StsPolicies | undefined;
  readonly observe: ObserveTls | undefined;
  readonly providers: ProviderLookup;
}

/** What a [[provider]] changes. Throws a Failure for one that is not known and has no hosts. */
function providerChange(settings: Config["provider"][number]): ProviderChange {
  const { name, hosts, concurrency, "messages-per-session": messages, pause } = settings;
  if (!providerNames.includes(name) && hosts.length === 0) {
    const meant = nearest(name, providerNames);
    const advice = meant === undefined ? "name its hosts" : `did you mean "${meant}"?`;
    throw new Failure(exitStatus.config, `[[provider]] "${name}": there is none of this name; ${advice}`);
  }
  return {
    name,
    hosts,
    ...(concurrency > 0 && { concurrency }),
    ...(messages > 0 && { messages }),
    ...(pause !== null && { pause }),
  };
}

function transportBy(
  { relay: relays, tls }: Pick<RouteSettings, "relay" | "tls">,
  options: TransportSettings,
  { routing, policies, observe, providers }: TransportDependencies,
): Transport {
  const [first] = relays;
  if (first?.kind === "file") return folderTransport(first.directory, Date.now);
  if (first?.kind === "mx") return mxTransport(routing, policies, options, Date.now, { observe, providers });
  const hosts = relays.flatMap((one) => ("host" in one ? [one] : []));
  return relayTransport(
    hosts.map(({ kind, host, port }) => ({
      host,
      port,
      implicit: kind === "smtps",
      // smtps promises a host whose name is proven
      ...(kind === "smtps" && tls === "auto" && { tls: { kind: "verified" as const, names: [host] } }),
    })),
    { lookup: addressesOf, policies },
    options,
    Date.now,
  );
}

const bareSettings = (
  kind: RouteSettings["relay"][number]["kind"],
  ours: Pick<TransportSettings, "hostname" | "sessions">,
): TransportSettings => ({
  ...ours,
  protocol: kind === "lmtp" ? "lmtp" : "smtp",
  tls: "opportunistic",
  timeouts,
  now: Date.now,
});

/** `table` is where the settings stand, for whoever must correct them. */
async function settingsOf(
  settings: RouteSettings,
  table: string,
  ours: Parameters<typeof bareSettings>[1],
): Promise<TransportSettings> {
  const { relay: relays, "relay-ca": ca } = settings;
  const credentials = await credentialsOf(settings, table);
  return {
    ...bareSettings(relays[0]?.kind ?? "mx", ours),
    tls: tlsOf(settings),
    source: await sourceOf(settings, table),
    ...(ca !== "" && { ca: await readNamedFile(ca, `relay-ca of ${table}`) }),
    ...(credentials && { credentials }),
  };
}

/** What `tls` comes to: a password is shown to nobody whose name is not proven. smtps:// asks for more on its own. */
export function tlsOf({
  tls,
  "relay-user": user,
}: Pick<RouteSettings, "tls" | "relay-user">): TransportSettings["tls"] {
  return tls !== "auto" ? tls : user === "" ? "opportunistic" : "verified";
}

async function credentialsOf(settings: RouteSettings, table: string): Promise<Credentials | undefined> {
  const { "relay-user": user, "relay-password-file": file } = settings;
  if (user === "") return undefined;
  const [password = ""] = (await readNamedFile(file, `relay-password-file of ${table}`)).split(/\r?\n/);
  if (password !== "") {
    return { user, password, setIn: `relay-user and relay-password-file of ${table}` };
  }
  throw new Failure(
    exitStatus.config,
    `${file}: expected the password on its first line, found nothing there`,
  );
}

async function readNamedFile(file: string, setting: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      exitStatus.config,
      `${file}: cannot be read (${errorText(error)}); ${setting} names it`,
    );
  }
}

/** Tries each address, because a wrong one would keep all mail here. */
async function sourceOf({ "source-addresses": addresses }: RouteSettings, table: string): Promise<Source> {
  for (const address of addresses) {
    const trial = createServer();
    try {
      trial.listen({ host: address, port: 0 });
      await once(trial, "listening");
    } catch (error) {
      throw new Failure(
        exitStatus.config,
        `${address}: mail cannot be sent from there (${errorText(error)}); source-addresses of ${table} names it`,
      );
    } finally {
      trial.close();
    }
  }
  const [v4, v6] = [addresses.find(isIPv4), addresses.find(isIPv6)];
  return { ...(v4 !== undefined && { v4 }), ...(v6 !== undefined && { v6 }) };
}

/** Where a validating resolver is named, it answers everything: what it proves is of no use beside what it does not. */
export function resolverFor({ nameservers, ...delivery }: Config["delivery"]): Resolver {
  const validator = delivery["dnssec-resolver"];
  if (validator !== null) return validatingResolver(nameServer(validator));
  const system = new SystemResolver({ timeout: 5000, tries: 3 });
  if (nameservers.length > 0) system.setServers(nameservers.map(writeAddress));
  return systemResolver(system);
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

// How long delivery is tried, and how often, as the configuration has it.

/** So many deliveries may be under way for each that moves, and part of all descriptors. Our choices. */
const waitingForEach = 20;
const shareOfDescriptors = 0.5;

export function retryPolicyOf({ delivery, spool }: Config, descriptors = descriptorLimit()): RetryPolicy {
  const { concurrency } = delivery;
  const room = Math.min(waitingForEach * concurrency, Math.floor(shareOfDescriptors * descriptors));
  return {
    first: delivery["retry-first"],
    longest: delivery["retry-longest"],
    lifetime: spool.lifetime,
    reportLifetime: spool["report-lifetime"],
    warnAfter: spool["warn-after"],
    concurrency,
    underWay: Math.max(concurrency, room),
    destinationConcurrency: delivery["destination-concurrency"],
  };
}

// How many files and connections this process may have open.

/** What a shell gives where nobody has said anything. */
const usualDescriptors = 1024;

/** Infinity where there is no limit. Node.js raises the soft limit to the hard one when it starts. */
export function descriptorLimit(file = "/proc/self/limits"): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync(file, "latin1"))?.[1] ?? `${usualDescriptors}`;
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return usualDescriptors;
  }
}

export interface Deliveries extends Scheduler {
  /** Lets deliveries end for `grace` milliseconds. */
  close(grace: number): Promise<void>;
}

/**
 * Starts to deliver what is in the spool, by the routes that are in use at that moment; messages of frozen logins are not
 * begun.
 */
export function startDeliveries(
  config: Config,
  { deliverable, freezeHold }: RelaySpool,
  inUse: () => Transport,
  contactOf?: ContactOf,
): Deliveries {
  const transport: Transport = {
    destination: (envelope, address) =>
      workOnMessage(envelope.id, () => inUse().destination(envelope, address)),
    deliver: (message, ...more) =>
      freezeHold.applyTo(message.envelope).held ? Promise.resolve([]) : inUse().deliver(message, ...more),
  };
  const scheduler = startScheduler(
    { spool: deliverable, transport, hostname: config.hostname, ...(contactOf && { contactOf }) },
    retryPolicyOf(config),
    { now: Date.now, steady: () => performance.now(), random: Math.random, alarm },
  );
  return {
    ...scheduler,
    async close(grace) {
      await scheduler.drain(grace);
      log("stopped", { waiting: scheduler.waiting().messages });
    },
  };
}

function alarm(after: number, ring: () => void): () => void {
  const timer = setTimeout(ring, after);
  return () => clearTimeout(timer);
}
