/** How mail goes by one route: what is the same for every message that goes there. */

import type { SessionPool } from "./session-pool.ts";

export interface Timeouts {
  /** For a TCP connection; the RFC leaves it open, Postfix waits as long. */
  readonly connect: number;
  /** For the greeting and the reply to a command (RFC 5321 section 4.5.3.2). */
  readonly reply: number;
  /** For the reply to the end of the message: losing patience here means delivering twice. */
  readonly final: number;
  /** For a whole transaction, and a second more for each KiB of the message: a host that trickles ends here. */
  readonly transaction: number;
}

const minute = 60_000;

/** Milliseconds. RFC 5321 section 4.5.3.2: 5 minutes for most, 10 after the message. */
export const timeouts: Timeouts = {
  connect: 30_000,
  reply: 5 * minute,
  final: 10 * minute,
  transaction: 20 * minute,
};

export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** Which settings to check where they are refused, for people. */
  readonly setIn: string;
}

/** Addresses of this host to connect from, for each family; chosen by the system where there is none. */
export interface Source {
  readonly v4?: string;
  readonly v6?: string;
}

export interface TransportSettings {
  readonly protocol: "smtp" | "lmtp";
  /** Our name in EHLO. */
  readonly hostname: string;
  /** The least that the operator demands of each host, in the words of tls/policy.ts. */
  readonly tls: "opportunistic" | "encrypted" | "verified";
  /** Certificates in PEM to trust in place of the known CAs. */
  readonly ca?: string;
  /** Sent over TLS only. */
  readonly credentials?: Credentials;
  readonly source?: Source;
  readonly timeouts: Timeouts;
  /** Where sessions wait for the next message; each has its own where there is none. */
  readonly sessions?: SessionPool;
  /** When certificates must be valid, in milliseconds since the epoch. */
  readonly now: () => number;
}
