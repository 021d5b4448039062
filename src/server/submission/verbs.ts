/**
 * The commands, a row each: what must have gone before, and what it leads to. Pure: a session and a line in,
 * an answer out. MAIL and RCPT are in transaction.ts, the exchange of AUTH is in auth/.
 */

import { type Reply, reply } from "../../smtp/reply.ts";
import type { Sasl } from "./auth/exchange.ts";
import { mechanismsFor, startSasl } from "./auth/mechanisms.ts";
import * as limits from "./client-limits.ts";
import { type Answer, answer, type Rules, type Session } from "./session.ts";
import { bdat, mail, rcpt, unwanted } from "./transaction.ts";

type Verb = (session: Session, argument: string, rules: Rules) => Answer;

interface Need {
  readonly met: (session: Session, argument: string) => boolean;
  readonly otherwise: Reply;
}

// RFC 3207 section 4. The same for good and bad passwords, which are not even read (RFC 8314 section 4.1).
const tls = need(({ cipher }) => cipher !== undefined, 530, "5.7.0", "Must issue a STARTTLS command first");
const clear = need(({ cipher }) => cipher === undefined, 503, "5.5.1", "TLS is on already");
const greeted = need(({ helo }) => helo !== "", 503, "5.5.1", "Send EHLO first");
const stranger = need(({ login }) => login === undefined, 503, "5.5.1", "You are logged in already");
const known = need(({ login }) => login !== undefined, 530, "5.7.0", "Authentication required");
const between = need(({ transaction }) => !transaction, 503, "5.5.1", "A message has begun, send RSET first");
const begun = need(({ transaction }) => transaction !== undefined, 503, "5.5.1", "Send MAIL first");
const addressed = need(
  ({ transaction }) => (transaction?.recipients.length ?? 0) > 0,
  554, // RFC 5321 section 3.3
  "5.5.1",
  "No valid recipients",
);
const unchunked = need(
  ({ transaction }) => transaction?.chunks === undefined,
  503, // RFC 3030 section 2
  "5.5.1",
  "BDAT has begun this message and must end it",
);
const bare = need((_, argument) => argument === "", 501, "5.5.4", "This command takes no argument");

interface Row {
  readonly needs: readonly Need[];
  readonly run: Verb;
  /** How an unmet need is told, where there is more to it than the reply. */
  readonly refuse?: (session: Session, argument: string, complaint: Reply) => Answer;
}

const verbs: ReadonlyMap<string, Row> = new Map<string, Row>([
  ["EHLO", { needs: [], run: ehlo }],
  ["HELO", { needs: [], run: helo }],
  ["STARTTLS", { needs: [bare, clear], run: starttls }],
  ["AUTH", { needs: [tls, greeted, stranger, between], run: auth }],
  ["MAIL", { needs: [tls, greeted, known, between], run: mail }],
  ["RCPT", { needs: [tls, greeted, known, begun, unchunked], run: recipient }],
  ["DATA", { needs: [tls, greeted, known, begun, bare, addressed, unchunked], run: data }],
  ["BDAT", { needs: [tls, greeted, known, begun, addressed], run: bdat, refuse: unwanted }],
  ["RSET", { needs: [bare], run: rset }],
  ["NOOP", { needs: [], run: noop }],
  ["QUIT", { needs: [bare], run: quit }],
  ["VRFY", { needs: [tls], run: vrfy }],
  ["HELP", { needs: [tls], run: help }],
]);

