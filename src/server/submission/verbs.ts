/**
 * The commands, a row each: their preconditions and their handler. Pure: a session and a line in, an answer out.
 * MAIL, RCPT and BDAT are in transaction.ts, the exchange of AUTH is in auth/.
 */
import { type Reply, reply } from "../../smtp/reply.ts";
import type { ListenerName } from "../log/events.ts";
import type { SaslStep } from "./auth/exchange.ts";
import { mechanismsFor, startSasl } from "./auth/mechanisms.ts";
import * as limits from "./client-limits.ts";
import {
  answer,
  type CommandAnswer,
  type CommandContext,
  isPrivate,
  type SubmissionSession,
} from "./session.ts";
import { bdat, mail, rcpt, refuseBdat } from "./transaction.ts";
import { xclient, xclientAttributes } from "./xclient.ts";

type CommandHandler = (
  session: SubmissionSession,
  argument: string,
  context: CommandContext,
) => CommandAnswer;

interface Precondition {
  readonly met: (session: SubmissionSession, argument: string) => boolean;
  readonly otherwise: Reply;
}

// RFC 3207 section 4. Passwords are not even read, so good and bad ones get the same reply (RFC 8314 section 4.1).
const insideTls = precondition(isPrivate, 530, "5.7.0", "Must issue a STARTTLS command first");
const beforeTls = precondition((session) => !isPrivate(session), 503, "5.5.1", "TLS is on already");
const greeted = precondition(({ helo }) => helo !== "", 503, "5.5.1", "Send EHLO first");
const notLoggedIn = precondition(
  ({ login }) => login === undefined,
  503,
  "5.5.1",
  "You are logged in already",
);
const loggedIn = precondition(({ login }) => login !== undefined, 530, "5.7.0", "Authentication required");
const noTransaction = precondition(
  ({ transaction }) => !transaction,
  503,
  "5.5.1",
  "A message has begun, send RSET first",
);
const inTransaction = precondition(
  ({ transaction }) => transaction !== undefined,
  503,
  "5.5.1",
  "Send MAIL first",
);
const hasRecipients = precondition(
  ({ transaction }) => (transaction?.recipients.length ?? 0) > 0,
  554, // RFC 5321 section 3.3
  "5.5.1",
  "No valid recipients",
);
const notByBdat = precondition(
  ({ transaction }) => transaction?.chunks === undefined,
  503, // RFC 3030 section 2
  "5.5.1",
  "BDAT has begun this message and must end it",
);
const overNetwork = precondition(
  ({ listener }) => listener !== "local",
  502,
  "5.5.1",
  "No passwords here: XCLIENT says who sends",
);
const noArgument = precondition(
  (_, argument) => argument === "",
  501,
  "5.5.4",
  "This command takes no argument",
);

interface VerbRow {
  readonly needs: readonly Precondition[];
  readonly run: CommandHandler;
  /** The answer to an unmet precondition, where it is more than the reply. */
  readonly refuse?: (session: SubmissionSession, argument: string, complaint: Reply) => CommandAnswer;
}

const verbs: ReadonlyMap<string, VerbRow> = new Map<string, VerbRow>([
  ["EHLO", { needs: [], run: ehlo }],
  ["HELO", { needs: [], run: helo }],
  ["STARTTLS", { needs: [noArgument, beforeTls], run: starttls }],
  ["XCLIENT", { needs: [notLoggedIn, noTransaction], run: xclient }],
  ["AUTH", { needs: [overNetwork, insideTls, greeted, notLoggedIn, noTransaction], run: auth }],
  ["MAIL", { needs: [insideTls, greeted, loggedIn, noTransaction], run: mail }],
  ["RCPT", { needs: [insideTls, greeted, loggedIn, inTransaction, notByBdat], run: recipient }],
  [
    "DATA",
    { needs: [insideTls, greeted, loggedIn, inTransaction, noArgument, hasRecipients, notByBdat], run: data },
  ],
  [
    "BDAT",
    { needs: [insideTls, greeted, loggedIn, inTransaction, hasRecipients], run: bdat, refuse: refuseBdat },
  ],
  ["RSET", { needs: [noArgument], run: rset }],
  ["NOOP", { needs: [], run: noop }],
  ["QUIT", { needs: [noArgument], run: quit }],
  ["VRFY", { needs: [insideTls], run: vrfy }],
  ["HELP", { needs: [insideTls], run: help }],
]);

