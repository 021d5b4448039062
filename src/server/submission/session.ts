/**
 * A client's session as a value: what it has shown so far, and what a command of it leads to.
 * Sockets are connection.ts; the commands are rows in verbs.ts.
 */

import type { Challenge } from "../../passwd/verifier.ts";
import type { Reply } from "../../smtp/reply.ts";
import type { ListenerName } from "../log/events.ts";
import type { Recipient } from "../spool/envelope.ts";
import type { Chunk } from "./bdat.ts";
import type { Bill, Quota } from "./limits/quota.ts";
import type { Channel } from "./listener/channel.ts";
import type { MailParameters } from "./parameters.ts";
import type { Senders } from "./policy.ts";
import type { Credentials, Exchange, Question } from "./sasl/exchange.ts";

/** What TLS shows is there as soon as nothing goes in the clear any more. */
export interface Session extends Partial<Channel> {
  readonly door: ListenerName;
  /** The client's IP address, an IPv4 one without "::ffff:". */
  readonly address: string;
  /** What EHLO or HELO said, "" before it. */
  readonly helo: string;
  readonly login?: Login | undefined;
  /** Set while AUTH waits for the client's next line. */
  readonly exchange?: Exchange | undefined;
  /** What the password file held for the login whose keys the exchange is about. */
  readonly asked?: readonly string[] | undefined;
  /** Set from MAIL on until the message is in, or RSET. */
  readonly transaction?: Transaction | undefined;
  readonly wrongPasswords: number;
  /** Commands refused since the last accepted message. */
  readonly errors: number;
}

export interface Login {
  readonly name: string;
  /** "PLAIN", as the log names it. */
  readonly mechanism: string;
  /** What the password file held for it when it was let in. */
  readonly hashes?: readonly string[];
}

export interface Transaction {
  /** Reverse-path without angle brackets, "" for the null one. */
  readonly sender: string;
  readonly parameters: MailParameters;
  readonly recipients: readonly Recipient[];
  /** Recipients refused because there were enough. */
  readonly overshoot: number;
  /** Octets that came by BDAT, or were announced; "refused" once a chunk was. Absent before the first. */
  readonly chunks?: number | "refused";
  /** What the message will count for the limits of the login. */
  readonly bill: Bill;
}

/** What the commands have to know of the site. */
export interface Rules {
  readonly hostname: string;
  /** Mail domain, for `<postmaster>`. */
  readonly domain: string;
  /** Largest message, in octets. */
  readonly messageSize: number;
  /** Recipients per message. */
  readonly recipients: number;
  readonly senders: Senders;
  /** Mechanisms that some login has keys for. */
  readonly challenges: readonly Challenge[];
  /** An unguessable word of letters, digits, "-" and "_", another one each time. */
  readonly nonce: () => string;
  readonly quota: Quota;
  /** Whether REQUIRETLS is offered inside TLS (RFC 8689). */
  readonly requireTls: boolean;
}

/**
 * What happens after the answer. read: the next command. tls: the handshake. receive: the message.
 * too-many-errors: an end that the log mentions. Credentials are checked, a question is asked, and that gives the answer.
 * A chunk is read, and then the answer said.
 */
export type Next = "read" | "tls" | "receive" | "close" | "too-many-errors" | Credentials | Question | Chunk;

export interface Answer {
  /** The session from now on. */
  readonly session: Session;
  /** One reply, or the lines of a multi-line one (all of one code); none where there is nothing to say yet. */
  readonly say: readonly Reply[];
  readonly next: Next;
}

/** The session of a client that has just come; on the "smtps" door TLS is there already. */
export function newSession(door: ListenerName, address: string, channel?: Channel): Session {
  return { door, address, ...channel, helo: "", wrongPasswords: 0, errors: 0 };
}

/** After STARTTLS nothing that was learnt in the clear counts (RFC 3207 section 4.2), except what to hold against the client. */
export function secured({ door, address, wrongPasswords, errors }: Session, channel: Channel): Session {
  return { door, address, ...channel, helo: "", wrongPasswords, errors };
}

/** Something has begun that the client should be able to end. */
export const isBusy = ({ transaction, exchange }: Session): boolean =>
  transaction !== undefined || exchange !== undefined;

/** An answer after which the next command is read. */
export function answer(session: Session, ...say: readonly Reply[]): Answer {
  return { session, say, next: "read" };
}

/** The first reply whose condition holds: a command's checks in their order. */
export function firstOf(...checks: readonly (readonly [broken: boolean, reply: Reply])[]): Reply | undefined {
  return checks.find(([broken]) => broken)?.[1];
}

/** The client as Postfix names one without a name: looking it up would hold the greeting back. */
export const clientName = ({ address }: Pick<Session, "address">): string => `unknown[${address}]`;