/** Commands that SMTP has and a submission server does without (RFC 6409 section 7, RFC 5321 appendix F). */
const foreign = new Set(["EXPN", "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "BURL"]);

/** The verb of a command line in capitals; "" where there is none. */
const verbOf = (line: string): string => /^[A-Za-z]+(?=[ \t]|$)/.exec(line)?.[0].toUpperCase() ?? "";

/** The verb of a command line where it is one of those above. */
export function knownVerbOf(line: string): string | undefined {
  const verb = verbOf(line);
  return verbs.has(verb) ? verb : undefined;
}

/** What `line`, without its CRLF, leads to. While AUTH waits for a response the line is that. */
export function respond(session: Session, line: string, rules: Rules): Answer {
  if (session.exchange) {
    return carryOn({ ...session, exchange: undefined }, session.exchange(line));
  }
  return withErrors(session, command(session, line, rules));
}

/** What a further step of AUTH leads to. */
export function carryOn(session: Session, step: Sasl): Answer {
  return withErrors(session, sasl(session, step));
}

/** The answer to a line that could not be read; it ends an exchange of AUTH, and where it is 421 the session. */
export function refuse(before: Session, complaint: Reply): Answer {
  const session = { ...before, exchange: undefined };
  return withErrors(before, { session, say: [complaint], next: complaint.code === 421 ? "close" : "read" });
}

/** Counts a refused command; the last one that is borne is answered with 421. */
function withErrors(before: Session, given: Answer): Answer {
  if (!given.say.some(({ code }) => code >= 400) || isOvershoot(before, given.session)) return given;
  const errors = given.session.errors + 1;
  const session = { ...given.session, errors };
  if (given.next === "close" || errors < limits.errors) return { ...given, session };
  return { session, say: [reply(421, "4.7.0", "Too many errors")], next: "too-many-errors" };
}

/** A client with many recipients learns the limit one by one and has done nothing wrong. */
function isOvershoot({ transaction: before }: Session, { transaction: after }: Session): boolean {
  if (!before || !after || after.overshoot === before.overshoot) return false;
  return after.overshoot <= limits.recipientOvershoot;
}

function command(session: Session, line: string, rules: Rules): Answer {
  const verb = verbOf(line);
  // A web page that makes a browser talk to this port gets no second line.
  if (/^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) /i.test(line)) {
    return { session, say: [reply(421, "4.7.0", "This is a mail server, not a web server")], next: "close" };
  }
  if (foreign.has(verb)) return answer(session, reply(502, "5.5.1", `${verb} is not offered here`));
  const row = verbs.get(verb);
  if (!row) return answer(session, reply(500, "5.5.2", "Command not recognised"));
  const argument = line.slice(verb.length).trim();
  const unmet = row.needs.find(({ met }) => !met(session, argument));
  if (!unmet) return row.run(session, argument, rules);
  return row.refuse ? row.refuse(session, argument, unmet.otherwise) : answer(session, unmet.otherwise);
}

/** RFC 2034 section 4: no enhanced code in what answers EHLO and HELO. */
const plainReply = (code: number, text: string): Reply => reply(code, "", text);

function ehlo(session: Session, argument: string, rules: Rules): Answer {
  if (!isName(argument)) return answer(session, plainReply(501, "Expected EHLO and the name of your host"));
  // Stock monitoring scripts look for STARTTLS and AUTH with a hyphen before them: neither may be the last line.
  const lines = [
    rules.hostname,
    "PIPELINING",
    `SIZE ${rules.messageSize}`,
    ...(session.cipher === undefined ? ["STARTTLS"] : []),
    ...(session.cipher !== undefined && !session.login
      ? [`AUTH ${mechanismsFor(session, rules.challenges).join(" ")}`]
      : []),
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    ...(session.cipher === undefined ? [] : ["CHUNKING"]),
    "DSN",
    ...(session.cipher !== undefined && rules.requireTls ? ["REQUIRETLS"] : []),
    `LIMITS RCPTMAX=${rules.recipients}`, // RFC 9422
    "SMTPUTF8",
  ];
  return answer(greeting(session, argument), ...lines.map((text) => plainReply(250, text)));
}

function helo(session: Session, argument: string, rules: Rules): Answer {
  if (!isName(argument)) return answer(session, plainReply(501, "Expected HELO and the name of your host"));
  return answer(greeting(session, argument), plainReply(250, rules.hostname));
}

/** RFC 5321 section 4.1.4: EHLO in mid-session is a RSET as well. */
const greeting = (session: Session, helo: string): Session => ({ ...session, helo, transaction: undefined });

/** What clients call themselves is no ground for refusal (RFC 5321 section 4.1.4), if it is a word of sane length. */
const isName = (argument: string): boolean => /^[\x21-\x7e]{1,255}$/.test(argument);

function starttls(session: Session): Answer {
  return { session, say: [reply(220, "2.0.0", "Ready to start TLS")], next: "tls" };
}

function auth(session: Session, argument: string, { challenges, hostname, nonce }: Rules): Answer {
  const { binding, certified } = session;
  const ground = { offered: mechanismsFor(session, challenges), hostname, binding, certified, nonce };
  if (session.wrongPasswords < limits.wrongPasswords) return sasl(session, startSasl(argument, ground));
  return { session, say: [reply(421, "4.7.0", "Too many wrong passwords")], next: "too-many-errors" };
}

function sasl(session: Session, step: Sasl): Answer {
  switch (step.kind) {
    case "refused":
      return answer(session, step.reply);
    case "challenge":
      return answer({ ...session, exchange: step.next }, reply(334, "", step.challenge));
    case "credentials":
      return { session, say: [], next: step.credentials };
    case "question":
      return { session, say: [], next: step };
  }
}

function recipient(session: Session, argument: string, rules: Rules): Answer {
  return session.transaction
    ? rcpt(session, session.transaction, argument, rules)
    : answer(session, begun.otherwise);
}

function data(session: Session): Answer {
  return { session, say: [], next: "receive" };
}

function rset(session: Session): Answer {
  return answer({ ...session, transaction: undefined }, reply(250, "2.0.0", "Ok"));
}

function noop(session: Session): Answer {
  return answer(session, reply(250, "2.0.0", "Ok"));
}

function quit(session: Session): Answer {
  return { session, say: [reply(221, "2.0.0", "Bye")], next: "close" };
}

/** RFC 5321 section 3.5.3: who has an address here is nobody's business. */
function vrfy(session: Session): Answer {
  return answer(session, reply(252, "2.0.0", "Send some mail, I will try to deliver it"));
}

function help(session: Session): Answer {
  return answer(session, reply(214, "2.0.0", `Commands: ${[...verbs.keys()].join(" ")}`));
}

function need(met: Need["met"], code: number, status: string, text: string): Need {
  return { met, otherwise: reply(code, status, text) };
}
