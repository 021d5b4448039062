/** Credentials checked: what the client hears, what the log notes, and how long a wrong password takes. */
import { setTimeout as pause } from "node:timers/promises";
import { reply } from "../../smtp/reply.ts";
import { log } from "../observe/log.ts";
import type { Credentials, Question } from "./exchange.ts";
import { type Answer, answer, clientName, type Session } from "./session.ts";
import type { Submission } from "./submission.ts";
import { carryOn } from "./verbs.ts";

const later = reply(454, "4.7.0", "Passwords cannot be checked at the moment, please try again later");
const welcome = reply(235, "2.7.0", "Authentication successful");

/** Goes on with AUTH where that depends on the password file. */
export async function settle(
  session: Session,
  next: Credentials | Question,
  submission: Pick<Submission, "verify" | "proofs" | "patience" | "wrongText">,
): Promise<Answer> {
  if (!("ask" in next)) return authenticate(session, next, submission);
  const given = carryOn(session, await next.ask(submission.proofs));
  return typeof given.next === "object" ? settle(given.session, given.next, submission) : given;
}

/** Answers AUTH once `verify` has spoken. A failure is held back, the next one of the connection longer. */
async function authenticate(
  session: Session,
  { mechanism, login, password, authzid, verdict: shown }: Credentials,
  { verify, patience, wrongText }: Pick<Submission, "verify" | "patience" | "wrongText">,
): Promise<Answer> {
  const verdict = shown ?? (await verify(login, password));
  const note = { door: session.door, client: clientName(session), mechanism, login };
  if (verdict.kind === "unavailable") {
    log("auth-unavailable", { ...note, reason: verdict.reason });
    return answer(session, later);
  }
  // RFC 4616 section 2: nobody acts for somebody else here.
  const forSelf =
    authzid === "" || authzid === login || (verdict.kind === "accepted" && authzid === verdict.login);
  if (verdict.kind === "accepted" && forSelf) {
    log("auth-accepted", note);
    return answer({ ...session, login: { name: verdict.login, mechanism }, wrongPasswords: 0 }, welcome);
  }
  const reason = verdict.kind === "accepted" ? "would act for somebody else" : verdict.reason;
  log("auth-failed", { ...note, reason });
  const wrongPasswords = session.wrongPasswords + 1;
  await pause(wrongPasswords * patience.wrongPassword);
  return answer({ ...session, wrongPasswords, errors: session.errors + 1 }, reply(535, "5.7.8", wrongText));
}