/** Commands of SMTP that a submission server does not offer (RFC 6409 section 7, RFC 5321 appendix F). */
const unsupportedVerbs = new Set(["EXPN", "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "BURL"]);

/** The verb of a command line in capitals, "" where there is none. */
const verbOf = (line: string): string => /^[A-Za-z]+(?=[ \t]|$)/.exec(line)?.[0].toUpperCase() ?? "";

/** Whether clients of `listener` know it. XCLIENT is for programs of this host alone. */
const isOffered = (listener: ListenerName, verb: string): boolean =>
  verbs.has(verb) && (verb !== "XCLIENT" || listener === "local");

/** The verb of a command line if it is one of ours at `listener`. */
export function knownVerbOf(listener: ListenerName, line: string): string | undefined {
  const verb = verbOf(line);
  return isOffered(listener, verb) ? verb : undefined;
}

/** The answer to `line`, without its CRLF. While AUTH waits for a response, the line is that response. */
export function respond(session: SubmissionSession, line: string, context: CommandContext): CommandAnswer {
  if (session.exchange) {
    return continueAuth({ ...session, exchange: undefined }, session.exchange(line));
  }
  return withErrors(session, command(session, line, context));
}

/** The answer to a further step of AUTH. */
export function continueAuth(session: SubmissionSession, step: SaslStep): CommandAnswer {
  return withErrors(session, sasl(session, step));
}

/** The answer to a line that could not be read. It ends an exchange of AUTH; a 421 ends the session. */
export function refuseLine(before: SubmissionSession, complaint: Reply): CommandAnswer {
  const session = { ...before, exchange: undefined };
  return withErrors(before, {
    session,
    replies: [complaint],
    next: complaint.code === 421 ? "close" : "read",
  });
}

/** Counts a refused command. The last one allowed is answered with 421. */
function withErrors(before: SubmissionSession, given: CommandAnswer): CommandAnswer {
  if (!given.replies.some(({ code }) => code >= 400) || isOvershoot(before, given.session)) return given;
  const errors = given.session.errors + 1;
  const session = { ...given.session, errors };
  if (given.next === "close" || errors < limits.errors) return { ...given, session };
  return { session, replies: [reply(421, "4.7.0", "Too many errors")], next: "too-many-errors" };
}

/** A client with too many recipients meets the limit with each of them. That is no error of its own. */
function isOvershoot(
  { transaction: before }: SubmissionSession,
  { transaction: after }: SubmissionSession,
): boolean {
  if (!before || !after || after.overshoot === before.overshoot) return false;
  return after.overshoot <= limits.recipientOvershoot;
}

function command(session: SubmissionSession, line: string, context: CommandContext): CommandAnswer {
  const verb = verbOf(line);
  const row = isOffered(session.listener, verb) ? verbs.get(verb) : undefined;
  if (!row) return unknownCommand(session, verb, line);
  const argument = line.slice(verb.length).trim();
  const unmet = row.needs.find(({ met }) => !met(session, argument));
  if (!unmet) return row.run(session, argument, context);
  return row.refuse ? row.refuse(session, argument, unmet.otherwise) : answer(session, unmet.otherwise);
}

function unknownCommand(session: SubmissionSession, verb: string, line: string): CommandAnswer {
  // A web page can make a browser talk to this port. It gets no second line.
  if (/^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) /i.test(line)) {
    return {
      session,
      replies: [reply(421, "4.7.0", "This is a mail server, not a web server")],
      next: "close",
    };
  }
  if (unsupportedVerbs.has(verb)) return answer(session, reply(502, "5.5.1", `${verb} is not offered here`));
  return answer(session, reply(500, "5.5.2", "Command not recognised"));
}

/** RFC 2034 section 4: no enhanced code in the answers to EHLO and HELO. */
const plainReply = (code: number, text: string): Reply => reply(code, "", text);

function ehlo(session: SubmissionSession, argument: string, context: CommandContext): CommandAnswer {
  if (!isName(argument)) return answer(session, plainReply(501, "Expected EHLO and the name of your host"));
  // Common monitoring scripts look for STARTTLS and AUTH after a hyphen: neither may be in the last line.
  const lines = [
    context.greetingName ?? context.hostname,
    "PIPELINING",
    `SIZE ${context.messageSize}`,
    ...(isPrivate(session) ? [] : ["STARTTLS"]),
    ...loginLines(session, context),
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    ...(isPrivate(session) ? ["CHUNKING"] : []),
    "DSN",
    ...(isPrivate(session) && context.requireTls ? ["REQUIRETLS"] : []),
    `LIMITS RCPTMAX=${context.recipients}`, // RFC 9422
    "SMTPUTF8",
  ];
  return answer(greeting(session, argument), ...lines.map((text) => plainReply(250, text)));
}

/** How to say who one is. */
function loginLines(session: SubmissionSession, { challenges }: CommandContext): readonly string[] {
  if (session.login || !isPrivate(session)) return [];
  if (session.listener === "local") return [`XCLIENT ${xclientAttributes.join(" ")}`];
  return [`AUTH ${mechanismsFor(session, challenges).join(" ")}`];
}

function helo(session: SubmissionSession, argument: string, context: CommandContext): CommandAnswer {
  if (!isName(argument)) return answer(session, plainReply(501, "Expected HELO and the name of your host"));
  return answer(greeting(session, argument), plainReply(250, context.greetingName ?? context.hostname));
}

/** RFC 5321 section 4.1.4: EHLO within a session is also a RSET. */
const greeting = (session: SubmissionSession, helo: string): SubmissionSession => ({
  ...session,
  helo,
  transaction: undefined,
});

/** No name is refused (RFC 5321 section 4.1.4) that is one word of sensible length. */
const isName = (argument: string): boolean => /^[\x21-\x7e]{1,255}$/.test(argument);

function starttls(session: SubmissionSession): CommandAnswer {
  return { session, replies: [reply(220, "2.0.0", "Ready to start TLS")], next: "tls" };
}

function auth(
  session: SubmissionSession,
  argument: string,
  { challenges, hostname, nonce }: CommandContext,
): CommandAnswer {
  const { binding, certifiedAddress } = session;
  const saslContext = {
    offered: mechanismsFor(session, challenges),
    hostname,
    binding,
    certifiedAddress,
    nonce,
  };
  if (session.wrongPasswords < limits.wrongPasswords) return sasl(session, startSasl(argument, saslContext));
  return { session, replies: [reply(421, "4.7.0", "Too many wrong passwords")], next: "too-many-errors" };
}

function sasl(session: SubmissionSession, step: SaslStep): CommandAnswer {
  switch (step.kind) {
    case "refused":
      return answer(session, step.reply);
    case "challenge":
      return answer({ ...session, exchange: step.next }, reply(334, "", step.challenge));
    case "credentials":
      return { session, replies: [], next: step.credentials };
    case "question":
      return { session, replies: [], next: step };
  }
}

function recipient(session: SubmissionSession, argument: string, context: CommandContext): CommandAnswer {
  return session.transaction
    ? rcpt(session, session.transaction, argument, context)
    : answer(session, inTransaction.otherwise);
}

function data(session: SubmissionSession): CommandAnswer {
  return { session, replies: [], next: "receive" };
}

function rset(session: SubmissionSession): CommandAnswer {
  return answer({ ...session, transaction: undefined }, reply(250, "2.0.0", "Ok"));
}

function noop(session: SubmissionSession): CommandAnswer {
  return answer(session, reply(250, "2.0.0", "Ok"));
}

function quit(session: SubmissionSession): CommandAnswer {
  return { session, replies: [reply(221, "2.0.0", "Bye")], next: "close" };
}

/** RFC 5321 section 3.5.3: VRFY tells nobody which addresses exist. */
function vrfy(session: SubmissionSession): CommandAnswer {
  return answer(session, reply(252, "2.0.0", "Send some mail, I will try to deliver it"));
}

function help(session: SubmissionSession): CommandAnswer {
  return answer(
    session,
    reply(
      214,
      "2.0.0",
      `Commands: ${[...verbs.keys()].filter((verb) => isOffered(session.listener, verb)).join(" ")}`,
    ),
  );
}

function precondition(met: Precondition["met"], code: number, status: string, text: string): Precondition {
  return { met, otherwise: reply(code, status, text) };
}
