/**
 * How mail leaves: by the MX records of each recipient's domain, through relays, or into a folder. The scheduler knows
 * only the interface; routes.ts makes one transport of several.
 */

import { mkdir, open, rename, unlink } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Soon } from "../../at-once.ts";
import { replaceFile, syncDirectory } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import { addressLiteral, asciiDomain, domainOf } from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { attempt, type ObserveHop, unreached } from "./attempt.ts";
import type { Signer } from "./dkim/signer.ts";
import { type OutgoingMessage, type RecipientOutcome, signedFor } from "./message/outgoing-message.ts";
import { hopsByMx, hopsOfRelay, isHostName, type MxSettings } from "./mx.ts";
import { type NextHop, peerWithPort } from "./next-hop.ts";
import type { ProviderAdmission, ProviderLookup } from "./provider-terms.ts";
import type { StsPolicies } from "./tls/mta-sts.ts";
import { applyStsPolicy, type StsPolicy } from "./tls/mta-sts-policy.ts";
import { demandedOf, demandOf, type ObserveTls, unknownTlsa } from "./tls/observation.ts";
import { isTlsOptional, permittedHops } from "./tls/require-tls.ts";
import { type ReportActivity, reportNothing } from "./transaction.ts";
import type { TransportSettings } from "./transport-settings.ts";

export interface Transport {
  /** Where the message of `envelope` goes for `address`; recipients with the same destination share a transaction. */
  destination(envelope: Envelope, address: string): string;
  /**
   * Delivers `message`, whose recipients have one destination. A recipient without an outcome was not tried, because
   * `signal` was raised first. Reports each change of activity; the first is "works" and is not reported. Failures of
   * the next hop, the network or the disk are outcomes and are never thrown. By MX, `admit` is asked once it is known
   * whose hosts these are; where it refuses, there are no outcomes.
   */
  deliver(
    message: OutgoingMessage,
    signal: AbortSignal,
    report?: ReportActivity,
    admit?: ProviderAdmission,
  ): Promise<readonly RecipientOutcome[]>;
}

/** The addresses of a host that the operator named, as getaddrinfo(3) returns them; rejects with node:dns's codes. */
export type AddressLookup = (host: string) => Promise<readonly string[]>;

export interface MxOptions {
  /** Hears how TLS went. */
  readonly observe?: ObserveTls | undefined;
  readonly providers?: ProviderLookup;
}

/**
 * To the recipient's domain, under its MTA-STS policy if there are `policies`. `now` is in milliseconds since the
 * epoch. `observe` hears how TLS went, but for messages that do not mind (RFC 8460: reports among them).
 */
export function mxTransport(
  routing: MxSettings,
  policies: StsPolicies | undefined,
  settings: TransportSettings,
  now: () => number,
  { observe, providers = () => undefined }: MxOptions = {},
): Transport {
  return {
    destination: (_, address) => policyDomain(domainOf(address)),
    deliver: (message, signal, report, admit = () => true) => {
      const written = domainOf(message.recipients[0]?.address ?? "");
      if (isTlsOptional(message.envelope)) {
        const route = async () => admitted(await hopsByMx(written, withoutDane(routing)), providers, admit);
        return deliverToHosts(message, route, settings, now, signal, report);
      }
      const domain = policyDomain(written);
      let policy: StsPolicy | undefined;
      const route = async () => {
        const hops = await hopsByMx(written, routing);
        const mayHavePolicy = !("code" in hops) && addressLiteral(domain) === undefined;
        policy = mayHavePolicy ? await policies?.of(domain) : undefined;
        const left = underStsPolicy(hops, domain, policy);
        if (observe) observeRoute(observe, domain, hops, left, policy);
        return admitted(left, providers, admit);
      };
      const hear: ObserveHop | undefined =
        observe &&
        ((hop, failure) => {
          const { host, address } = hop;
          const demanded = demandedOf(hop, policy);
          observe({ domain, demanded, host, address, ...(failure && { failure }) });
        });
      return deliverToHosts(message, route, settings, now, signal, report, hear);
    },
  };
}

