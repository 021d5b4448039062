/**
 * One message to one destination: its hosts in order until one answers, then a transaction, or several where
 * the recipients are many. A recipient without an outcome was not tried, because `signal` came first.
 */

import { domainOf } from "../../smtp/address.ts";
import { isPermanent, isPositive, type Reply, reply } from "../../smtp/reply.ts";
import type { LastReply, Recipient } from "../spool/envelope.ts";
import { type OutgoingMessage, planFor, type RecipientOutcome } from "./message/outgoing-message.ts";
import { type NextHop, peer, peerWithPort } from "./next-hop.ts";
import { newSession, sessionKey } from "./session.ts";
import { isReset, type Session } from "./session-pool.ts";
import { type TellPace, tellNobody, transact } from "./transaction.ts";
import type { TransportSettings } from "./transport-settings.ts";

/** RFC 5321 section 4.5.3.1.8: what every server must take at a time. */
const mostRecipients = 100;

/** Ends a session; of the recipients that are left nobody hears it, for `signal` came first. */
const outOfTime = reply(451, "4.4.2", "out of time");

/** What one host had to say. */
interface Visit {
  readonly outcomes: readonly RecipientOutcome[];
  /** Recipients that it said nothing about: another host may. */
  readonly left: readonly Recipient[];
  /** Why there is nothing more to be had from it, as a temporary reply. */
  readonly end?: Reply;
}

/** What does not change while the hosts do. */
interface Journey {
  readonly terms: TransportSettings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signal: AbortSignal;
  readonly tell: TellPace;
}

/** Delivers `letter` by way of the first of `hops` that talks with us. */
export async function attempt(
  letter: OutgoingMessage,
  hops: readonly NextHop[],
  terms: TransportSettings,
  now: () => number,
  signal: AbortSignal,
  tell: TellPace = tellNobody,
): Promise<readonly RecipientOutcome[]> {
  const journey = { terms, now, signal, tell };
  const outcomes: RecipientOutcome[] = [];
  let left = letter.recipients;
  let end: Reply | undefined;
  for (const hop of hops) {
    if (left.length === 0 || signal.aborted) break;
    const visited = await visit(hop, { ...letter, recipients: left }, journey);
    outcomes.push(...visited.outcomes);
    left = visited.left;
    // Who cannot be reached now may come back: what others lack for good is no verdict before that.
    if (visited.end && !(end && isPermanent(visited.end))) end = visited.end;
  }
  if (signal.aborted || end === undefined) return outcomes;
  return [...outcomes, ...unreached(left, end, now())];
}

/** The same reply of our own for all `recipients`: nobody was asked. `at` in milliseconds since the epoch. */
export function unreached(
  recipients: readonly Recipient[],
  reason: Reply,
  at: number,
): readonly RecipientOutcome[] {
  const reply: LastReply = { ...reason, relay: "none", command: "", at };
  return recipients.map((recipient) => ({ recipient, reply, transmitting: 0 }));
}

async function visit(hop: NextHop, letter: OutgoingMessage, journey: Journey): Promise<Visit> {
  const { terms, signal, tell } = journey;
  const outcomes: RecipientOutcome[] = [];
  let left = letter.recipients;
  for (let fresh = false; left.length > 0 && !signal.aborted; ) {
    tell("talks");
    const kept = fresh ? undefined : await terms.sessions?.take(sessionKey(hop, terms), signal);
    const session = kept ?? (await newSession(hop, terms, signal));
    tell("works");
    if ("reply" in session) return { outcomes, left, end: session.reply };
    const sat = await sit(session, hop, { ...letter, recipients: left }, journey);
    outcomes.push(...sat.outcomes);
    left = sat.left;
    if (sat.end === undefined && terms.sessions) terms.sessions.keep(sessionKey(hop, terms), session);
    else if (sat.end === undefined) session.connection.quit();
    else session.connection.close();
    // An old session that ends without a word about the message says nothing of the host: a new one is asked.
    if (sat.end !== undefined && !session.kept) return { outcomes, left, end: sat.end };
    fresh = sat.end !== undefined;
  }
  return { outcomes, left };
}

