/**
 * The small file beside a message: from whom, to whom, what became of each recipient so far.
 * Its format is man/tpa-submit-spool.5; a reader meets one JSON object, `version` first.
 */
import type { Reply } from "../../smtp/reply.ts";

/** RFC 3461 section 4.1: when the sender wants to hear about this recipient. */
export type Notify = "NEVER" | "SUCCESS" | "FAILURE" | "DELAY";

/**
 * waiting: still to be delivered. delivered: a next hop took it. failed: refused for good.
 * expired: given up after the spool's lifetime.
 */
export type RecipientState = "waiting" | "delivered" | "failed" | "expired";

/** What the next hop, or our own attempt to reach it, said last about one recipient. */
export interface LastReply extends Reply {
  /** Who said it, as the mail log names it: `mx.example.net[192.0.2.1]:25`, or "none" where nobody was reached. */
  readonly relay: string;
  /** The command that it answers ("RCPT TO"), or "" where it answers none. */
  readonly command: string;
  /** When, in milliseconds since the epoch. */
  readonly at: number;
}

export interface Recipient {
  /** Forward-path without angle brackets, exactly as the client gave it after RFC 5321 syntax was checked. */
  readonly address: string;
  readonly state: RecipientState;
  readonly reply?: LastReply;
  /** RFC 3461 NOTIFY, absent where the client gave none. */
  readonly notify?: readonly Notify[];
  /** RFC 3461 ORCPT as `type;value`, xtext decoded, absent where the client gave none. */
  readonly orcpt?: string;
}

/** Put aside by an operator: not tried, and not given up either, until it is released. */
export interface Held {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** Who did it, in the words of the audit log. */
  readonly by: string;
  /** "" where none was given. */
  readonly reason: string;
}

export interface Envelope {
  /** Queue ID: 12 upper-case hexadecimal digits, the file's name. */
  readonly id: string;
  /** When it was accepted, in milliseconds since the epoch. */
  readonly accepted: number;
  /** Who logged in to send it; null for the relay's own reports. */
  readonly login: string | null;
  /** Reverse-path without angle brackets; "" is the null reverse-path, about which nobody is ever told. */
  readonly sender: string;
  /** Octets of the message as stored. */
  readonly size: number;
  /** RFC 6152: the message has octets above 127. */
  readonly eightBit: boolean;
  /** RFC 6531: the client asked for SMTPUTF8. */
  readonly smtputf8: boolean;
  /** RFC 3461 ENVID, xtext decoded. */
  readonly envid?: string;
  /** RFC 3461 RET. */
  readonly ret?: "FULL" | "HDRS";
  /** RFC 8689: the client asked for REQUIRETLS. Never together with `tlsOptional`. */
  readonly requireTls?: boolean;
  /** RFC 8689 section 5: the message says `TLS-Required: No`. */
  readonly tlsOptional?: boolean;
  /** The file in the maildrop that it comes from: nothing is delivered before that is gone. */
  readonly drop?: string;
  readonly held?: Held;
  /** Where an operator redirected it, as delivery.relay would have it: "smtp://HOST:PORT". */
  readonly relay?: string;
  readonly recipients: readonly Recipient[];
  /** Delivery attempts made so far. */
  readonly attempts: number;
  /** When the next attempt is due, in milliseconds since the epoch. */
  readonly due: number;
  /** Whether the sender was told that the message is late. */
  readonly warned: boolean;
}
