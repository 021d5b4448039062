/**
 * DANE (RFC 6698, RFC 7671, RFC 7672): which TLSA records a host has, and whether its certificate matches them. mx.ts
 * decides whether the domain's MX records are authentic, session.ts what follows from a certificate that does not
 * match.
 */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { type Reply, reply } from "../../../smtp/reply.ts";
import type { TlsaRecord } from "../dns/message.ts";
import type { DnsAnswer, Resolver } from "../dns/resolver.ts";
import type { TlsPolicy } from "./policy.ts";

export interface DaneHost {
  readonly host: string;
  readonly port: number;
  /** The recipient's domain, and the target of its CNAME. */
  readonly domains: readonly string[];
  /** The answers for its addresses. */
  readonly answers: readonly DnsAnswer<string>[];
}

/**
 * The TLS policy of a host whose MX record is authentic (RFC 7672 section 2.2); undefined without DANE. A temporary
 * reply if the DNS fails: then the host must not be used, because an attacker may have caused the failure.
 */
export async function danePolicy(
  { host, port, domains, answers }: DaneHost,
  signed: NonNullable<Resolver["signed"]>,
): Promise<TlsPolicy | Reply | undefined> {
  const found = answers.filter(({ kind }) => kind === "found");
  const alias = found.find((answer) => answer.alias !== undefined)?.alias;
  const bases = new Set<string>();
  if (found.length > 0 && found.every(({ authentic }) => authentic === true)) {
    // Section 2.2.2: the target of the CNAMEs, then the name itself.
    bases.add(alias ?? host).add(host);
  } else if (alias !== undefined) {
    // A signed CNAME to an unsigned name: the name itself may have TLSA records.
    const first = await signed.cname(host);
    if (first.kind === "trouble") return tlsaUnknown(host, first.reason);
    if (first.authentic === true) bases.add(host);
  }
  for (const base of bases) {
    const answer = await signed.tlsa(`_${port}._tcp.${base}`);
    if (answer.kind === "trouble") return tlsaUnknown(host, answer.reason);
    if (answer.kind !== "found" || answer.authentic !== true) continue;
    const records = answer.values.filter(isUsable);
    if (records.length === 0) return { kind: "encrypted" };
    return { kind: "dane", names: [...new Set([base, ...domains])], records };
  }
  return undefined;
}

/** 4.7.5: "cryptographic failure" (RFC 3463 section 3.8), like Postfix. */
const tlsaUnknown = (host: string, reason: string): Reply =>
  reply(451, "4.7.5", `the DNS does not tell whether ${host} has TLSA records (${reason})`);

/** RFC 7671 section 2.1, the two usages that SMTP has (RFC 7672 section 3.1). */
const issuer = 2;
const endEntity = 3;

/** By matching type: the certificate or key itself, SHA-256, SHA-512 (RFC 6698 section 2.1.3). */
const digests = [undefined, { name: "sha256", octets: 32 }, { name: "sha512", octets: 64 }] as const;

/** Certificates in a chain: our choice, so that a hostile one does not keep us busy. */
const longestChain = 10;

/**
 * Whether we can use the record: DANE-TA(2) or DANE-EE(3), with a known selector and matching type, and data that can
 * match. RFC 7672 section 3.1.3: PKIX-TA(0) and PKIX-EE(1) are unusable in SMTP.
 */
export function isUsable({ usage, selector, matching, data }: TlsaRecord): boolean {
  const octets = digests[matching]?.octets;
  return (
    (usage === issuer || usage === endEntity) &&
    (selector === 0 || selector === 1) &&
    (octets === undefined ? matching === 0 && isWhole(selector, data) : data.length === octets)
  );
}

/** Matching type 0: a readable certificate or public key. */
function isWhole(selector: number, data: Uint8Array): boolean {
  return selector === 0 ? certificateIn(data) !== undefined : keyIn(data) !== undefined;
}

/**
 * Whether one of `records` matches a host with this `chain`, its own certificate first. The certificate must be for one
 * of `names` and valid at `now` (milliseconds since the epoch) for DANE-TA(2) only (RFC 7672 sections 3.1.1 and 3.2.2).
 */
export function matchesTlsa(
  chain: readonly X509Certificate[],
  records: readonly TlsaRecord[],
  names: readonly string[],
  now: number,
): boolean {
  const [leaf] = chain;
  if (leaf === undefined) return false;
  return records.filter(isUsable).some((record) => {
    if (record.usage === endEntity) return isMeant(leaf, record);
    return names.some((name) => isFor(leaf, name)) && isIssued(leaf, chain, record, now);
  });
}

/**
 * The certificates that the host sent, its own first; none before the handshake. Node.js finds all of them if each is
 * followed by its issuer (RFC 5246 section 7.4.2).
 */
export function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  for (const seen = new Set<string>(); next?.raw && !seen.has(next.fingerprint256); ) {
    seen.add(next.fingerprint256); // a self-signed certificate is its own issuer
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}

/** RFC 6698 sections 2.1.2 and 2.1.3: whether the record contains this certificate or key, or its digest. */
function isMeant(certificate: X509Certificate, { selector, matching, data }: TlsaRecord): boolean {
  const selected =
    selector === 0 ? certificate.raw : certificate.publicKey.export({ type: "spki", format: "der" });
  const digest = digests[matching];
  const found = digest === undefined ? selected : createHash(digest.name).update(selected).digest();
  return Buffer.compare(found, data) === 0;
}

/**
 * RFC 7671 section 5.2: signed, directly or not, by an authority that matches the record. It is in the chain, or the
 * record itself contains it in full.
 */
function isIssued(
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  record: TlsaRecord,
  now: number,
): boolean {
  const whole = record.matching === 0 ? record.data : undefined;
  const told = whole && record.selector === 0 ? certificateIn(whole) : undefined;
  const key = whole && record.selector === 1 ? keyIn(whole) : undefined;
  const authorities = [...chain, ...(told ? [told] : [])].filter(({ ca }) => ca);
  const seen = new Set<X509Certificate>();
  for (let waiting = [leaf]; waiting.length > 0 && seen.size < longestChain; ) {
    const [certificate, ...others] = waiting;
    if (certificate === undefined) return false;
    seen.add(certificate);
    waiting = others;
    if (!isValid(certificate, now)) continue;
    if (key && certificate.verify(key)) return true;
    const above = authorities.filter(
      (one) =>
        one !== certificate &&
        certificate.checkIssued(one) &&
        isValid(one, now) &&
        certificate.verify(one.publicKey),
    );
    if (above.some((one) => isMeant(one, record))) return true;
    waiting.push(...above.filter((one) => !seen.has(one)));
  }
  return false;
}

/** RFC 7672 section 3.2.2: by subject alternative name, or by the common name if there is none. */
const isFor = (leaf: X509Certificate, name: string): boolean =>
  leaf.checkHost(name, { partialWildcards: false }) !== undefined;

const isValid = ({ validFrom, validTo }: X509Certificate, now: number): boolean =>
  Date.parse(validFrom) <= now && now <= Date.parse(validTo);

function certificateIn(data: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(data);
  } catch {
    return undefined; // the record comes from outside: it may contain anything
  }
}

function keyIn(data: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(data), format: "der", type: "spki" });
  } catch {
    return undefined; // as above
  }
}