/** As many transactions of one session as it takes, and lets. */
async function sit(
  session: Session,
  hop: NextHop,
  letter: OutgoingMessage,
  journey: Journey,
): Promise<Visit> {
  const { connection } = session;
  const ready = journey.now();
  const outcomes: RecipientOutcome[] = [];
  let most = Math.min(mostRecipients, connection.limits.recipients);
  let left = letter.recipients;
  let end: Reply | undefined;
  while (left.length > 0 && end === undefined && !journey.signal.aborted) {
    if (session.uses > 0 && session.uses >= connection.limits.mails) break;
    const some = { ...letter, recipients: firstOf(left, most, connection.limits.domains) };
    session.uses += 1;
    const exchange = await converse(session, hop, some, journey, ready);
    const { settled, crowdedOut, taken } = sortOut(exchange.outcomes);
    outcomes.push(...settled);
    left = [...crowdedOut, ...exchange.left, ...left.slice(some.recipients.length)];
    if (crowdedOut.length > 0) most = taken;
    end = exchange.end;
    session.clean = settled.some(({ reply }) => reply.command === "end of DATA" && isPositive(reply));
    if (
      left.length > 0 &&
      end === undefined &&
      !session.clean &&
      !(await isReset(connection, journey.signal))
    ) {
      end = reply(451, "4.4.2", `lost connection with ${peer(hop)} between two transactions`);
    }
  }
  return { outcomes, left, ...(end && { end }) };
}

/** The first `most` of `recipients`, or fewer, in no more than so many `domains`. */
function firstOf(recipients: readonly Recipient[], most: number, domains: number): readonly Recipient[] {
  const seen = new Set<string>();
  const over = recipients.slice(0, most).findIndex(({ address }) => {
    seen.add(domainOf(address).toLowerCase());
    return seen.size > domains;
  });
  return recipients.slice(0, over < 0 ? most : over);
}

/**
 * RFC 5321 section 4.5.3.1.10: who is refused with 452 only because others are in the same transaction goes into
 * another one at once.
 */
function sortOut(outcomes: readonly RecipientOutcome[]): {
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

/** One transaction with its outcomes. An `end` says that it was the last. */
async function converse(
  { connection, uses }: Session,
  hop: NextHop,
  letter: OutgoingMessage,
  { terms, now, signal, tell }: Journey,
  ready: number,
): Promise<Visit> {
  const plan = await planFor(letter, connection, peer(hop), signal);
  if (plan === undefined) return { outcomes: [], left: letter.recipients, end: outOfTime };
  const { commands, carried, refused, message: form } = plan;
  const own = refused.flatMap(({ recipient, reply }) => unreached([recipient], reply, now()));
  if (carried.length === 0) return { outcomes: own, left: [] };
  const message = { body: form.body(), size: form.size };
  const { said, elsewhere, end } = await transact(connection, hop, commands, message, {
    signal,
    timeouts: terms.timeouts,
    tell,
  });
  const at = now();
  const here = terms.protocol === "lmtp" ? "delivered" : "relayed";
  const taken = connection.offers("DSN") ? "onward" : here;
  const outcomes: RecipientOutcome[] = [...own];
  const left: Recipient[] = [];
  for (const [number, recipient] of carried.entries()) {
    const { reply, command } = said[number] ?? { reply: end, command: "" };
    if (command === "" && elsewhere) left.push(recipient);
    if (reply === undefined || (command === "" && (elsewhere || signal.aborted))) continue;
    const last: LastReply = { ...reply, relay: command === "" ? "none" : peerWithPort(hop), command, at };
    outcomes.push({
      recipient,
      reply: last,
      transmitting: at - ready,
      ...(isPositive(reply) && { taken }),
      ...(uses > 1 && { use: uses }),
    });
  }
  return { outcomes, left, ...(end && { end }) };
}
