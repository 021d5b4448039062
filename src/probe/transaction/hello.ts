/** EHLO, LHLO or HELO, and what comes of it. */

import { keywordsIn } from "../../smtp/client/ehlo.ts";
import type { Stop } from "../plan.ts";
import { explainOffers, explainRefusal } from "../transcript/explain.ts";
import { type Ending, quit } from "./ending.ts";
import type { Outcome } from "./exit.ts";
import type { Session } from "./session.ts";

/** Says who we are; where EHLO is refused, HELO (RFC 5321 section 3.2). Returns an ending of `outcome` when both are. */
export async function sayHello(session: Session, stop: Stop, outcome: Outcome): Promise<Ending | undefined> {
  const { core, helo } = session.plan.protocol;
  session.isHelloDue = false;
  const verb = ({ smtp: "HELO", esmtp: "EHLO", lmtp: "LHLO" } as const)[core];
  const answer = await session.talk.ask(stop, `${verb} ${helo}`, "250");
  session.offers = answer.ok && verb !== "HELO" ? keywordsIn(answer.lines) : new Map();
  if (answer.ok) {
    explainOffers(session.transcript, session.offers);
    return undefined;
  }
  if (answer.ending !== undefined) return answer.ending;
  explainRefusal(session.transcript, answer.lines);
  if (core !== "esmtp" || session.talk.isLate()) return quit(outcome);
  const second = await session.talk.ask(stop, `HELO ${helo}`, "250");
  return second.ok ? undefined : (second.ending ?? quit(outcome));
}