/** What kept a message from every host before a connection was made: the DNS about TLSA records, or the policy. */
function observeRoute(
  observe: ObserveTls,
  domain: string,
  found: readonly NextHop[] | Reply,
  left: readonly NextHop[] | Reply,
  policy: StsPolicy | undefined,
): void {
  const at = { domain, host: "", address: "" };
  if ("code" in found) {
    if (found.status === "4.7.5")
      observe({ ...at, demanded: unknownTlsa, failure: { type: "dnssec-invalid", code: "" } });
  } else if ("code" in left && policy) {
    const failure = { type: "validation-failure", code: "mx-not-listed" } as const;
    observe({ ...at, host: found[0]?.host ?? "", demanded: demandOf(policy), failure });
  }
}

/** `hops` on the terms of whose they are; undefined where `admit` does not let the delivery go on. */
function admitted(
  hops: readonly NextHop[] | Reply,
  providers: ProviderLookup,
  admit: ProviderAdmission,
): readonly NextHop[] | Reply | undefined {
  if ("code" in hops) return hops;
  const [first] = hops;
  const provider = first && providers(first.host);
  if (!admit(provider)) return undefined;
  return provider ? hops.map((hop) => ({ ...hop, mostMessages: provider.messages })) : hops;
}

/** A resolver that does not check signatures, so that no TLSA records are looked up. */
function withoutDane(routing: MxSettings): MxSettings {
  const { signed: _, ...resolver } = routing.resolver;
  return { ...routing, resolver };
}

const policyDomain = (domain: string): string => asciiDomain(domain) ?? domain.toLowerCase();

/** A host that the operator named. */
export type RelayHost = Omit<NextHop, "address">;

/** How relays are looked up. */
export interface RelayLookups {
  readonly lookup: AddressLookup;
  readonly policies?: StsPolicies | undefined;
}

/** All mail through the first of `relays` that accepts it. They are looked up for each message. `now` as above. */
export function relayTransport(
  relays: readonly RelayHost[],
  lookups: RelayLookups,
  settings: TransportSettings,
  now: () => number,
): Transport {
  const settled = hopsOfAddresses(relays);
  const name = relays.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(",");
  return {
    destination: () => name,
    deliver: (message, signal, report) =>
      deliverToHosts(
        message,
        () => settled ?? hopsOfRelays(relays, lookups, settings, isTlsOptional(message.envelope)),
        settings,
        now,
        signal,
        report,
      ),
  };
}

/**
 * `file:DIRECTORY` instead of a next hop: each message becomes ID.eml, byte for byte as it would be sent, and ID.json
 * with its envelope. For trials and tests.
 */
export function folderTransport(directory: string, now: () => number): Transport {
  return {
    destination: () => directory,
    deliver: (message, signal) => deliverToFolder(directory, message, now, signal),
  };
}

/** `transport`, with all that it sends signed by `sign`. */
export const signingTransport = (transport: Transport, sign: Signer): Transport => ({
  ...transport,
  deliver: (message, ...more) => transport.deliver({ ...message, sign }, ...more),
});

async function deliverToHosts(
  message: OutgoingMessage,
  route: () => Soon<readonly NextHop[] | Reply | undefined>,
  settings: TransportSettings,
  now: () => number,
  signal: AbortSignal,
  report: ReportActivity = reportNothing,
  observe?: ObserveHop,
): Promise<readonly RecipientOutcome[]> {
  report("talks"); // with name servers
  const routed = route();
  const found = routed instanceof Promise ? await routed : routed;
  if (found === undefined) return [];
  const hops = "code" in found ? found : permittedHops(found, message.envelope);
  if ("code" in hops) return unreached(message.recipients, hops, now());
  return attempt(message, hops, settings, now, signal, report, observe);
}

/** The hops of `relays` where all of them are addresses, which nobody has to be asked for. */
function hopsOfAddresses(relays: readonly RelayHost[]): readonly NextHop[] | undefined {
  if (relays.some(({ host }) => isIP(host) === 0)) return undefined;
  return relays.map((relay) => ({ ...relay, address: relay.host, authentic: true }));
}

