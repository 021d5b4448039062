/**
 * A client's session as a value: what it has shown so far, and what a command leads to. Also the context of all
 * sessions. Sockets are in connection.ts, the commands in verbs.ts.
 */
import type { AuthenticationResult, Challenge, SaslLogins } from "../../passwd/verifier.ts";
import type { Reply } from "../../smtp/reply.ts";
import type { ListenerName } from "../log/events.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import type { FreeSpace, Spool } from "../spool/spool.ts";
import type { KeyLookup, SaslLineHandler, SaslResult } from "./auth/exchange.ts";
import type { ClientTimeouts } from "./client-limits.ts";
import type { ConnectionTable } from "./limits/admission.ts";
import type { AuthRateLimiter } from "./limits/auth-rate-limiter.ts";
import type { Quota, QuotaRequest } from "./limits/quota.ts";
import type { MessageMemory } from "./message-memory.ts";
import type { MessageMilters } from "./milter/filter.ts";
import type { MailParameters } from "./parameters.ts";
import type { Senders } from "./sender-policy.ts";
import type { TlsChannel } from "./tls.ts";

/** What TLS shows is there once the connection is encrypted. */
export interface SubmissionSession extends Partial<TlsChannel> {
  readonly listener: ListenerName;
  /** The client's IP address, an IPv4 one without "::ffff:". */
  readonly address: string;
  /** The name from EHLO or HELO, "" before that. */
  readonly helo: string;
  readonly login?: SessionLogin | undefined;
  /** Set while AUTH waits for the client's next line. */
  readonly exchange?: SaslLineHandler | undefined;
  /** What the password file held for the login of the exchange when its keys were read. */
  readonly exchangeHashes?: readonly string[] | undefined;
  /** Set from MAIL until the message is accepted or refused, or RSET. */
  readonly transaction?: SubmissionTransaction | undefined;
  readonly wrongPasswords: number;
  /** Commands refused since the last accepted message. */
  readonly errors: number;
}

export interface SessionLogin {
  readonly name: string;
  /** As the log names it: "PLAIN". */
  readonly mechanism: string;
  /** What the password file held for it when it authenticated. */
  readonly hashes?: readonly string[];
}

export interface SubmissionTransaction {
  /** Reverse-path without angle brackets, "" for the null one. */
  readonly sender: string;
  readonly parameters: MailParameters;
  readonly recipients: readonly Recipient[];
  /** Recipients refused because of the limit. */
  readonly overshoot: number;
  /** Octets that came or were announced by BDAT; "refused" once a chunk was refused. Absent before the first chunk. */
  readonly chunks?: number | "refused";
  /** What the message will count for the limits of the login. */
  readonly quotaRequest: QuotaRequest;
}

/** What the people of one domain read. */
export interface DomainTexts {
  /** As {@link SessionContext.wrongText}. */
  readonly wrongText: string;
  /** Where they find help, or "". */
  readonly help: string;
}

/** What the commands need to know of the site. */
export interface CommandContext {
  readonly hostname: string;
  /** What clients of this listener call this host, where that is not `hostname`: the greeting and EHLO say it. */
  readonly greetingName?: string;
  /** Mail domain, for `<postmaster>`. */
  readonly domain: string;
  /** The other domains, if there are any: their logins are written `user1@example.net`. */
  readonly domains?: ReadonlyMap<string, DomainTexts>;
  /** Largest message, in octets. */
  readonly messageSize: number;
  /** Recipients per message. */
  readonly recipients: number;
  readonly senders: Senders;
  /** Mechanisms that some login has keys for. */
  readonly challenges: readonly Challenge[];
  /** A new unguessable word of letters, digits, "-" and "_". */
  readonly nonce: () => string;
  readonly quota: Quota;
  /** Whether `login`, as an AuthenticationResult names it, is frozen and may send nothing. Asked again and again. */
  readonly isFrozen: (login: string) => boolean;
  /** Whether REQUIRETLS is offered inside TLS (RFC 8689). */
  readonly requireTls: boolean;
}

/** The octets that follow a BDAT command. */
export interface BdatChunk {
  readonly octets: number;
  readonly isLast: boolean;
  /** Otherwise the octets are read and dropped: they belong to no message, and are no commands. */
  readonly isWanted: boolean;
}

/**
 * What happens after the answer. read: the next command. tls: the handshake. receive: the message. close: the end.
 * too-many-errors: an end that the log mentions. Credentials are checked, or keys are looked up, and that gives the
 * answer. A chunk is read, and then the answer is sent.
 */
export type NextStep =
  | "read"
  | "tls"
  | "receive"
  | "close"
  | "too-many-errors"
  | SaslResult
  | KeyLookup
  | BdatChunk;

export interface CommandAnswer {
  /** The session from now on. */
  readonly session: SubmissionSession;
  /** One reply, or the lines of a multi-line one (all with one code). None where there is no reply yet. */
  readonly replies: readonly Reply[];
  readonly next: NextStep;
}

/** The session of a new client. On the "smtps" listener it is inside TLS already. */
export function newSession(listener: ListenerName, address: string, channel?: TlsChannel): SubmissionSession {
  return { ...unnamed, listener, address, ...channel, helo: "", wrongPasswords: 0, errors: 0 };
}

