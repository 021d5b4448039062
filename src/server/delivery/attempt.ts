/**
 * One message to one destination: tries its hosts in order until one answers, then runs a transaction, or several if
 * there are many recipients. A recipient without an outcome was not tried, because `signal` was raised first.
 */

import { domainOf } from "../../smtp/address.ts";
import { isPermanent, isPositive, type Reply, reply } from "../../smtp/reply.ts";
import type { LastReply, Recipient } from "../spool/envelope.ts";
import { type OutgoingMessage, planTransaction, type RecipientOutcome } from "./message/outgoing-message.ts";
import { type NextHop, peer, peerWithPort } from "./next-hop.ts";
import { newSession, sessionKey } from "./session.ts";
import { answerToReset, type DeliverySession, type Offer } from "./session-pool.ts";
import type { TlsFailure } from "./tls/observation.ts";
import { type ReportActivity, reportNothing, transact } from "./transaction.ts";
import type { TransportSettings } from "./transport-settings.ts";

/** RFC 5321 section 4.5.3.1.8: every server must accept as many in one transaction. */
const mostRecipients = 100;

/** Ends a session. It becomes no recipient's reply, because `signal` was raised first. */
const outOfTime = reply(451, "4.4.2", "out of time");

/** The result of one host. */
interface HostOutcome {
  readonly outcomes: readonly RecipientOutcome[];
  /** Recipients it gave no reply for: another host may be tried. */
  readonly left: readonly Recipient[];
  /** Why it takes no further transaction, as a temporary reply. */
  readonly end?: Reply;
}

/** The same for all hosts of an attempt. */
interface AttemptContext {
  readonly settings: TransportSettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly report: ReportActivity;
  readonly observe: ObserveHop;
  /** Whether there is one host at one address, so that all messages for this destination go there. */
  readonly isOnly: boolean;
}

/** Hears how TLS with a host went; the failure is absent if it went well. */
export type ObserveHop = (hop: NextHop, failure: TlsFailure | undefined) => void;

/** Hands a session on when only the reply is missing, as a session pool does. */
type HandOn = (givenUp: () => void) => Offer | undefined;

const keepToOneself: HandOn = () => undefined;

/** Delivers `message` through the first of `hops` that accepts a session. */
export async function attempt(
  message: OutgoingMessage,
  hops: readonly NextHop[],
  settings: TransportSettings,
  now: () => number,
  signal: AbortSignal,
  report: ReportActivity = reportNothing,
  observe: ObserveHop = () => undefined,
): Promise<readonly RecipientOutcome[]> {
  const context = { settings, now, signal, report, observe, isOnly: hops.length === 1 };
  const outcomes: RecipientOutcome[] = [];
  let left = message.recipients;
  let end: Reply | undefined;
  for (const hop of hops) {
    if (left.length === 0 || signal.aborted) break;
    const outcome = await tryHost(hop, withRecipients(message, left), context);
    outcomes.push(...outcome.outcomes);
    left = outcome.left;
    // A host that is unreachable now may come back, so another host's permanent failure does not decide.
    if (outcome.end && !(end && isPermanent(outcome.end))) end = outcome.end;
  }
  if (signal.aborted || end === undefined) return outcomes;
  return [...outcomes, ...unreached(left, end, now())];
}

/** The same reply of our own for all `recipients`: no host was asked. `at` is in milliseconds since the epoch. */
export function unreached(
  recipients: readonly Recipient[],
  reason: Reply,
  at: number,
): readonly RecipientOutcome[] {
  const reply: LastReply = { ...reason, relay: "none", command: "", at };
  return recipients.map((recipient) => ({ recipient, reply, transmitting: 0 }));
}

async function tryHost(
  hop: NextHop,
  message: OutgoingMessage,
  context: AttemptContext,
): Promise<HostOutcome> {
  const { settings, signal, report, observe } = context;
  const outcomes: RecipientOutcome[] = [];
  const { sessions } = settings;
  const key = sessionKey(hop, settings);
  let left = message.recipients;
  for (let needsNew = false; left.length > 0 && !signal.aborted; ) {
    report("talks");
    const idle = needsNew ? undefined : sessions?.take(key);
    const session = idle ?? (await newSession(hop, settings, signal, (failure) => observe(hop, failure)));
    report("works");
    if ("reply" in session) return { outcomes, left, end: session.reply };
    const handOn: HandOn = (givenUp) => {
      const offer = sessions?.handOn(key, session, givenUp);
      // To one of several hosts that is near, others would open a connection to another one, one more than there may be.
      if (offer?.withdraw === undefined || context.isOnly) return offer;
      offer.withdraw();
      return undefined;
    };
    const outcome = await runTransactions(session, hop, withRecipients(message, left), context, handOn);
    outcomes.push(...outcome.outcomes);
    left = outcome.left;
    if (outcome.end === undefined && sessions) sessions.keep(key, session);
    else if (outcome.end === undefined) session.connection.quit();
    else if (sessions) sessions.drop(session);
    else session.connection.close();
    // A reused session that breaks says nothing about the host, so a new one is tried.
    if (outcome.end !== undefined && !session.reused) return { outcomes, left, end: outcome.end };
    needsNew = outcome.end !== undefined;
  }
  return { outcomes, left };
}

