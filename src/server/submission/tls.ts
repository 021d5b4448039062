/** What the TLS connection of a client tells: its cipher, something that belongs to it alone, and who the client is. */
import { constants, type X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type CipherNameAndProtocol, createSecureContext, TLSSocket } from "node:tls";
import type { Door } from "../log/events.ts";

/** A certificate with its chain, and its private key, both PEM. */
export interface KeyPair {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** PEM of those who sign the certificates of clients; "" where none is asked for. */
  readonly clientCa?: string;
  /** For clients that ask for one of these host names (RFC 6066 section 3): more names, perhaps as "*.example.org". */
  readonly others?: readonly (Pick<KeyPair, "key" | "cert"> & { readonly hosts: readonly string[] })[];
  /** The host names of this pair itself, for which no other is used. */
  readonly hosts?: readonly string[];
}

/**
 * RFC 9325 section 4: forward secrecy and authenticated encryption, nothing else; what Node would add is CBC and keys
 * carried by RSA. Every mail program that knows TLS 1.2 and is still kept has one of these.
 */
const ciphers = [
  ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ...["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

/** What TLS is to be like at a door. Throws what is wrong with the pair: no PEM, or a key of another certificate. */
export function tlsOptions(listener: Door, { key, cert, clientCa = "", others = [], hosts = [] }: KeyPair) {
  // RFC 8314 section 4.2: inside TLS from the first octet only. Whoever has no certificate, or none of theirs, is
  // welcome to log in with a password.
  const isAsking = listener === "smtps" && clientCa !== "";
  const options = {
    key,
    cert,
    minVersion: "TLSv1.2" as const, // RFC 8314 section 4
    ciphers,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION, // would only be work for us
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
  /** The octets of tls-exporter (RFC 9266 section 2), from TLS 1.3 on: those of 1.2 are not always of one connection. */
  readonly binding?: Uint8Array;
  /** An address of the site's domain, in a certificate that we asked for and that the site's CA has signed. */
  readonly certifiedAddress?: string;
}

/** Undefined where there is no TLS, or none any more. `domain` is the site's. */
export function tlsChannelOf(socket: Socket, domain: string): TlsChannel | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certifiedAddress = socket.authorized ? addressIn(socket.getPeerX509Certificate(), domain) : undefined;
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

/** The first e-mail address of `domain` among the subject's alternative names (RFC 5280 section 4.2.1.6). */
export function addressIn(certificate: X509Certificate | undefined, domain: string): string | undefined {
  // Node puts quotes around names that could be read in two ways; those are no addresses of ours.
  const names = (certificate?.subjectAltName ?? "").split(", ");
  const addresses = names.flatMap((name) => /^email:([^\s,"<>@]+@[^\s,"<>@]+)$/.exec(name)?.[1] ?? []);
  const ours = addresses.find((address) => address.toLowerCase().endsWith(`@${domain.toLowerCase()}`));
  return ours !== undefined && certificate?.checkEmail(ours, { subject: "never" }) ? ours : undefined;
}
