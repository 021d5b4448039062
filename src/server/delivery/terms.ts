/** How we talk with a next hop: what is the same for every message that goes there. */

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
}

/**
 * starttls: used where it is offered. implicit: TLS from the first byte (RFC 8314 section 3.3). Unless
 * `verified`, any certificate will do and a failed handshake is followed by a connection in clear (RFC 7435).
 */
export interface Security {
  readonly kind: "starttls" | "implicit";
  /** TLS must be used, and the certificate must be for the host's name, and signed by `ca` or a known CA. */
  readonly verified: boolean;
  /** Certificates in PEM to trust instead of these. */
  readonly ca?: string;
}

export interface Terms {
  readonly protocol: "smtp" | "lmtp";
  /** Our name in EHLO. */
  readonly hostname: string;
  readonly security: Security;
  /** Sent over TLS only. */
  readonly credentials?: Credentials;
  readonly timeouts: Timeouts;
}
