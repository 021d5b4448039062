/** Credentials checked: what the client hears, what the log notes, and how long a wrong password takes. */
import { setTimeout as pause } from "node:timers/promises";
import { loginKey } from "../../passwd/passwordfile.ts";
import { reply } from "../../smtp/reply.ts";
import { log } from "../observe/log.ts";
import type { Attempt } from "./limits/brake.ts";
import { whenAgain } from "./limits/when.ts";
import type { Credentials, Question } from "./sasl/exchange.ts";
import { type Answer, answer, clientName, type Session } from "./session.ts";
import type { Submission } from "./submission.ts";
import { carryOn } from "./verbs.ts";

const later = reply(454, "4.7.0", "Passwords cannot be checked at the moment, please try again later");
/** RFC 5248 registers X.7.13 for this: said only after the right password, so that nobody else learns it. */
const frozen = reply(525, "5.7.13", "This login is disabled; please ask the people who run this server");
const welcome = reply(235, "2.7.0", "Authentication successful");

/** Goes on with AUTH where that depends on the password file. */
export async function settle(
  session: Session,
  next: Credentials | Question,
  submission: Submission,
): Promise<Answer> {
  const { brake, domain } = submission;
  const isJudged = "verdict" in next; // whoever has been let as far as that has an answer coming
  const until = isJudged ? undefined : brake.shut(attempt(session, next.login, domain));
  if (until !== undefined) return braked(session, next, until, submission);
  if (!("ask" in next)) return authenticate(session, next, submission);
  const given = carryOn(session, await next.ask(submission.proofs));
  const { next: further } = given;
  return typeof further === "object" && "login" in further
    ? settle(given.session, further, submission)
    : given;
}

/** Answers AUTH once `verify` has spoken. A failure is held back, the next one of the connection longer. */
async function authenticate(
  session: Session,
  { mechanism, login, password, authzid, verdict: shown }: Credentials,
  { domain, verify, brake, isFrozen, patience, wrongText }: Submission,
): Promise<Answer> {
  const verdict = shown ?? (await verify(login, password));
  const note = { door: session.door, client: clientName(session), mechanism, login };
  if (verdict.kind === "unavailable") {
    log("auth-unavailable", { ...note, reason: verdict.reason });
    return answer(session, later);
  }
  // RFC 4616 section 2: nobody acts for somebody else here. Login and address are one person, however they are written.
  const forSelf = authzid === "" || loginKey(authzid, domain) === loginKey(login, domain);
  if (verdict.kind === "accepted" && forSelf && isFrozen(verdict.login)) {
    log("auth-frozen", note);
    return answer({ ...session, errors: session.errors + 1 }, frozen);
  }
  if (verdict.kind === "accepted" && forSelf) {
    log("auth-accepted", note);
    brake.succeeded(attempt(session, login, domain));
    return answer({ ...session, login: { name: verdict.login, mechanism }, wrongPasswords: 0 }, welcome);
  }
  const reason = verdict.kind === "accepted" ? "would act for somebody else" : verdict.reason;
  const isVain = verdict.kind === "rejected" && verdict.isVain;
  log(isVain ? "auth-in-vain" : "auth-failed", { ...note, reason });
  const wrongPasswords = session.wrongPasswords + 1;
  const wait = brake.failed(attempt(session, login, domain), password);
  await pause(Math.max(wrongPasswords, wait) * patience.wrongPassword);
  return answer({ ...session, wrongPasswords, errors: session.errors + 1 }, reply(535, "5.7.8", wrongText));
}

/** No look at the password. 454, because a client then asks nobody for another one (RFC 4954 section 6). */
async function braked(
  session: Session,
  { mechanism, login }: Credentials | Question,
  until: number,
  { patience, now }: Submission,
): Promise<Answer> {
  const note = { door: session.door, client: clientName(session), mechanism, login };
  log("auth-braked", { ...note, until: new Date(until).toISOString() });
  await pause(patience.wrongPassword);
  const text = `Too many wrong passwords from your network; try again ${whenAgain(until, now())}`;
  return answer({ ...session, errors: session.errors + 1 }, reply(454, "4.7.0", text));
}

/** All spellings of a login are the same one. */
const attempt = ({ address }: Session, login: string, domain: string): Attempt => ({
  login: loginKey(login, domain),
  address,
});