/** Runs as many transactions in one session as the recipients need and the host allows, unless it was handed on. */
async function runTransactions(
  session: DeliverySession,
  hop: NextHop,
  message: OutgoingMessage,
  context: AttemptContext,
  handOn: HandOn,
): Promise<HostOutcome> {
  const { connection } = session;
  const { sessions } = context.settings;
  const ready = context.now();
  const outcomes: RecipientOutcome[] = [];
  let most = Math.min(mostRecipients, connection.limits.recipients);
  let left = message.recipients;
  let end: Reply | undefined;
  while (left.length > 0 && end === undefined && !context.signal.aborted) {
    if (session.uses > 0 && session.uses >= connection.limits.mails) break;
    const some = withRecipients(message, recipientsWithin(left, most, connection.limits.domains));
    session.uses += 1;
    const isLast = some.recipients.length === left.length;
    const transaction = await transactOnce(
      session,
      hop,
      some,
      context,
      ready,
      isLast ? handOn : keepToOneself,
    );
    const { settled, crowdedOut, taken } = withoutCrowdedOut(transaction.outcomes);
    outcomes.push(...settled);
    left = [...crowdedOut, ...transaction.left, ...left.slice(some.recipients.length)];
    if (crowdedOut.length > 0) most = taken;
    end = transaction.end;
    session.needsReset = !settled.some(({ reply }) => reply.command === "end of DATA" && isPositive(reply));
    if (sessions?.isTaken(session)) break; // the next transaction in it is another delivery's
  }
  return { outcomes, left, ...(end && { end }) };
}

/** The message for `recipients`; itself where those are its own, as they mostly are. */
const withRecipients = (message: OutgoingMessage, recipients: readonly Recipient[]): OutgoingMessage =>
  recipients === message.recipients ? message : { ...message, recipients };

/** The first `most` of `recipients`, or fewer, so that they have at most so many `domains`. */
function recipientsWithin(
  recipients: readonly Recipient[],
  most: number,
  domains: number,
): readonly Recipient[] {
  if (recipients.length === 1) return recipients; // each limit is one at least
  const seen = new Set<string>();
  const over = recipients.slice(0, most).findIndex(({ address }) => {
    seen.add(domainOf(address).toLowerCase());
    return seen.size > domains;
  });
  return recipients.slice(0, over < 0 ? most : over);
}

/**
 * RFC 5321 section 4.5.3.1.10: recipients refused with 452 only because the transaction has too many go into another
 * one at once.
 */
function withoutCrowdedOut(outcomes: readonly RecipientOutcome[]): {
  readonly settled: readonly RecipientOutcome[];
  readonly crowdedOut: readonly Recipient[];
  readonly taken: number;
} {
  const taken = outcomes.filter(({ reply }) => reply.command === "end of DATA").length;
  const tooMany = ({ reply: { code, status, command } }: RecipientOutcome): boolean =>
    taken > 0 && code === 452 && command === "RCPT TO" && (status === "4.5.3" || status === "4.0.0");
  return {
    settled: outcomes.filter((outcome) => !tooMany(outcome)),
    crowdedOut: outcomes.filter(tooMany).map(({ recipient }) => recipient),
    taken,
  };
}

/** Runs one transaction. `end` is set if it must be the session's last. */
async function transactOnce(
  session: DeliverySession,
  hop: NextHop,
  message: OutgoingMessage,
  { settings, now, signal, report }: AttemptContext,
  ready: number,
  handOn: HandOn,
): Promise<HostOutcome> {
  const { connection, uses, needsReset, before } = session;
  const planned = planTransaction(message, connection, peer(hop), signal);
  const plan = planned instanceof Promise ? await planned : planned;
  if (plan === undefined) return { outcomes: [], left: message.recipients, end: outOfTime };
  const { commands, carried, refused, encoded } = plan;
  const own = refused.flatMap(({ recipient, reply }) => unreached([recipient], reply, now()));
  if (carried.length === 0) return { outcomes: own, left: [] };
  const body = { body: encoded.octets ?? encoded.body(), size: encoded.size };
  session.before = undefined;
  const { replies, tryElsewhere, end } = await transact(connection, hop, commands, body, {
    signal,
    timeouts: settings.timeouts,
    report,
    handOn,
    isTaken: () => settings.sessions?.isTaken(session) === true,
    ...((needsReset || before) && { reset: answerToReset }),
    ...(before && { before }),
    mayEnd: message.mayEnd,
  });
  const at = now();
  const here = settings.protocol === "lmtp" ? "delivered" : "relayed";
  const taken = connection.offers("DSN") ? "onward" : here;
  const outcomes: RecipientOutcome[] = [...own];
  const left: Recipient[] = [];
  for (const [number, recipient] of carried.entries()) {
    const { reply, command } = replies[number] ?? { reply: end, command: "" };
    if (command === "" && tryElsewhere) left.push(recipient);
    if (reply === undefined || (command === "" && (tryElsewhere || signal.aborted))) continue;
    const last: LastReply = { ...reply, relay: command === "" ? "none" : peerWithPort(hop), command, at };
    outcomes.push({
      recipient,
      reply: last,
      transmitting: at - ready,
      ...(isPositive(reply) && { taken }),
      ...(uses > 1 && { use: uses }),
      ...(session.tls !== undefined && command !== "" && { tls: session.tls }),
    });
  }
  return { outcomes, left, ...(end && { end }) };
}
