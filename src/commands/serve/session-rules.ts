/** What the sessions are bound to, as the configuration has it: limits, and who may send as whom. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { domainNames, domainOfLogin, perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { loginKey } from "../../passwd/login-name.ts";
import type { ReportContact } from "../../server/dsn/explanation.ts";
import { standardTimeouts } from "../../server/submission/client-limits.ts";
import { descriptorsAllowed } from "../../server/submission/limits/admission.ts";
import { type Milter, newMessageFilter } from "../../server/submission/milter/filter.ts";
import { inNetworks } from "../../server/submission/proxy-protocol.ts";
import {
  type Aliases,
  type LocalSenders,
  parseAliases,
  parseLocalSenders,
  type Senders,
  senderPolicies,
  senderPolicy,
} from "../../server/submission/sender-policy.ts";
import type { DomainTexts, SessionContext } from "../../server/submission/session.ts";

/** The part of a session's rules that a reload may change. */
export type SessionRules = Omit<
  SessionContext,
  | "verify"
  | "slowestCheck"
  | "proofs"
  | "hashes"
  | "hashesUnchanged"
  | "challenges"
  | "spool"
  | "accepted"
  | "connectionTable"
  | "memory"
  | "authLimiter"
  | "quota"
  | "isFrozen"
>;

/** Throws a Failure where the file of aliases cannot be read or is wrong. */
export async function sessionRules(config: Config): Promise<SessionRules> {
  const {
    hostname,
    domain,
    domains,
    listen,
    passwords,
    message,
    limits,
    spool,
    log,
    delivery,
    route,
    milter,
  } = config;
  const steady = (): number => performance.now();
  return {
    hostname,
    domain,
    ...(domains.length > 0 && { domains: domainTextsOf(config) }),
    messageSize: limits["message-size"],
    recipients: limits.recipients,
    connectionsPerAddress: limits["connections-per-address"],
    connections: limits.connections,
    descriptors: await descriptorsAllowed(),
    isProxy: inNetworks(listen.proxies),
    wrongText: passwords["wrong-text"],
    lineEnds: message["line-ends"],
    senders: await sendersOf(config),
    clientAddressInMail: log["client-address-in-mail"],
    reserve: reserveOf({ spool }),
    timeouts: standardTimeouts,
    requireTls: mayRequireTls({ delivery, route }),
    nonce: () => randomBytes(18).toString("base64url"),
    now: Date.now,
    steady,
    ...(milter.length > 0 && { filter: newMessageFilter(milter.map(milterOf), steady) }),
    pause: (milliseconds) => setTimeout(milliseconds),
  };
}

/** A [[milter]] as the filter knows it. */
const milterOf = ({ "when-away": whenAway, ...milter }: Config["milter"][number]): Milter => ({
  ...milter,
  whenAway,
});

/** What of the disk stays free of new messages. */
export const reserveOf = ({ spool }: Pick<Config, "spool">): SessionContext["reserve"] => ({
  octets: spool.reserve,
  inodes: spool["reserve-inodes"],
});

/**
 * REQUIRETLS is promised only where some way can keep the promise: by MX it takes DNSSEC or MTA-STS to know whom to
 * verify (RFC 8689 section 4.2.1), and no LMTP server that we know takes it over.
 */
function mayRequireTls({ delivery, route }: Pick<Config, "delivery" | "route">): boolean {
  const known = delivery["mta-sts"] || delivery["dnssec-resolver"] !== null;
  return [delivery, ...route].some(({ relay }) =>
    relay.some(({ kind }) => (kind === "mx" ? known : kind !== "lmtp")),
  );
}

/** Who may send as whom. Throws a Failure where a file of aliases cannot be read or is wrong. */
export async function sendersOf(config: Config): Promise<Senders> {
  const { senders, domain, domains } = config;
  const local = await localSendersOf(config);
  if (domains.length === 0) {
    return senderPolicy(senders.policy, domain, await aliasesOf(senders.aliases), local);
  }
  const aliases = await aliasesOfAll(config);
  const [main, ...others] = perDomain(config).map(
    (site) => [site.domain, senderPolicy(site.senders.policy, site.domain, aliases, local)] as const,
  );
  if (main === undefined) throw new Error("there is always a main domain");
  return senderPolicies(main[1], new Map([[config.hostname, main[1]], ...others])); // users of this host are there
}

async function localSendersOf({ senders, hostname }: Config): Promise<LocalSenders> {
  const text = senders.local === "" ? "" : await readNamed(senders.local, "senders.local");
  return parseLocalSenders(text, senders.local, hostname);
}

/**
 * The addresses that each domain's file gives away, logins as the relay names them. A domain gives away its own addresses
 * and those of nobody here: its file may come from a directory that others keep. Others are passed over, since whoever keeps
 * that directory must not be able to keep the relay from its start.
 */
async function aliasesOfAll(config: Config): Promise<Aliases> {
  const all = new Map<string, Set<string>>();
  for await (const { address, logins, domain, isOurs } of givenAway(config)) {
    if (!isOurs) continue;
    const known = all.get(address) ?? new Set();
    for (const login of logins)
      known.add(loginKey(login.includes("@") ? login : `${login}@${domain}`, config.domain));
    all.set(address, known);
  }
  return all;
}

interface GivenAddress {
  readonly address: string;
  readonly logins: ReadonlySet<string>;
  /** Whose file it is in, and which. */
  readonly domain: string;
  readonly file: string;
  /** Whether that domain may give it away. */
  readonly isOurs: boolean;
}

/** All that the files of sender addresses say, with several domains. Throws a Failure where one cannot be read or is wrong. */
export async function* givenAway(config: Config): AsyncGenerator<GivenAddress> {
  const names = domainNames(config);
  for (const { domain, senders } of perDomain(config)) {
    const file = senders.aliases;
    const setting = domain === config.domain ? "senders.aliases" : `sender-aliases of ${domain}`;
    for (const [address, logins] of await aliasesOf(file, setting)) {
      const owner = domainOfLogin(address, domain);
      yield { address, logins, domain, file, isOurs: owner === domain || !names.includes(owner) };
    }
  }
}

/** Those of the file. Throws a Failure where it cannot be read or is wrong; `setting` names it. */
async function aliasesOf(file: string, setting = "senders.aliases"): Promise<Aliases> {
  if (file === "") return new Map();
  return parseAliases(await readNamed(file, setting), file);
}

async function readNamed(file: string, setting: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      exitStatus.config,
      `${file}: cannot be read (${errorText(error)}); ${setting} names it`,
    );
  }
}

/** What the people of each domain beside the main one read. */
function domainTextsOf(config: Config): ReadonlyMap<string, DomainTexts> {
  return new Map(
    config.domains.map((own) => [
      own.name,
      { wrongText: own["wrong-text"] ?? config.passwords["wrong-text"], help: own.help ?? "" },
    ]),
  );
}

/** Whom the sender of a message is told to ask, when a report of it is written. */
export function reportContacts({
  domain,
  domains,
}: Config): (login: string | null) => ReportContact | undefined {
  const contacts = new Map(
    domains.map(({ name, help, postmaster }) => [name, { help: help ?? "", postmaster: postmaster ?? "" }]),
  );
  return (login) => (login === null ? undefined : contacts.get(domainOfLogin(login, domain)));
}
