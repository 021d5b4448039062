/** The settings of a transport, the same for every message that uses it. */

import type { SessionPool } from "./session-pool.ts";

export interface Timeouts {
  /** For a TCP connection. The RFC sets no limit; this is Postfix's. */
  readonly connect: number;
  /** For the greeting and the reply to a command (RFC 5321 section 4.5.3.2). */
  readonly reply: number;
  /** For the reply to the end of the message: giving up too early here means delivering twice. */
  readonly final: number;
  /** For a whole transaction, plus a second for each KiB of the message: ends a host that is too slow. */
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
  /** Which settings to check if the login is refused, for people. */
  readonly setIn: string;
}

/** Local addresses to connect from, for each family; the system chooses if there is none. */
export interface Source {
  readonly v4?: string;
  readonly v6?: string;
}

export interface TransportSettings {
  readonly protocol: "smtp" | "lmtp";
  /** Our name in EHLO. */
  readonly hostname: string;
  /** The least that the operator demands of each host, as in tls/policy.ts. */
  readonly tls: "opportunistic" | "encrypted" | "verified";
  /** Certificates in PEM to trust instead of the known CAs. */
  readonly ca?: string;
  /** Sent over TLS only. */
  readonly credentials?: Credentials;
  readonly source?: Source;
  readonly timeouts: Timeouts;
  /** Idle sessions for the next message; absent if each message gets a new session. */
  readonly sessions?: SessionPool;
  /** When certificates must be valid, in milliseconds since the epoch. */
  readonly now: () => number;
}
