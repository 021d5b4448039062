/**
 * What an operator does to one message, a row for each act. Each ends with what is on disk; whoever calls sees to it
 * that no attempt is under way meanwhile.
 */

import { errorCode, errorText, Failure } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { newReporter } from "../dsn/report.ts";
import { log, logBug } from "../log/log.ts";
import { openRecorder, type RecorderDependencies } from "../queue/recorder.ts";
import type { Scheduler } from "../queue/scheduler.ts";
import { conclude, isOpen, type RetryPolicy, wanting } from "../queue/verdict.ts";
import type { Envelope, LastReply } from "../spool/envelope.ts";
import { isDamaged, type Spool } from "../spool/spool.ts";
import type { Frost, FrozenLogins } from "./frozen-logins.ts";
import {
  type Act,
  type ActOrder,
  type FreezeOrder,
  type FreezeResult,
  type Melt,
  nameOperator,
  type ThawOrder,
} from "./protocol.ts";
import { sentBy, type View } from "./query.ts";

/** Who is at the doors, and what they have sent. */
export interface People {
  /** Ends the sessions of `login` and gives how many there were. */
  readonly endSessions: (login: string) => number;
  /** Why `login` is nobody's, or "" where it is somebody's or that is not known. */
  readonly unheardOf: (login: string) => Promise<string>;
  /** Accepted of `login`: messages within an hour, recipients within a day. */
  readonly sent: (login: string) => { readonly messages: number; readonly recipients: number };
}

/** Enough to change it. */
export interface Floor extends View {
  readonly spool: Spool;
  readonly frozen: FrozenLogins;
  readonly frost: Frost;
  readonly people: People;
  /** For what the sender is told. */
  readonly books: RecorderDependencies;
  readonly patience: RetryPolicy;
  readonly change: Scheduler["change"];
  readonly forget: Scheduler["forget"];
}

/** Whose queue it is when a relay runs. */
type Hands = Pick<Scheduler, "active" | "change" | "forget" | "wake">;

/** What a floor is laid on; `hostname` signs reports. */
export type Ground = Pick<Floor, "spool" | "frozen" | "frost" | "people" | "patience" | "now"> & {
  readonly hostname: string;
};

/** The queue in the hands of a relay; without it the spool alone, where a report waits for the next start. */
export function layFloor(
  { hostname, ...ground }: Ground,
  { active, change, forget, wake }: Hands = withoutScheduler(ground.spool),
): Floor {
  const { spool, patience, now } = ground;
  const report = newReporter(spool, hostname, now);
  return { ...ground, books: { spool, report, lifetime: patience.lifetime, wake }, active, change, forget };
}

function withoutScheduler(spool: Spool): Hands {
  return {
    active: () => new Set(),
    async change(id, work) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) return false;
      await work(envelope);
      return true;
    },
    forget: () => undefined,
    wake: () => undefined,
  };
}

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

// Freezing a login and thawing it: what that means for who is at the doors and what is in the queue.

const hour = 3_600_000;
const oneDay = 24 * hour;

/**
 * From the first line on nobody logs in as `login`, and nothing of it is accepted or sent; when the answer comes, that
 * survives a power cut.
 */
export async function* freeze(
  { login, reason, by }: FreezeOrder,
  floor: Floor,
): AsyncGenerator<FreezeResult> {
  const { frozen, people, now } = floor;
  const already = frozen.of(login) !== undefined;
  const durable = frozen.freeze({ login, at: now(), by: nameOperator(by), reason });
  let sessions = people.endSessions(login);
  await durable;
  sessions += people.endSessions(login); // a login that was being answered in that moment
  const unheardOf = await people.unheardOf(login);
  const here = { held: 0, active: 0, lastHour: 0, lastDay: 0 };
  for await (const { id, status, envelope } of sentBy(login, floor)) {
    if (status === "active") here.active++;
    here.held++;
    goOn(id, floor);
    const age = now() - envelope.accepted;
    if (age < hour) here.lastHour++;
    if (age < oneDay) here.lastDay += waitingRecipients(envelope);
  }
  const sent = people.sent(login);
  log("login-frozen", { login, by: nameOperator(by), reason, sessions, held: here.held });
  yield {
    login,
    unheardOf,
    already,
    sessions,
    held: here.held,
    active: here.active,
    lastHour: { accepted: sent.messages, here: here.lastHour },
    lastDay: { accepted: sent.recipients, here: here.lastDay },
  };
}

/** Lets `login` in again, and its messages go on, but for those that are held for a reason of their own. */
export async function* thaw({ login, by }: ThawOrder, floor: Floor): AsyncGenerator<Melt> {
  const wasFrozen = await floor.frozen.thaw(login);
  const melt = { released: 0, stillHeld: 0 };
  if (wasFrozen) {
    for await (const { id, envelope } of sentBy(login, floor)) {
      if (envelope.held === undefined) melt.released++;
      else melt.stillHeld++;
      goOn(id, floor);
    }
    log("login-thawed", { login, by: nameOperator(by), ...melt });
  }
  yield { login, wasFrozen, ...melt };
}

/** Nothing to write: the scheduler goes on by what it reads now. An attempt that hangs is not waited for. */
function goOn(id: string, { change }: Floor): void {
  change(id, async (unchanged) => unchanged).catch((error: unknown) => {
    if (error instanceof Failure || errorCode(error) !== "")
      log("spool-trouble", { id, reason: errorText(error) });
    else logBug(`freezing or thawing ${id}`, error);
  });
}

const waitingRecipients = ({ recipients }: Envelope): number =>
  recipients.filter(({ state }) => state === "waiting").length;
