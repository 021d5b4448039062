/** TLS for the probe: the handshake with its time limit, and everything that can be known of it afterwards. */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, createSecureContext, type TLSSocket } from "node:tls";
import { shakeHands } from "../../smtp/client/tls.ts";
import type { Tls } from "../plan.ts";
import { certificatesIn, isFor, troubleText } from "./certificate.ts";

/** What a handshake agreed on and was shown. */
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

export type Started =
  | { readonly kind: "done"; readonly stream: Duplex; readonly facts: TlsFacts }
  /** `reason`, in OpenSSL's words or ours. */
  | { readonly kind: "failed"; readonly reason: string };

/** Whom TLS is spoken with. */
export interface Peer {
  /** The name or address that was connected to; absent for a socket or a program. */
  readonly host?: string;
  /** PEM text of the CAs to trust. */
  readonly trusted: string;
}

/** Puts TLS on `stream`, within so many milliseconds (0: no limit). Verifies nothing but tells everything. */
export async function openTls(stream: Duplex, tls: Tls, peer: Peer, timeout: number): Promise<Started> {
  const host = tls.target ?? peer.host;
  let options: ConnectionOptions;
  try {
    options = optionsFor(tls, peer);
  } catch (error) {
    return { kind: "failed", reason: reasonOf(error) }; // ciphers that OpenSSL does not know, or a wrong key
  }
  const handshake = await shakeHands(stream, options, timeout);
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

function optionsFor(tls: Tls, { host, trusted }: Peer): ConnectionOptions {
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
    // What comes of a wrong certificate is decided when everything about it has been shown.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  };
}

/** OpenSSL's list is about TLS 1.2 and older; Node's is about all, so the suites of 1.3 go in front. */
function ciphersFor({ ciphers, oldest }: Tls): string {
  const suites = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
  const list = ciphers === undefined ? "DEFAULT" : ciphers;
  // Level 0 is what TLS 1.0 and 1.1 take in OpenSSL 3; somebody who asks for them wants to try an old server.
  const level = oldest === "TLSv1" || oldest === "TLSv1.1" ? ":@SECLEVEL=0" : "";
  return `${/(?:^|:)TLS_/.test(list) ? "" : `${suites}:`}${list}${level}`;
}

function factsOf(socket: TLSSocket, tls: Tls, host: string | undefined): TlsFacts {
  const { name, version } = socket.getCipher();
  const peer = chainOf(socket);
  const [own] = peer;
  // Declared as an Error, and a code such as "CERT_HAS_EXPIRED" in truth.
  const trouble: unknown = socket.authorizationError;
  return {
    version,
    cipher: name,
    bits: bitsOf(name),
    // The algorithms that both sides can sign with: a client learns the server's in its request for a certificate only.
    asked: socket.getSharedSigalgs().length > 0,
    client: certificatesIn(`${tls.certificate ?? ""}\n${tls.chain ?? ""}`),
    peer,
    ...(typeof trouble === "string" ? { distrust: troubleText(trouble) } : {}),
    ...(host === undefined ? {} : { host }),
    hostMatches: host !== undefined && own !== undefined && isFor(own, host),
    ...(version === "TLSv1.3"
      ? { binding: socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)) }
      : {}),
  };
}

/** As the server sent it. Node gives the chain away once: the second call would miss its first certificate. */
function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = socket.getPeerX509Certificate(); next !== undefined; next = next.issuerCertificate)
    chain.push(next);
  return chain;
}

/** Bits of the key, which Node does not tell: OpenSSL's names do. */
function bitsOf(cipher: string): number {
  if (/AES_?256|CHACHA20|ARIA256|CAMELLIA256/.test(cipher)) return 256;
  if (/3DES/.test(cipher)) return 168;
  return /NULL/.test(cipher) ? 0 : 128;
}

/** OpenSSL's own words without file names, which tell a reader nothing; else the error's. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const parts = /error:([0-9A-F]{8}):([^:]*):([^:]*):([^:\n]*)/.exec(text);
  if (parts !== null) return `error:${parts[1]}:${parts[2]}::${parts[4]}`;
  if (/disconnected before secure TLS/.test(text)) return "the connection was closed";
  return text.split("\n")[0] ?? text;
}
