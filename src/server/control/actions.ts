/**
 * What operators do to a message, a row for each action, and to a login: freeze and thaw. An action on a message ends
 * with what is on disk; the caller makes sure that no attempt is under way meanwhile.
 */

import { errorCode, errorText, Failure } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { type ContactOf, newReporter } from "../dsn/report.ts";
import { log, logBug } from "../log/log.ts";
import { openRecorder, type RecorderDependencies } from "../queue/recorder.ts";
import type { Scheduler } from "../queue/scheduler.ts";
import { conclude, isOpen, type RetryPolicy, wanting } from "../queue/verdict.ts";
import type { Envelope, LastReply } from "../spool/envelope.ts";
import type { SentEntry } from "../spool/parcel.ts";
import { isDamaged, type Spool } from "../spool/spool.ts";
import type { FreezeHold, FrozenLogins } from "./frozen-logins.ts";
import {
  type ActionName,
  type ActionRequest,
  type FreezeRequest,
  type FreezeResult,
  type FrozenLogin,
  type LimitUse,
  type LoginBlock,
  type LoginRequest,
  type LoginState,
  nameOperator,
  type RelayState,
  type ThawRequest,
  type ThawResult,
  type UnblockRequest,
  type UnblockResult,
} from "./protocol.ts";
import { type ReadView, sentBy } from "./query.ts";

/** The sessions of clients, and what their logins have sent. */
export interface SubmissionSessions {
  /** How many sessions of `login` there are. */
  readonly sessionsOf: (login: string) => number;
  /** Ends the sessions of `login` and gives how many there were. */
  readonly endSessions: (login: string) => number;
  /** Why there is no such login, or "" where there is one, or where that is not known. */
  readonly whyUnknown: (login: string) => Promise<string>;
  /** Accepted of `login`: messages within an hour, recipients within a day. */
  readonly sent: (login: string) => { readonly messages: number; readonly recipients: number };
  /** What `login` has used of its limits, and from where no password of it is checked at the moment. */
  readonly limitsOf: (login: string) => readonly LimitUse[];
  readonly blocksOf: (login: string) => readonly LoginBlock[];
  /** Forgets wrong passwords, and gives how many blocks that ended. */
  readonly unblock: (what: { readonly login: string } | { readonly address: string }) => number;
  /** Counts for the limits what a login sent elsewhere. */
  readonly addSent: (entry: SentEntry) => void;
}

/**
 * What actions work on: the queue of a running relay, where a delivery may be under way at any moment, or the spool
 * alone, while no other process has it.
 */
export interface ActionContext extends ReadView {
  readonly spool: Spool;
  readonly frozen: FrozenLogins;
  readonly freezeHold: FreezeHold;
  readonly sessions: SubmissionSessions;
  /** For the reports to senders. */
  readonly recorderDependencies: RecorderDependencies;
  readonly retryPolicy: RetryPolicy;
  /** How the relay is; undefined where none runs. */
  readonly relayState: () => Promise<RelayState | undefined>;
  readonly change: Scheduler["change"];
  readonly forget: Scheduler["forget"];
}

/** What a running relay adds: the scheduler of its queue. */
type SchedulerParts = Pick<Scheduler, "active" | "change" | "forget" | "wake">;

/** What a context is made of; `hostname` signs reports. */
export type ActionContextParts = Pick<
  ActionContext,
  "spool" | "frozen" | "freezeHold" | "sessions" | "retryPolicy" | "now" | "relayState" | "shared"
> & {
  readonly hostname: string;
  /** Whom reports tell their readers to ask. */
  readonly contactOf?: ContactOf;
};

/** With the scheduler of a running relay, or the spool alone, where a report waits for the next start. */
export function newActionContext(
  { hostname, contactOf, ...parts }: ActionContextParts,
  { active, change, forget, wake }: SchedulerParts = withoutScheduler(parts.spool),
): ActionContext {
  const { spool, retryPolicy, now } = parts;
  const report = newReporter(spool, hostname, now, contactOf);
  return {
    ...parts,
    recorderDependencies: { spool, report, lifetime: retryPolicy.lifetime, wake },
    active,
    change,
    forget,
  };
}

