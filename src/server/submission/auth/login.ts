/** Checks credentials: the reply to AUTH, the log line, and the time of a refusal. */

import { loginKey } from "../../../passwd/password-file.ts";
import type { AuthenticationResult } from "../../../passwd/verifier.ts";
import { reply } from "../../../smtp/reply.ts";
import { log } from "../../log/log.ts";
import type { LoginAttempt } from "../limits/auth-rate-limiter.ts";
import { retryText } from "../limits/sliding-window.ts";
import {
  answer,
  type CommandAnswer,
  clientName,
  domainOf,
  type SessionContext,
  type SubmissionSession,
  withHelp,
} from "../session.ts";
import { continueAuth } from "../verbs.ts";
import type { KeyLookup, SaslResult } from "./exchange.ts";

const checkUnavailable = reply(
  454,
  "4.7.0",
  "Passwords cannot be checked at the moment, please try again later",
);
/** RFC 5248 registers X.7.13 for this. Sent only after the right password, so that nobody else learns it. */
const loginFrozen = reply(525, "5.7.13", "This login is disabled; please ask the people who run this server");
const authenticated = reply(235, "2.7.0", "Authentication successful");

/** The result of an attempt. */
interface AttemptResult {
  readonly answer: CommandAnswer;
  /** Least time from the client's line to the reply, in milliseconds; undefined where the reply comes at once. */
  readonly wait?: number;
}

/** Continues AUTH where it depends on the password file. */
export async function authenticate(
  session: SubmissionSession,
  next: SaslResult | KeyLookup,
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

/** One attempt, as the rate limiter allows. It is over when its result is known, not when the client gets the reply. */
async function attemptLogin(
  session: SubmissionSession,
  next: SaslResult | KeyLookup,
  context: SessionContext,
): Promise<AttemptResult> {
  const { authLimiter, domain, proofs, verify } = context;
  // An attempt that has got as far as a verdict gets its answer.
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

/** Answers AUTH by `verdict`. A failure is answered late, and each further one of the connection later. */
function answerVerdict(
  session: SubmissionSession,
  { mechanism, login, password, authzid }: SaslResult,
  verdict: AuthenticationResult,
  context: SessionContext,
): AttemptResult {
  const { domain, authLimiter, isFrozen, timeouts } = context;
  const note = { door: session.listener, client: clientName(session), mechanism, login };
  if (verdict.kind === "unavailable") {
    log("auth-unavailable", { ...note, reason: verdict.reason });
    return { answer: answer(session, checkUnavailable), wait: 0 }; // waits like a refusal: perhaps one login's hash ends the thread
  }
  // RFC 4616 section 2: nobody acts for somebody else here. All spellings of a login and its address are one person.
  const forSelf = authzid === "" || loginKey(authzid, domain) === loginKey(login, domain);
  if (verdict.kind === "accepted" && forSelf && isFrozen(verdict.login)) {
    log("auth-frozen", note);
    const refusal = withHelp(loginFrozen, verdict.login, context);
    return { answer: answer({ ...session, errors: session.errors + 1 }, refusal) };
  }
  if (verdict.kind === "accepted" && forSelf) {
    const named =
      verdict.stored === undefined
        ? undefined
        : context.passwordUsed?.(verdict.login, verdict.stored, session.address);
    log("auth-accepted", { ...note, ...(named !== undefined && { password: named }) });
    authLimiter.succeeded(attemptOf(session, login, domain), password);
    const inside = { ...session, login: { name: verdict.login, mechanism }, wrongPasswords: 0 };
    return { answer: answer(inside, authenticated) };
  }
  const reason = verdict.kind === "accepted" ? "would act for somebody else" : verdict.reason;
  const isVain = verdict.kind === "rejected" && verdict.cannotSucceed;
  log(isVain ? "auth-in-vain" : "auth-failed", { ...note, reason });
  const wrongPasswords = session.wrongPasswords + 1;
  const wait = authLimiter.failed(attemptOf(session, login, domain), password);
  // By the domain that was typed: nobody learns by it who has a login.
  const { wrongText } = context.domains?.get(domainOf(login, context)) ?? context;
  return {
    answer: answer(
      { ...session, wrongPasswords, errors: session.errors + 1 },
      reply(535, "5.7.8", wrongText),
    ),
    wait: Math.max(wrongPasswords, wait) * timeouts.wrongPassword,
  };
}

/** The password is not checked. After 454 a client does not ask for another one (RFC 4954 section 6). */
function rateLimited(
  session: SubmissionSession,
  { mechanism, login }: SaslResult | KeyLookup,
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

/** The attempt with the login's canonical spelling. */
const attemptOf = ({ address }: SubmissionSession, login: string, domain: string): LoginAttempt => ({
  login: loginKey(login, domain),
  address,
});

// A refusal is answered at a time that does not tell how long its check took. So it does not tell who exists, what is
// stored for a login, or whether the same password was tried before.

/** How much longer a step is than the slowest check, for the way to the thread and back. Our choice. */
const checkMargin = 1.25;

/** All in milliseconds. */
export interface RefusalTimes {
  /** Since the client's line came. */
  readonly spent: number;
  /** The least wait of this refusal. */
  readonly wait: number;
  /** The least wait of any refusal. */
  readonly pause: number;
  /** The slowest check that the password file can cause. */
  readonly slowestCheck: number;
}

/** Milliseconds after the client's line: `wait` where that is enough for any check, otherwise the next of even steps. */
export function refusalDue({ spent, wait, pause, slowestCheck }: RefusalTimes): number {
  const step = Math.max(pause, checkMargin * slowestCheck);
  const due = Math.max(wait, step);
  return spent <= due ? due : Math.ceil(spent / step) * step;
}