/** The addresses of all relays in order; a reply if none has one. */
async function hopsOfRelays(
  relays: readonly RelayHost[],
  { lookup, policies }: RelayLookups,
  settings: TransportSettings,
  lenient: boolean,
): Promise<readonly NextHop[] | Reply> {
  const found = await Promise.all(
    relays.map(async (relay) => {
      const hops = await hopsOfRelay(relay.host, relay.port, lookup);
      const ours = "code" in hops ? hops : hops.map((hop) => ({ ...relay, ...hop, authentic: true }));
      // RFC 8461 section 3.4: a smarthost is a policy domain of its own; the operator may require as much already
      const settled = settings.protocol !== "smtp" || settings.tls === "verified" || lenient;
      const isName = relay.host.includes(".") && isHostName(relay.host);
      return isName && !settled ? withStsPolicy(ours, relay.host.toLowerCase(), policies) : ours;
    }),
  );
  const hops = found.flatMap((one) => ("code" in one ? [] : one));
  return hops.length > 0 ? hops : (found.find((one) => "code" in one) ?? []);
}

/** `hops` under the MTA-STS policy of `domain`; a temporary reply if it lists none of them. */
async function withStsPolicy(
  hops: readonly NextHop[] | Reply,
  domain: string,
  policies: StsPolicies | undefined,
): Promise<readonly NextHop[] | Reply> {
  if ("code" in hops || addressLiteral(domain) !== undefined) return hops;
  return underStsPolicy(hops, domain, await policies?.of(domain));
}

function underStsPolicy(
  hops: readonly NextHop[] | Reply,
  domain: string,
  policy: StsPolicy | undefined,
): readonly NextHop[] | Reply {
  if ("code" in hops || policy === undefined) return hops;
  const { left, unlisted } = applyStsPolicy(hops, policy);
  const reason = `it is not listed in the MTA-STS policy of ${domain}`;
  for (const relay of unlisted.map(peerWithPort)) {
    if (policy.mode === "testing") log("sts-trial", { relay, reason });
    else log("tls-policy-failed", { relay, policy: "verified", reason });
  }
  if (left.length > 0) return left;
  return reply(451, "4.7.5", `none of the mail servers of ${domain} is listed in its MTA-STS policy`);
}

const fileMode = 0o600;

/**
 * Writes `message` into `directory`, which is created if it is missing. Both files are on disk when it resolves,
 * ID.json last: if it exists, the message is complete. A full disk is a temporary failure. There is no outcome if
 * `signal` was raised before everything was written.
 */
export async function deliverToFolder(
  directory: string,
  message: OutgoingMessage,
  now: () => number,
  signal: AbortSignal,
): Promise<readonly RecipientOutcome[]> {
  const begun = now();
  const said = await writeToFolder(directory, message, signal);
  if (said === undefined) return [];
  const at = now();
  return message.recipients.map((recipient) => ({
    recipient,
    reply: { ...said, relay: "none", command: "", at },
    ...(said.code === 250 && { taken: "delivered" as const }),
    transmitting: at - begun,
  }));
}

async function writeToFolder(
  directory: string,
  message: OutgoingMessage,
  signal: AbortSignal,
): Promise<Reply | undefined> {
  const { envelope, recipients } = message;
  const { id, sender, size, eightBit, smtputf8 } = envelope;
  const unsigned = { ...message, size, eightBit };
  const signed = await signedFor(message, unsigned, signal);
  if (signed === undefined || "code" in signed) return signed;
  const { body, octets } = signed;
  const draft = join(directory, `.${id}.new`);
  const note = { id, sender, recipients: recipients.map(({ address }) => address), smtputf8 };
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const file = await open(draft, "w", fileMode);
    try {
      const write = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
        for await (const chunk of chunks) await file.writeFile(chunk);
      };
      if (octets) await file.writeFile(octets, { signal });
      else await pipeline(body(), write, { signal });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, join(directory, `${id}.eml`)); // the moment of delivery
    await syncDirectory(directory);
    await replaceFile(join(directory, `${id}.json`), `${JSON.stringify(note, undefined, 2)}\n`, {
      mode: fileMode,
    });
    return reply(250, "2.0.0", `written to ${id}.eml`);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    await unlink(draft).catch(() => undefined); // the next attempt writes it anew
    if (errorCode(error) === "ABORT_ERR") return undefined;
    return reply(451, "4.3.0", `${directory}: ${errorText(error)}`);
  }
}
