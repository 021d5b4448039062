/**
 * A client's session as a value: what it has shown so far, and what a command of it leads to.
 * Sockets are connection.ts; the commands are rows in verbs.ts.
 */

import type { Challenge, Proofs, Verdict } from "../../passwd/verifier.ts";
import type { Reply } from "../../smtp/reply.ts";
import type { Door } from "../log/events.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import type { Free, Spool } from "../spool/spool.ts";
import type { KeyLookup, SaslCredentials, SaslExchange } from "./auth/exchange.ts";
import type { ClientTimeouts } from "./client-limits.ts";
import type { ConnectionTable } from "./limits/admission.ts";
import type { AuthRateLimiter } from "./limits/auth-rate-limiter.ts";
import type { Quota, QuotaRequest } from "./limits/quota.ts";
import type { MailParameters } from "./parameters.ts";
import type { Senders } from "./sender-policy.ts";
import type { TlsChannel } from "./tls.ts";

/** What TLS shows is there as soon as nothing goes in the clear any more. */
export interface SubmissionSession extends Partial<TlsChannel> {
  readonly listener: Door;
  /** The client's IP address, an IPv4 one without "::ffff:". */
  readonly address: string;
  /** What EHLO or HELO said, "" before it. */
  readonly helo: string;
  readonly login?: SessionLogin | undefined;
  /** Set while AUTH waits for the client's next line. */
  readonly exchange?: SaslExchange | undefined;
  /** What the password file held for the login whose keys the exchange is about. */
  readonly exchangeHashes?: readonly string[] | undefined;
  /** Set from MAIL on until the message is in, or RSET. */
  readonly transaction?: SubmissionTransaction | undefined;
  readonly wrongPasswords: number;
  /** Commands refused since the last accepted message. */
  readonly errors: number;
}

export interface SessionLogin {
  readonly name: string;
  /** "PLAIN", as the log names it. */
  readonly mechanism: string;
  /** What the password file held for it when it was let in. */
  readonly hashes?: readonly string[];
}

export interface SubmissionTransaction {
  /** Reverse-path without angle brackets, "" for the null one. */
  readonly sender: string;
  readonly parameters: MailParameters;
  readonly recipients: readonly Recipient[];
  /** Recipients refused because there were enough. */
  readonly overshoot: number;
  /** Octets that came by BDAT, or were announced; "refused" once a chunk was. Absent before the first. */
  readonly chunks?: number | "refused";
  /** What the message will count for the limits of the login. */
  readonly quotaRequest: QuotaRequest;
}

/** What the commands have to know of the site. */
export interface CommandContext {
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

/** Octets that come behind BDAT. */
export interface BdatChunk {
  readonly octets: number;
  readonly isLast: boolean;
  /** Otherwise the octets are read and dropped: they are none of a message's, and no commands either. */
  readonly isWanted: boolean;
}

/**
 * What happens after the answer. read: the next command. tls: the handshake. receive: the message.
 * too-many-errors: an end that the log mentions. Credentials are checked, a question is asked, and that gives the answer.
 * A chunk is read, and then the answer said.
 */
export type NextStep =
  | "read"
  | "tls"
  | "receive"
  | "close"
  | "too-many-errors"
  | SaslCredentials
  | KeyLookup
  | BdatChunk;

export interface CommandAnswer {
  /** The session from now on. */
  readonly session: SubmissionSession;
  /** One reply, or the lines of a multi-line one (all of one code); none where there is nothing to say yet. */
  readonly replies: readonly Reply[];
  readonly next: NextStep;
}

/** The session of a client that has just come; on the "smtps" door TLS is there already. */
export function newSession(listener: Door, address: string, channel?: TlsChannel): SubmissionSession {
  return { listener, address, ...channel, helo: "", wrongPasswords: 0, errors: 0 };
}

/** After STARTTLS nothing that was learnt in the clear counts (RFC 3207 section 4.2), except what to hold against the client. */
export function afterStartTls(
  { listener, address, wrongPasswords, errors }: SubmissionSession,
  channel: TlsChannel,
): SubmissionSession {
  return { listener, address, ...channel, helo: "", wrongPasswords, errors };
}

/** Something has begun that the client should be able to end. */
export const isBusy = ({ transaction, exchange }: SubmissionSession): boolean =>
  transaction !== undefined || exchange !== undefined;

/** An answer after which the next command is read. */
export function answer(session: SubmissionSession, ...replies: readonly Reply[]): CommandAnswer {
  return { session, replies, next: "read" };
}

/** The first reply whose condition holds: a command's checks in their order. */
export function firstBroken(
  ...checks: readonly (readonly [broken: boolean, reply: Reply])[]
): Reply | undefined {
  return checks.find(([broken]) => broken)?.[1];
}

/** The client as Postfix names one without a name: looking it up would hold the greeting back. */
export const clientName = ({ address }: Pick<SubmissionSession, "address">): string => `unknown[${address}]`;

// What every session may use: the site's rules and the doors to the rest of the program. Made once, in commands.

export interface SessionContext extends CommandContext {
  /** Connections at a time from one address (IPv6: one /64). */
  readonly connectionsPerAddress: number;
  /** Connections at a time in all. */
  readonly connections: number;
  /** Descriptors that the process may have. */
  readonly descriptors: number;
  /** Whether who connects from there is a proxy, which must name its client first. */
  readonly isProxy: (address: string) => boolean;
  /** Those there are now, at every door. */
  readonly connectionTable: ConnectionTable;
  /** The words of 535: the same for an unknown user, a wrong password and a forbidden name. */
  readonly wrongText: string;
  /** What becomes of messages with a lone CR, a lone LF or a NUL. */
  readonly lineEnds: "refuse" | "repair";
  /** Whether the Received field tells everybody the client's address. */
  readonly clientAddressInMail: boolean;
  readonly timeouts: ClientTimeouts;
  readonly verify: (login: string, password: string) => Promise<Verdict>;
  /** Milliseconds that the dearest check takes which the password file can cause. */
  readonly slowestCheck: () => Promise<number>;
  /** For logins that say no password. */
  readonly proofs: Proofs;
  /** What the password file holds for a login, as the client says it; only to be compared. */
  readonly hashes: (login: string) => Promise<readonly string[]>;
  /** Whether the password file still holds all of it for that login. Asked at every command. */
  readonly hashesUnchanged: (login: string, hashes: readonly string[]) => boolean;
  readonly authLimiter: AuthRateLimiter;
  /** Whether `login`, as a Verdict names it, is shut out, with all that it is about to send. Asked time and again. */
  readonly isFrozen: (login: string) => boolean;
  readonly spool: Pick<Spool, "draft" | "free">;
  /** What a message must leave free on the spool's disk, so that there is room for what becomes of the others. */
  readonly reserve: Free;
  /** Called when a message is promised, just before the client hears so. */
  readonly accepted: (envelope: Envelope) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly steady: () => number;
  /** Waits for so many milliseconds. */
  readonly pause: (milliseconds: number) => Promise<unknown>;
}
