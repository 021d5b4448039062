/** What the sessions are bound to, as the configuration has it: limits, and who may send as whom. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { standardTimeouts } from "../../server/submission/client-limits.ts";
import { descriptorsAllowed } from "../../server/submission/limits/admission.ts";
import { type Milter, newMessageFilter } from "../../server/submission/milter/filter.ts";
import { inNetworks } from "../../server/submission/proxy-protocol.ts";
import { type Aliases, parseAliases, senderPolicy } from "../../server/submission/sender-policy.ts";
import type { SessionContext } from "../../server/submission/session.ts";

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
export async function sessionRules({
  hostname,
  domain,
  listen,
  passwords,
  senders,
  message,
  limits,
  spool,
  log,
  delivery,
  route,
  milter,
}: Config): Promise<SessionRules> {
  const steady = (): number => performance.now();
  return {
    hostname,
    domain,
    messageSize: limits["message-size"],
    recipients: limits.recipients,
    connectionsPerAddress: limits["connections-per-address"],
    connections: limits.connections,
    descriptors: await descriptorsAllowed(),
    isProxy: inNetworks(listen.proxies),
    wrongText: passwords["wrong-text"],
    lineEnds: message["line-ends"],
    senders: senderPolicy(senders.policy, domain, await aliasesOf(senders.aliases)),
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

/** Those of senders.aliases. Throws a Failure where the file cannot be read or is wrong. */
export async function aliasesOf(file: string): Promise<Aliases> {
  if (file === "") return new Map();
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      exitStatus.config,
      `${file}: cannot be read (${errorText(error)}); senders.aliases names it`,
    );
  }
  return parseAliases(text, file);
}
