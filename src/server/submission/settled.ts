/** The answer to a command where it depends on passwords or on the disk: what verbs.ts, which is pure, leaves open. */
import { settle } from "./login.ts";
import { noRoom } from "./message/receive.ts";
import { type Answer, answer, type Session } from "./session.ts";
import type { Submission } from "./submission.ts";

/** What is to be done after all, where `given` was the answer so far and `before` the session until then. */
export async function settled(before: Session, given: Answer, submission: Submission): Promise<Answer> {
  const { session, next } = given;
  if (typeof next === "object" && "login" in next) return settle(session, next, submission);
  if (before.transaction || !session.transaction) return given;
  const refusal = await noRoom(submission, before, session.transaction.parameters.size ?? 0);
  return refusal ? answer(before, refusal) : given;
}
