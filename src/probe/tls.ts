/**
 * TLS for the probe: the handshake with its time limit, everything that is known after it, and a certificate as the
 * transcript shows it, in swaks' words.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, createSecureContext, type TLSSocket } from "node:tls";
import { tlsHandshake } from "../smtp/client/tls.ts";
import type { TlsPlan } from "./plan.ts";

/** What a handshake agreed on, and what the server showed. */
export interface TlsFacts {
  readonly version: string;
  readonly cipher: string;
  readonly bits: number;
  /** The server asked for a certificate. */
  readonly asked: boolean;
  /** What we have to show, our own first. */
  readonly client: readonly X509Certificate[];
  /** What the server showed, its own first. */
  readonly peer: readonly X509Certificate[];
  /** Why the chain is not trusted; absent where it is. */
  readonly distrust?: string;
  /** The name that the certificate should be for; absent where there is none to look for. */
  readonly host?: string;
  readonly hostMatches: boolean;
  /** RFC 9266's tls-exporter, where there is TLS 1.3. */
  readonly binding?: Uint8Array;
}

export type StartedTls =
  | { readonly kind: "done"; readonly stream: Duplex; readonly facts: TlsFacts }
  /** `reason`, in OpenSSL's words or ours. */
  | { readonly kind: "failed"; readonly reason: string };

/** The other side of a TLS session. */
export interface TlsPeer {
  /** The name or address that was connected to; absent for a socket or a program. */
  readonly host?: string;
  /** PEM text of the CAs to trust. */
  readonly trusted: string;
}

/**
 * Puts TLS on `stream`, within so many milliseconds (0: no limit). Verifies nothing, and returns everything that is
 * known.
 */
export async function openTls(
  stream: Duplex,
  tls: TlsPlan,
  peer: TlsPeer,
  timeout: number,
): Promise<StartedTls> {
  const host = tls.target ?? peer.host;
  let options: ConnectionOptions;
  try {
    options = optionsFor(tls, peer);
  } catch (error) {
    return { kind: "failed", reason: reasonOf(error) }; // ciphers that OpenSSL does not know, or a wrong key
  }
  const handshake = await tlsHandshake(stream, options, timeout);
  switch (handshake.kind) {
    case "done":
      return { kind: "done", stream: handshake.socket, facts: factsOf(handshake.socket, tls, host) };
    case "failed":
      return { kind: "failed", reason: reasonOf(handshake.error) };
    case "late":
      return { kind: "failed", reason: `no answer within ${timeout / 1000} secs` };
    default:
      return { kind: "failed", reason: "the connection was closed" };
  }
}

function optionsFor(tls: TlsPlan, { host, trusted }: TlsPeer): ConnectionOptions {
  const name = tls.sni ?? (host !== undefined && isIP(host) === 0 ? host : "");
  return {
    secureContext: createSecureContext({
      ca: trusted,
      ciphers: ciphersFor(tls),
      ...(tls.oldest === undefined ? {} : { minVersion: tls.oldest as never }),
      ...(tls.newest === undefined ? {} : { maxVersion: tls.newest as never }),
      ...(tls.certificate === undefined
        ? {}
        : { cert: `${tls.certificate}\n${tls.chain ?? ""}`, key: tls.key }),
    }),
    ...(name === "" ? {} : { servername: name }),
    // A wrong certificate is dealt with after everything about it has been shown.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  };
}

/** OpenSSL's list is about TLS 1.2 and older; Node's is about all, so the suites of 1.3 go in front. */
function ciphersFor({ ciphers, oldest }: TlsPlan): string {
  const suites = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
  const list = ciphers === undefined ? "DEFAULT" : ciphers;
  // OpenSSL 3 allows TLS 1.0 and 1.1 at level 0 only; who asks for them wants to test an old server.
  const level = oldest === "TLSv1" || oldest === "TLSv1.1" ? ":@SECLEVEL=0" : "";
  return `${/(?:^|:)TLS_/.test(list) ? "" : `${suites}:`}${list}${level}`;
}

function factsOf(socket: TLSSocket, tls: TlsPlan, host: string | undefined): TlsFacts {
  const { name, version } = socket.getCipher();
  const peer = chainOf(socket);
  const [own] = peer;
  // Declared as an Error; in fact a code such as "CERT_HAS_EXPIRED".
  const trouble: unknown = socket.authorizationError;
  return {
    version,
    cipher: name,
    bits: bitsOf(name),
    // Signature algorithms that both sides have: a client learns the server's only from its request for a certificate.
    asked: socket.getSharedSigalgs().length > 0,
    client: certificatesIn(`${tls.certificate ?? ""}\n${tls.chain ?? ""}`),
    peer,
    ...(typeof trouble === "string" ? { distrust: troubleText(trouble) } : {}),
    ...(host === undefined ? {} : { host }),
    hostMatches: host !== undefined && own !== undefined && matchesHost(own, host),
    ...(version === "TLSv1.3"
      ? { binding: socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)) }
      : {}),
  };
}

