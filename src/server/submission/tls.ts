/** TLS of the listeners: how it is set up, and what a client's TLS connection tells. */
import { constants, type X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type CipherNameAndProtocol, createSecureContext, TLSSocket } from "node:tls";
import type { ListenerName } from "../log/events.ts";

/** A certificate with its chain, and its private key, both PEM. */
export interface KeyPair {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** PEM of the CA of client certificates; "" where none is requested. */
  readonly clientCa?: string;
  /** For clients that ask for one of these host names (RFC 6066 section 3): more names, perhaps as "*.example.org". */
  readonly others?: readonly (Pick<KeyPair, "key" | "cert"> & { readonly hosts: readonly string[] })[];
  /** The host names of this pair, for which no other is used. */
  readonly hosts?: readonly string[];
}

/**
 * RFC 9325 section 4: only forward secrecy and authenticated encryption. Node would add CBC and RSA key exchange. Every
 * maintained mail program that knows TLS 1.2 has one of these.
 */
const ciphers = [
  ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ...["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

/** The TLS options of a listener. Throws if the pair is no PEM, or the key is of another certificate. */
export function tlsOptions(
  listener: ListenerName,
  { key, cert, clientCa = "", others = [], hosts = [] }: KeyPair,
) {
  // RFC 8314 section 4.2: only inside TLS from the first octet. A client with no certificate, or with another CA's, may
  // log in with a password.
  const isAsking = listener === "smtps" && clientCa !== "";
  const options = {
    key,
    cert,
    minVersion: "TLSv1.2" as const, // RFC 8314 section 4
    ciphers,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION, // renegotiation would only cost us work
    ca: isAsking ? clientCa : undefined,
    requestCert: isAsking,
    rejectUnauthorized: false,
    sessionIdContext: "tpa-submit", // without one, OpenSSL resumes no session that asked for a certificate
  };
  const sniOptions = new Map<string, typeof options>();
  for (const pair of [{ key, cert, hosts }, ...others]) {
    const itsOwn = { ...options, key: pair.key, cert: pair.cert };
    createSecureContext(itsOwn);
    for (const host of pair.hosts) if (!sniOptions.has(host)) sniOptions.set(host, itsOwn);
  }
  return { ...options, sniOptions };
}

export interface TlsChannel {
  /** IANA's name of the TLS cipher. */
  readonly cipher: string;
  /** The octets of tls-exporter (RFC 9266 section 2), from TLS 1.3 on: in 1.2 they are not always unique. */
  readonly binding?: Uint8Array;
  /** The address in the client's certificate, of a domain of the site and signed by the site's CA. */
  readonly certifiedAddress?: string;
}

/** Undefined where there is no TLS. `domains` are the site's. */
export function tlsChannelOf(socket: Socket, ...domains: readonly string[]): TlsChannel | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certifiedAddress = socket.authorized
    ? addressIn(socket.getPeerX509Certificate(), ...domains)
    : undefined;
  return {
    cipher: socket.getCipher()?.standardName ?? "unknown",
    ...(socket.getProtocol() === "TLSv1.3" ? { binding: exported(socket) } : {}),
    ...(certifiedAddress === undefined ? {} : { certifiedAddress }),
  };
}

export function cipherOf(socket: Socket): CipherNameAndProtocol | undefined {
  return socket instanceof TLSSocket ? socket.getCipher() : undefined;
}

const exported = (socket: TLSSocket): Buffer =>
  socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));

/** The first e-mail address of `domains` among the subject's alternative names (RFC 5280 section 4.2.1.6). */
export function addressIn(
  certificate: X509Certificate | undefined,
  ...domains: readonly string[]
): string | undefined {
  // Node quotes names that could be read in two ways. Those are no addresses of ours.
  const names = (certificate?.subjectAltName ?? "").split(", ");
  const addresses = names.flatMap((name) => /^email:([^\s,"<>@]+@[^\s,"<>@]+)$/.exec(name)?.[1] ?? []);
  const ends = domains.map((domain) => `@${domain.toLowerCase()}`);
  const ours = addresses.find((address) => ends.some((end) => address.toLowerCase().endsWith(end)));
  return ours !== undefined && certificate?.checkEmail(ours, { subject: "never" }) ? ours : undefined;
}
