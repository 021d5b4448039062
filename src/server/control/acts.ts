/**
 * What an operator does to one message, a row for each act. Each ends with what is on disk; whoever calls sees to it
 * that no attempt is under way meanwhile.
 */
import { type Reply, reply } from "../../smtp/reply.ts";
import { log } from "../log/log.ts";
import { openRecorder } from "../queue/recorder.ts";
import { conclude, isOpen, wanting } from "../queue/verdict.ts";
import type { Envelope, LastReply } from "../spool/envelope.ts";
import type { Floor } from "./floor.ts";
import { nameOperator } from "./operator.ts";
import type { Act, ActOrder } from "./order.ts";

/** How the message stands afterwards (undefined: it is gone), or why nothing was done. */
export type Effect =
  | { readonly envelope: Envelope | undefined; readonly says: string }
  | { readonly outcome: "skipped" | "failed"; readonly says: string };

type Row = (envelope: Envelope, order: ActOrder, floor: Floor) => Promise<Effect>;

export const deeds: Readonly<Record<Act, Row>> = { hold, release, retry, bounce, drop, redirect };

async function hold(envelope: Envelope, { reason, by }: ActOrder, floor: Floor): Promise<Effect> {
  const { held } = envelope;
  if (held !== undefined && !floor.frost.is(held)) return skipped("held already");
  return recorded({ ...envelope, held: { at: floor.now(), by: nameOperator(by), reason } }, floor);
}

async function release(envelope: Envelope, _: ActOrder, floor: Floor): Promise<Effect> {
  const { held, ...free } = envelope;
  if (held === undefined) return skipped("not held");
  if (floor.frost.is(held)) return skipped(`${held.reason}; queue thaw releases what it sent`);
  const next = floor.frost.on({ ...free, due: floor.now() });
  return recorded(next, floor, next.held === undefined ? "" : `stays held: ${next.held.reason}`);
}

async function retry(envelope: Envelope, _: ActOrder, floor: Floor): Promise<Effect> {
  if (envelope.held !== undefined) return skipped("held; release it first");
  return recorded({ ...envelope, due: floor.now() }, floor);
}

async function redirect(envelope: Envelope, { relay }: ActOrder, floor: Floor): Promise<Effect> {
  const { relay: before, ...plain } = envelope;
  if (relay === "" && before === undefined) return skipped("not redirected");
  const next = { ...plain, due: floor.now(), ...(relay === "" ? {} : { relay }) };
  return recorded(next, floor, envelope.held === undefined ? "" : "goes there when it is released");
}

/** Without a word to anybody. */
async function drop({ id }: Envelope, _: ActOrder, { spool }: Floor): Promise<Effect> {
  await spool.remove(id); // the promise is withdrawn: an operator's right, in the log with the name
  log("removed", { id });
  return { envelope: undefined, says: "" };
}

/** As if every next hop had refused it for good, in the operator's words. */
async function bounce(envelope: Envelope, { reason }: ActOrder, floor: Floor): Promise<Effect> {
  const { books, patience, now } = floor;
  const { id, accepted } = envelope;
  const refusal: LastReply = { ...refusalFor(reason), relay: "none", command: "", at: now() };
  const waiting = envelope.recipients.filter(isOpen);
  const { held: _, ...free } = envelope;
  const ledger = openRecorder({ envelope: free, unreported: [] }, books);
  ledger.note(waiting.map((recipient) => ({ recipient, reply: refusal, transmitting: 0 })));
  const verdict = conclude(ledger.state().envelope, patience, now(), 0);
  if (!(await ledger.close(verdict))) {
    // The log says why. What is on disk is as it was, unless the disk refused the last step only.
    return { outcome: "failed", says: "the spool could not be written; the log says why" };
  }
  const delay = (now() - accepted) / 1000;
  for (const { address: to } of waiting) {
    log("delivery", { id, to, relay: "none", delays: [delay, 0, 0, 0], reply: refusal, command: "" });
  }
  const told = wanting("FAILURE", free, verdict.failed).length > 0;
  return { envelope: undefined, says: told ? "" : "without a report, which nobody wants" };
}

const standardRefusal = "The operators of this server gave the message up";

/** RFC 3463: words that begin with a status code of permanent failure bring their own. */
function refusalFor(reason: string): Reply {
  const [, status = "5.0.0", text = ""] = /^(?:(5\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)$/s.exec(reason) ?? [];
  return reply(554, status, text === "" ? standardRefusal : text);
}

const skipped = (says: string): Effect => ({ outcome: "skipped", says });

async function recorded(envelope: Envelope, { spool }: Floor, says = ""): Promise<Effect> {
  await spool.record(envelope);
  return { envelope, says };
}