/**
 * What comes and goes stands in a session from the beginning. V8 makes a new shape for each copy that gets one field more, and
 * whoever reads the copy pays for that as well: with those of envelopes, 4 % of the main thread's time in (a) of
 * docs/performance.md.
 */
const unnamed = {
  login: undefined,
  exchange: undefined,
  exchangeHashes: undefined,
  transaction: undefined,
} satisfies Partial<SubmissionSession>;

/** RFC 3207 section 4.2: after STARTTLS nothing counts that came in the clear. The client's errors still do. */
export function afterStartTls(
  { listener, address, wrongPasswords, errors }: SubmissionSession,
  channel: TlsChannel,
): SubmissionSession {
  return { ...unnamed, listener, address, ...channel, helo: "", wrongPasswords, errors };
}

/** Whether nobody else can read what the client and we say: inside TLS, or within this host. */
export const isPrivate = ({ listener, cipher }: SubmissionSession): boolean =>
  cipher !== undefined || listener === "local";

/** Whether the client has begun something that it should be able to finish. */
export const isBusy = ({ transaction, exchange }: SubmissionSession): boolean =>
  transaction !== undefined || exchange !== undefined;

/** An answer before the next command. */
export function answer(session: SubmissionSession, ...replies: readonly Reply[]): CommandAnswer {
  return { session, replies, next: "read" };
}

/** The reply of the first check that is broken. */
export function firstBroken(
  ...checks: readonly (readonly [broken: boolean, reply: () => Reply])[]
): Reply | undefined {
  return checks.find(([broken]) => broken)?.[1]();
}

type KnownDomains = Pick<CommandContext, "domain" | "domains">;

/** The domain of a login, in any spelling: one of the other domains, else the main one. */
export function domainOf(login: string, { domain, domains }: KnownDomains): string {
  const name = login.slice(login.lastIndexOf("@") + 1).toLowerCase();
  return login.includes("@") && domains?.has(name) ? name : domain;
}

/** A refusal of policy (RFC 3463 section 3.8) with where the login's people find help behind it; others as they are. */
export function withHelp(refusal: Reply, login: string, site: KnownDomains): Reply {
  const help = site.domains?.get(domainOf(login, site))?.help ?? "";
  if (help === "" || !/^[45]\.7\./.test(refusal.status)) return refusal;
  return { ...refusal, text: `${refusal.text.slice(0, mostBeforeHelp)}; see ${help}` };
}

/** RFC 5321 section 4.5.3.1.5: a reply line has 512 octets, and what is behind it has 106. */
const mostBeforeHelp = 380;

/** The client as Postfix names one without a name: a look-up would delay the greeting. */
export const clientName = ({ address }: Pick<SubmissionSession, "address">): string => `unknown[${address}]`;

/** What every session may use of the site's rules and of the rest of the program. Made in src/commands/serve. */
export interface SessionContext extends CommandContext {
  /** Connections at a time from one address (IPv6: one /64). */
  readonly connectionsPerAddress: number;
  /** Connections at a time in all. */
  readonly connections: number;
  /** Descriptors that the process may have. */
  readonly descriptors: number;
  /** Whether a proxy connects from there, which must name its client first. */
  readonly isProxy: (address: string) => boolean;
  /** The connections of all listeners. */
  readonly connectionTable: ConnectionTable;
  /** The text of 535: the same for an unknown user, a wrong password and a forbidden name. */
  readonly wrongText: string;
  /** What becomes of messages with a lone CR, a lone LF or a NUL. */
  readonly lineEnds: "refuse" | "repair";
  /** Whether the Received field shows the client's address. */
  readonly clientAddressInMail: boolean;
  readonly timeouts: ClientTimeouts;
  readonly verify: (login: string, password: string) => Promise<AuthenticationResult>;
  /** Milliseconds that the slowest check takes that the password file can cause. */
  readonly slowestCheck: () => Promise<number>;
  /** For mechanisms that send no password. */
  readonly proofs: SaslLogins;
  /** What the password file holds for a login as the client spells it. Only to be compared. */
  readonly hashes: (login: string) => Promise<readonly string[]>;
  /** Whether the password file still holds all of `hashes` for `login`. Asked at every command. */
  readonly hashesUnchanged: (login: string, hashes: readonly string[]) => boolean;
  /** Notes that a password was used, by the digest of its hash, and gives its name where it has one. */
  readonly passwordUsed?: (login: string, stored: string, address: string) => string | undefined;
  readonly authLimiter: AuthRateLimiter;
  readonly spool: Pick<Spool, "draft" | "scratch" | "free" | "inodesFor">;
  /** The site's filters, where it has any. */
  readonly filter?: MessageMilters | undefined;
  /** What the messages that come in may take of the memory, all sessions together. */
  readonly memory: MessageMemory;
  /** What a message must leave free on the spool's disk, for reports and for the records of other messages. */
  readonly reserve: FreeSpace;
  /** Called when a message is in the spool, just before the client gets its 250. */
  readonly accepted: (envelope: Envelope) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly steady: () => number;
  /** Waits for so many milliseconds. */
  readonly pause: (milliseconds: number) => Promise<unknown>;
}
