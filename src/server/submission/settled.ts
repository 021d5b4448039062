/** The answer to a command where it depends on passwords or on the disk: what verbs.ts, which is pure, leaves open. */
import { settle } from "./login.ts";
import { noRoom } from "./message/receive.ts";
import { type Answer, answer, type Session } from "./session.ts";
import type { Submission } from "./submission.ts";

/** What is to be done after all, where `given` was the answer so far and `before` the session until then. */
export async function settled(before: Session, given: Answer, submission: Submission): Promise<Answer> {
  const { session, next } = given;
  if (typeof next === "object" && "login" in next) {
    // Asked for before the check: who is let in by a hash that goes meanwhile is sent away at the next command.
    const hashes = (before.exchange && before.asked) ?? (await submission.hashes(next.login));
    return remembering(hashes, await settle(session, next, submission));
  }
  if (before.transaction || !session.transaction) return given;
  const refusal = await noRoom(submission, before, session.transaction.parameters.size ?? 0);
  return refusal ? answer(before, refusal) : given;
}

/** With what the login was let in, once it is; until then what its keys were when they were asked for. */
function remembering(hashes: readonly string[], given: Answer): Answer {
  const { session } = given;
  const { login, exchange } = session;
  const asked = exchange ? hashes : undefined;
  return { ...given, session: { ...session, asked, login: login && { ...login, hashes } } };
}