/** As the server sent it. Node returns the whole chain once: a second call would miss its first certificate. */
function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = socket.getPeerX509Certificate(); next !== undefined; next = next.issuerCertificate)
    chain.push(next);
  return chain;
}

/** Bits of the key, by OpenSSL's name of the cipher; Node does not tell them. */
function bitsOf(cipher: string): number {
  if (/AES_?256|CHACHA20|ARIA256|CAMELLIA256/.test(cipher)) return 256;
  if (/3DES/.test(cipher)) return 168;
  return /NULL/.test(cipher) ? 0 : 128;
}

/** OpenSSL's own words without its file names; else the error's. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const parts = /error:([0-9A-F]{8}):([^:]*):([^:]*):([^:\n]*)/.exec(text);
  if (parts !== null) return `error:${parts[1]}:${parts[2]}::${parts[4]}`;
  if (/disconnected before secure TLS/.test(text)) return "the connection was closed";
  return text.split("\n")[0] ?? text;
}

/** Two lines' worth of text: `subject=[/C=…/CN=…]`, and name, other names and end. */
export function describeCertificate(certificate: X509Certificate): readonly [string, string] {
  const names = namesOf(certificate);
  const common = names.filter(([type]) => type === "CN").at(-1)?.[1] ?? "";
  const subject = names.map(([type, value]) => `/${type}=${value}`).join("");
  const end = endOf(certificate);
  const others = (certificate.subjectAltName ?? "").replace(
    /(?<=IP Address:)[\dA-F:]+:[\dA-F:]+/g,
    shortened,
  );
  return [`subject=[${subject}]`, `commonName=[${common}], subjectAltName=[${others}] notAfter=[${end}]`];
}

/** `2033-09-11T14:50:10Z`; the text itself where it is no date, as anybody can have sent the certificate. */
export function endOf({ validTo }: X509Certificate): string {
  const time = Date.parse(validTo);
  return Number.isNaN(time) ? validTo : new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The subject's parts in order; Node writes one on each line, with some characters escaped (RFC 2253 section 2.4). */
function namesOf({ subject }: X509Certificate): readonly (readonly [type: string, value: string])[] {
  if (subject === undefined) return [];
  return subject.split("\n").map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), part.slice(at + 1).replace(/\\(?=[,+"\\<>;#= ])/g, "")];
  });
}

/** An IPv6 address as people write it; the URL parser knows how (RFC 5952). */
const shortened = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1);

/** Every certificate of a PEM text. */
function certificatesIn(pem: string): readonly X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => new X509Certificate(one));
}

/** Whether `certificate` is for `host`, a name or an address, by OpenSSL's rules (RFC 9525). */
export function matchesHost(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}

/**
 * Whole days from `now` (milliseconds since the epoch) until it ends; negative when it has ended, NaN where the date
 * cannot be read.
 */
export function daysLeft(certificate: X509Certificate, now: number): number {
  return Math.floor((Date.parse(certificate.validTo) - now) / 86_400_000);
}

/**
 * OpenSSL's words for Node's codes (X509_verify_cert_error_string(3)). A chain whose leaf cannot be verified is
 * reported as one whose issuer is missing: Node goes on past the first fault and reports the last.
 */
const troubles: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to get local issuer certificate",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_HAS_EXPIRED: "certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "self-signed certificate in certificate chain",
  CERT_CHAIN_TOO_LONG: "certificate chain too long",
  CERT_REVOKED: "certificate revoked",
  INVALID_CA: "invalid CA certificate",
  PATH_LENGTH_EXCEEDED: "path length constraint exceeded",
  INVALID_PURPOSE: "unsuitable certificate purpose",
  CERT_UNTRUSTED: "certificate not trusted",
  CERT_REJECTED: "certificate rejected",
};

const troubleText = (code: string): string => troubles[code] ?? code;

/** PEM, with a line end. */
export const certificatePem = (certificate: X509Certificate): string =>
  `${certificate.toString().trimEnd()}\n`;
