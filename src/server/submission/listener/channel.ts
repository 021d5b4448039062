/** What the TLS connection of a client tells: its cipher, something that belongs to it alone, and who the client is. */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type CipherNameAndProtocol, TLSSocket } from "node:tls";

export interface Channel {
  /** IANA's name of the TLS cipher. */
  readonly cipher: string;
  /** The octets of tls-exporter (RFC 9266 section 2), from TLS 1.3 on: those of 1.2 are not always of one connection. */
  readonly binding?: Uint8Array;
  /** An address of the site's domain, in a certificate that we asked for and that the site's CA has signed. */
  readonly certified?: string;
}

/** Undefined where there is no TLS, or none any more. `domain` is the site's. */
export function channelOf(socket: Socket, domain: string): Channel | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certified = socket.authorized ? addressIn(socket.getPeerX509Certificate(), domain) : undefined;
  return {
    cipher: socket.getCipher()?.standardName ?? "unknown",
    ...(socket.getProtocol() === "TLSv1.3" ? { binding: exported(socket) } : {}),
    ...(certified === undefined ? {} : { certified }),
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