function withoutScheduler(spool: Spool): SchedulerParts {
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

/** The message afterwards (undefined: it is gone), or why nothing was done. */
export type Effect =
  | { readonly envelope: Envelope | undefined; readonly says: string }
  | { readonly outcome: "skipped" | "failed"; readonly says: string };

type Action = (envelope: Envelope, request: ActionRequest, context: ActionContext) => Promise<Effect>;

export const actions: Readonly<Record<ActionName, Action>> = { hold, release, retry, bounce, drop, redirect };

async function hold(
  envelope: Envelope,
  { reason, by }: ActionRequest,
  context: ActionContext,
): Promise<Effect> {
  const { held } = envelope;
  if (held !== undefined && !context.freezeHold.isOwn(held)) return skipped("held already");
  return recorded({ ...envelope, held: { at: context.now(), by: nameOperator(by), reason } }, context);
}

async function release(envelope: Envelope, _: ActionRequest, context: ActionContext): Promise<Effect> {
  const { held, ...free } = envelope;
  if (held === undefined) return skipped("not held");
  if (context.freezeHold.isOwn(held)) return skipped(`${held.reason}; queue thaw releases what it sent`);
  const next = context.freezeHold.applyTo({ ...free, due: context.now() });
  return recorded(next, context, next.held === undefined ? "" : `stays held: ${next.held.reason}`);
}

async function retry(envelope: Envelope, _: ActionRequest, context: ActionContext): Promise<Effect> {
  if (envelope.held !== undefined) return skipped("held; release it first");
  return recorded({ ...envelope, due: context.now() }, context);
}

async function redirect(
  envelope: Envelope,
  { relay }: ActionRequest,
  context: ActionContext,
): Promise<Effect> {
  const { relay: before, ...plain } = envelope;
  if (relay === "" && before === undefined) return skipped("not redirected");
  const next = { ...plain, due: context.now(), ...(relay === "" ? {} : { relay }) };
  return recorded(next, context, envelope.held === undefined ? "" : "goes there when it is released");
}

/** Nobody is told. */
async function drop({ id }: Envelope, _: ActionRequest, { spool }: ActionContext): Promise<Effect> {
  // An operator may withdraw the promise; the log says who did.
  if ((await spool.remove(id)) === "lost") return anothers;
  log("removed", { id });
  return { envelope: undefined, says: "" };
}

/** As if every next hop had refused it for good, with the text of the operator. */
async function bounce(
  envelope: Envelope,
  { reason }: ActionRequest,
  context: ActionContext,
): Promise<Effect> {
  const { recorderDependencies, retryPolicy, now } = context;
  const { id, accepted } = envelope;
  const refusal: LastReply = { ...refusalFor(reason), relay: "none", command: "", at: now() };
  const waiting = envelope.recipients.filter(isOpen);
  const { held: _, ...free } = envelope;
  const recorder = openRecorder({ envelope: free, unreported: [] }, recorderDependencies);
  recorder.note(waiting.map((recipient) => ({ recipient, reply: refusal, transmitting: 0 })));
  const verdict = conclude(recorder.state().envelope, retryPolicy, now(), 0);
  if (!(await recorder.close(verdict))) {
    // The log says why. What is on disk is as it was, unless the disk refused the last step only.
    return { outcome: "failed", says: "the spool could not be written; the log says why" };
  }
  if (recorder.isLost()) return anothers;
  const delay = (now() - accepted) / 1000;
  for (const { address: to } of waiting) {
    log("delivery", { id, to, relay: "none", delays: [delay, 0, 0, 0], reply: refusal, command: "" });
  }
  const isReported = wanting("FAILURE", free, verdict.failed).length > 0;
  return { envelope: undefined, says: isReported ? "" : "without a report, which nobody wants" };
}

const standardRefusal = "The operators of this server gave the message up";

/** RFC 3463: a reason that begins with the status code of a permanent failure has its own. */
function refusalFor(reason: string): Reply {
  const [, status = "5.0.0", text = ""] = /^(?:(5\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)$/s.exec(reason) ?? [];
  return reply(554, status, text === "" ? standardRefusal : text);
}

const anothers: Effect = { outcome: "failed", says: "another host delivers it now; try again" };

const skipped = (says: string): Effect => ({ outcome: "skipped", says });

async function recorded(envelope: Envelope, { spool }: ActionContext, says = ""): Promise<Effect> {
  if ((await spool.record(envelope)) === "lost") return anothers;
  return { envelope, says };
}

const hour = 3_600_000;
const oneDay = 24 * hour;

/**
 * From the first statement on nobody can log in as `login`, and nothing of it is accepted or sent. When the answer comes,
 * that survives a power cut.
 */
export async function* freeze(
  { login, reason, by }: FreezeRequest,
  context: ActionContext,
): AsyncGenerator<FreezeResult> {
  const { frozen, sessions, now } = context;
  const already = frozen.of(login) !== undefined;
  const durable = frozen.freeze({ login, at: now(), by: nameOperator(by), reason });
  let ended = sessions.endSessions(login);
  await durable;
  ended += sessions.endSessions(login); // a login that was being checked at that moment
  const whyUnknown = await sessions.whyUnknown(login);
  const here = { held: 0, active: 0, lastHour: 0, lastDay: 0 };
  for await (const { id, status, envelope } of sentBy(login, context)) {
    if (status === "active") here.active++;
    here.held++;
    wakeScheduler(id, context);
    const age = now() - envelope.accepted;
    if (age < hour) here.lastHour++;
    if (age < oneDay) here.lastDay += waitingRecipients(envelope);
  }
  const sent = sessions.sent(login);
  log("login-frozen", { login, by: nameOperator(by), reason, sessions: ended, held: here.held });
  yield {
    login,
    unheardOf: whyUnknown,
    already,
    sessions: ended,
    held: here.held,
    active: here.active,
    lastHour: { accepted: sent.messages, here: here.lastHour },
    lastDay: { accepted: sent.recipients, here: here.lastDay },
  };
}

/** Lets `login` in again. Its messages go on, except those that an operator holds. */
export async function* thaw({ login, by }: ThawRequest, context: ActionContext): AsyncGenerator<ThawResult> {
  const wasFrozen = await context.frozen.thaw(login);
  const counts = { released: 0, stillHeld: 0 };
  if (wasFrozen) {
    for await (const { id, envelope } of sentBy(login, context)) {
      if (envelope.held === undefined) counts.released++;
      else counts.stillHeld++;
      wakeScheduler(id, context);
    }
    log("login-thawed", { login, by: nameOperator(by), ...counts });
  }
  yield { login, wasFrozen, ...counts };
}

/** What a relay does about logins that another host freezes or thaws. */
export interface FreezeFollower {
  /** In force when it returns: the sessions of a login that was frozen end here as well. Thawed: without `frozen`. */
  changed(login: string, frozen: FrozenLogin | undefined): void;
  /** The messages of these logins are held here, or go on. Throws what reading the queue throws; call it again then. */
  settle(logins: ReadonlySet<string>): Promise<void>;
}

export interface FreezeFollowing extends Pick<ActionContext, "change"> {
  readonly frozen: Pick<FrozenLogins, "of">;
  readonly sessions: Pick<SubmissionSessions, "endSessions">;
  /** The messages of these logins that are to be delivered here, as they are stored. */
  readonly ownMessages: (logins: ReadonlySet<string>) => AsyncIterable<Envelope>;
}

export function newFreezeFollower(context: FreezeFollowing): FreezeFollower {
  const { frozen, sessions, ownMessages } = context;
  /** Sessions that ended, by login. */
  const ended = new Map<string, number>();

  function endSessions(login: string): void {
    ended.set(login, (ended.get(login) ?? 0) + sessions.endSessions(login));
  }

  function tell(login: string, { held, released }: { held: number; released: number }): void {
    const found = frozen.of(login);
    if (found === undefined) {
      log("login-thawed", { login, by: elsewhere, released, stillHeld: held });
      return;
    }
    endSessions(login); // a login that was being checked at that moment
    const { by, reason } = found;
    log("login-frozen", { login, by, reason, sessions: ended.get(login) ?? 0, held: held + released });
  }

  return {
    changed(login, now) {
      if (now !== undefined) endSessions(login);
    },
    async settle(logins) {
      const messages = new Map([...logins].map((login) => [login, { held: 0, released: 0 }]));
      for await (const { id, login, held } of ownMessages(logins)) {
        const counts = messages.get(login ?? "");
        if (counts !== undefined) counts[held === undefined ? "released" : "held"]++;
        wakeScheduler(id, context);
      }
      for (const [login, counts] of messages) {
        tell(login, counts);
        ended.delete(login);
      }
    },
  };
}

/** Who thawed it is in the log of the other host. */
const elsewhere = "another host";

/** What the relay knows of a login at this moment. */
export async function* loginState(
  { login }: LoginRequest,
  { frozen, sessions }: ActionContext,
): AsyncGenerator<LoginState> {
  const freeze = frozen.of(login);
  yield {
    login,
    unheardOf: await sessions.whyUnknown(login),
    ...(freeze !== undefined && { frozen: freeze }),
    sessions: sessions.sessionsOf(login),
    limits: sessions.limitsOf(login),
    blocks: sessions.blocksOf(login),
  };
}

/** Wrong passwords of a login, or from an address, are forgotten. */
export async function* unblock(
  { login, address, by }: UnblockRequest,
  { sessions }: ActionContext,
): AsyncGenerator<UnblockResult> {
  const lifted = sessions.unblock(login === "" ? { address } : { login });
  log("unblocked", { what: login === "" ? address : login, blocks: lifted, by: nameOperator(by) });
  yield { lifted };
}

/** Writes nothing: the scheduler reads the message again. Attempts that hang are not waited for. */
function wakeScheduler(id: string, { change }: Pick<ActionContext, "change">): void {
  change(id, async (unchanged) => unchanged).catch((error: unknown) => {
    if (error instanceof Failure || errorCode(error) !== "")
      log("spool-trouble", { id, reason: errorText(error) });
    else logBug(`freezing or thawing ${id}`, error);
  });
}

const waitingRecipients = ({ recipients }: Envelope): number =>
  recipients.filter(({ state }) => state === "waiting").length;
