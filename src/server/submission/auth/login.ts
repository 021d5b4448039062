/** Credentials checked: what the client hears, what the log notes, and how long a refusal takes. */

import { loginKey } from "../../../passwd/passwordfile.ts";
import type { Verdict } from "../../../passwd/verifier.ts";
import { reply } from "../../../smtp/reply.ts";
import { log } from "../../log/log.ts";
import type { Attempt } from "../limits/auth-rate-limiter.ts";
import { whenAgain } from "../limits/sliding-window.ts";
import { type Answer, answer, clientName, type Session, type Submission } from "../session.ts";
import { carryOn } from "../verbs.ts";
import type { Credentials, Question } from "./exchange.ts";

const later = reply(454, "4.7.0", "Passwords cannot be checked at the moment, please try again later");
/** RFC 5248 registers X.7.13 for this: said only after the right password, so that nobody else learns it. */
const frozen = reply(525, "5.7.13", "This login is disabled; please ask the people who run this server");
const welcome = reply(235, "2.7.0", "Authentication successful");

/** What becomes of an attempt. */
interface Outcome {
  readonly answer: Answer;
  /** Milliseconds from the client's line at least; undefined where it hears at once. */
  readonly wait?: number;
}

/** Goes on with AUTH where that depends on the password file. */
export async function settle(
  session: Session,
  next: Credentials | Question,
  submission: Submission,
): Promise<Answer> {
  const { steady, pause, dearest, patience } = submission;
  const began = steady();
  const { answer: given, wait } = await tried(session, next, submission);
  const { next: further } = given;
  if (typeof further === "object" && "login" in further) return settle(given.session, further, submission);
  if (wait === undefined) return given;
  const times = { wait, pause: patience.wrongPassword, dearest: await dearest() };
  const spent = steady() - began;
  await pause(answeredAfter({ spent, ...times }) - spent);
  return given;
}

/** One attempt, by the brake's leave. It is over when it is known what comes of it, not when the client hears so. */
async function tried(
  session: Session,
  next: Credentials | Question,
  submission: Submission,
): Promise<Outcome> {
  const { brake, domain, proofs, verify } = submission;
  // Whoever has been let as far as a verdict has an answer coming.
  if ("verdict" in next && next.verdict) return judged(session, next, next.verdict, submission);
  const own = attempt(session, next.login, domain);
  const password = "password" in next ? next.password : undefined;
  const leave = await brake.enter(own, password);
  try {
    const until = brake.shut(own, password);
    if (until !== undefined) return braked(session, next, until, submission);
    if (!("ask" in next)) return judged(session, next, await verify(next.login, next.password), submission);
    const given = carryOn(session, await next.ask(proofs));
    const { next: further } = given;
    const isShown = typeof further === "object" && "verdict" in further && further.verdict;
    return isShown ? judged(given.session, further, further.verdict, submission) : { answer: given };
  } finally {
    leave();
  }
}

/** Answers AUTH by what `verdict` says. A failure is held back, the next one of the connection longer. */
function judged(
  session: Session,
  { mechanism, login, password, authzid }: Credentials,
  verdict: Verdict,
  { domain, brake, isFrozen, patience, wrongText }: Submission,
): Outcome {
  const note = { door: session.door, client: clientName(session), mechanism, login };
  if (verdict.kind === "unavailable") {
    log("auth-unavailable", { ...note, reason: verdict.reason });
    return { answer: answer(session, later), wait: 0 }; // it may be one login's hash that ends the thread
  }
  // RFC 4616 section 2: nobody acts for somebody else here. Login and address are one person, however they are written.
  const forSelf = authzid === "" || loginKey(authzid, domain) === loginKey(login, domain);
  if (verdict.kind === "accepted" && forSelf && isFrozen(verdict.login)) {
    log("auth-frozen", note);
    return { answer: answer({ ...session, errors: session.errors + 1 }, frozen) };
  }
  if (verdict.kind === "accepted" && forSelf) {
    log("auth-accepted", note);
    brake.succeeded(attempt(session, login, domain), password);
    const inside = { ...session, login: { name: verdict.login, mechanism }, wrongPasswords: 0 };
    return { answer: answer(inside, welcome) };
  }
  const reason = verdict.kind === "accepted" ? "would act for somebody else" : verdict.reason;
  const isVain = verdict.kind === "rejected" && verdict.isVain;
  log(isVain ? "auth-in-vain" : "auth-failed", { ...note, reason });
  const wrongPasswords = session.wrongPasswords + 1;
  const wait = brake.failed(attempt(session, login, domain), password);
  return {
    answer: answer(
      { ...session, wrongPasswords, errors: session.errors + 1 },
      reply(535, "5.7.8", wrongText),
    ),
    wait: Math.max(wrongPasswords, wait) * patience.wrongPassword,
  };
}

/** No look at the password. 454, because a client then asks nobody for another one (RFC 4954 section 6). */
function braked(
  session: Session,
  { mechanism, login }: Credentials | Question,
  until: number,
  { now }: Submission,
): Outcome {
  const note = { door: session.door, client: clientName(session), mechanism, login };
  log("auth-braked", { ...note, until: new Date(until).toISOString() });
  const text = `Too many wrong passwords from your network; try again ${whenAgain(until, now())}`;
  return {
    answer: answer({ ...session, errors: session.errors + 1 }, reply(454, "4.7.0", text)),
    wait: 0,
  };
}

/** All spellings of a login are the same one. */
const attempt = ({ address }: Session, login: string, domain: string): Attempt => ({
  login: loginKey(login, domain),
  address,
});

/**
 * When a refusal is answered: at a time that does not tell how long its check took, and so not who exists, what is
 * stored for somebody or whether the same was asked before.
 */

/** What a step has beyond the dearest check, for the way to the thread and back. Our choice. */
const room = 1.25;

/** All in milliseconds. */
export interface Refusal {
  /** Since the client's line was there. */
  readonly spent: number;
  /** What this refusal is to wait at least. */
  readonly wait: number;
  /** What any refusal is to wait at least. */
  readonly pause: number;
  /** What the dearest check takes that the password file can cause. */
  readonly dearest: number;
}

/** Milliseconds after the client's line: `wait` where that is enough for any check, else the next of even steps. */
export function answeredAfter({ spent, wait, pause, dearest }: Refusal): number {
  const step = Math.max(pause, room * dearest);
  const due = Math.max(wait, step);
  return spent <= due ? due : Math.ceil(spent / step) * step;
}
