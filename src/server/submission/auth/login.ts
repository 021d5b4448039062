/** Credentials checked: what the client hears, what the log notes, and how long a refusal takes. */

import { loginKey } from "../../../passwd/passwordfile.ts";
import type { Verdict } from "../../../passwd/verifier.ts";
import { reply } from "../../../smtp/reply.ts";
import { log } from "../../log/log.ts";
import type { LoginAttempt } from "../limits/auth-rate-limiter.ts";
import { retryText } from "../limits/sliding-window.ts";
import {
  answer,
  type CommandAnswer,
  clientName,
  type SessionContext,
  type SubmissionSession,
} from "../session.ts";
import { continueAuth } from "../verbs.ts";
import type { KeyLookup, SaslCredentials } from "./exchange.ts";

const checkUnavailable = reply(
  454,
  "4.7.0",
  "Passwords cannot be checked at the moment, please try again later",
);
/** RFC 5248 registers X.7.13 for this: said only after the right password, so that nobody else learns it. */
const loginFrozen = reply(525, "5.7.13", "This login is disabled; please ask the people who run this server");
const welcome = reply(235, "2.7.0", "Authentication successful");

/** What becomes of an attempt. */
interface AttemptResult {
  readonly answer: CommandAnswer;
  /** Milliseconds from the client's line at least; undefined where it hears at once. */
  readonly wait?: number;
}

/** Goes on with AUTH where that depends on the password file. */
export async function authenticate(
  session: SubmissionSession,
  next: SaslCredentials | KeyLookup,
  context: SessionContext,
): Promise<CommandAnswer> {
  const { steady, pause, slowestCheck, timeouts } = context;
  const began = steady();
  const { answer: given, wait } = await attemptLogin(session, next, context);
  const { next: further } = given;
  if (typeof further === "object" && "login" in further) return authenticate(given.session, further, context);
  if (wait === undefined) return given;
  const times = { wait, pause: timeouts.wrongPassword, slowestCheck: await slowestCheck() };
  const spent = steady() - began;
  await pause(refusalDue({ spent, ...times }) - spent);
  return given;
}

/** One attempt, by the brake's leave. It is over when it is known what comes of it, not when the client hears so. */
async function attemptLogin(
  session: SubmissionSession,
  next: SaslCredentials | KeyLookup,
  context: SessionContext,
): Promise<AttemptResult> {
  const { authLimiter, domain, proofs, verify } = context;
  // Whoever has been let as far as a verdict has an answer coming.
  if ("verdict" in next && next.verdict) return answerVerdict(session, next, next.verdict, context);
  const attempted = attemptOf(session, next.login, domain);
  const password = "password" in next ? next.password : undefined;
  const release = await authLimiter.acquire(attempted, password);
  try {
    const until = authLimiter.blockedUntil(attempted, password);
    if (until !== undefined) return rateLimited(session, next, until, context);
    if (!("lookUp" in next))
      return answerVerdict(session, next, await verify(next.login, next.password), context);
    const given = continueAuth(session, await next.lookUp(proofs));
    const { next: further } = given;
    const isDecided = typeof further === "object" && "verdict" in further && further.verdict;
    return isDecided ? answerVerdict(given.session, further, further.verdict, context) : { answer: given };
  } finally {
    release();
  }
}

/** Answers AUTH by what `verdict` says. A failure is held back, the next one of the connection longer. */
function answerVerdict(
  session: SubmissionSession,
  { mechanism, login, password, authzid }: SaslCredentials,
  verdict: Verdict,
  { domain, authLimiter, isFrozen, timeouts, wrongText }: SessionContext,
): AttemptResult {
  const note = { door: session.listener, client: clientName(session), mechanism, login };
  if (verdict.kind === "unavailable") {
    log("auth-unavailable", { ...note, reason: verdict.reason });
    return { answer: answer(session, checkUnavailable), wait: 0 }; // it may be one login's hash that ends the thread
  }
  // RFC 4616 section 2: nobody acts for somebody else here. Login and address are one person, however they are written.
  const forSelf = authzid === "" || loginKey(authzid, domain) === loginKey(login, domain);
  if (verdict.kind === "accepted" && forSelf && isFrozen(verdict.login)) {
    log("auth-frozen", note);
    return { answer: answer({ ...session, errors: session.errors + 1 }, loginFrozen) };
  }
  if (verdict.kind === "accepted" && forSelf) {
    log("auth-accepted", note);
    authLimiter.succeeded(attemptOf(session, login, domain), password);
    const inside = { ...session, login: { name: verdict.login, mechanism }, wrongPasswords: 0 };
    return { answer: answer(inside, welcome) };
  }
  const reason = verdict.kind === "accepted" ? "would act for somebody else" : verdict.reason;
  const isVain = verdict.kind === "rejected" && verdict.isVain;
  log(isVain ? "auth-in-vain" : "auth-failed", { ...note, reason });
  const wrongPasswords = session.wrongPasswords + 1;
  const wait = authLimiter.failed(attemptOf(session, login, domain), password);
  return {
    answer: answer(
      { ...session, wrongPasswords, errors: session.errors + 1 },
      reply(535, "5.7.8", wrongText),
    ),
    wait: Math.max(wrongPasswords, wait) * timeouts.wrongPassword,
  };
}

/** No look at the password. 454, because a client then asks nobody for another one (RFC 4954 section 6). */
function rateLimited(
  session: SubmissionSession,
  { mechanism, login }: SaslCredentials | KeyLookup,
  until: number,
  { now }: SessionContext,
): AttemptResult {
  const note = { door: session.listener, client: clientName(session), mechanism, login };
  log("auth-braked", { ...note, until: new Date(until).toISOString() });
  const text = `Too many wrong passwords from your network; try again ${retryText(until, now())}`;
  return {
    answer: answer({ ...session, errors: session.errors + 1 }, reply(454, "4.7.0", text)),
    wait: 0,
  };
}

/** All spellings of a login are the same one. */
const attemptOf = ({ address }: SubmissionSession, login: string, domain: string): LoginAttempt => ({
  login: loginKey(login, domain),
  address,
});

/**
 * When a refusal is answered: at a time that does not tell how long its check took, and so not who exists, what is
 * stored for somebody or whether the same was asked before.
 */

/** What a step has beyond the dearest check, for the way to the thread and back. Our choice. */
const checkMargin = 1.25;

/** All in milliseconds. */
export interface RefusalTimes {
  /** Since the client's line was there. */
  readonly spent: number;
  /** What this refusal is to wait at least. */
  readonly wait: number;
  /** What any refusal is to wait at least. */
  readonly pause: number;
  /** What the dearest check takes that the password file can cause. */
  readonly slowestCheck: number;
}

/** Milliseconds after the client's line: `wait` where that is enough for any check, else the next of even steps. */
export function refusalDue({ spent, wait, pause, slowestCheck }: RefusalTimes): number {
  const step = Math.max(pause, checkMargin * slowestCheck);
  const due = Math.max(wait, step);
  return spent <= due ? due : Math.ceil(spent / step) * step;
}
