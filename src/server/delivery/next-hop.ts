/** A host that mail goes to next, and how it is called in the log and in replies of our own. */
import type { TlsPolicy } from "./tls/policy.ts";

/** One address of one host. */
export interface NextHop {
  /** Host name, which its certificate is for; the address again where there is no name. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** TLS from the first byte (RFC 8314 section 3.3), not by STARTTLS. */
  readonly implicit?: boolean;
  /** What the DNS or a policy demands of this host; absent where the route's own settings are all. */
  readonly tls?: TlsPolicy;
  /** The domain tries MTA-STS out: what would fail under it is told, and nothing follows (RFC 8461 section 5). */
  readonly trial?: boolean;
  /**
   * Whether signatures prove that the domain named this host, or the operator did: REQUIRETLS asks (RFC 8689 section
   * 4.2.1).
   */
  readonly authentic?: boolean;
  /** The message was sent with REQUIRETLS: without verified TLS and that extension the host is none for it. */
  readonly bound?: boolean;
}

/** `mx.example.net[192.0.2.1]:25`. */
export const peerWithPort = (hop: NextHop): string => `${peer(hop)}:${hop.port}`;

/** `mx.example.net[192.0.2.1]`. */
export const peer = ({ host, address }: NextHop): string => `${host}[${address}]`;
