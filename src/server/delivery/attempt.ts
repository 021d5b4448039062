/**
 * One message to one destination: its hosts in order until one answers, then a transaction, or several where
 * the recipients are many. A recipient without an outcome was not tried, because `signal` came first.
 */
import { isPositive, type Reply } from "../../smtp/reply.ts";
import { log } from "../observe/log.ts";
import type { LastReply, Recipient } from "../spool/envelope.ts";
import { type Letter, type Outcome, planFor } from "./letter.ts";
import { peer, peerWithPort } from "./peer.ts";
import type { Hop } from "./route.ts";
import { type NoSession, openSession } from "./session.ts";
import type { Terms } from "./terms.ts";
import { transact } from "./transaction.ts";
import type { WireConnection } from "./wire.ts";

/** RFC 5321 section 4.5.3.1.8: what every server must take at a time. */
const mostRecipients = 100;

/** What one host had to say. */
interface Visit {
  readonly outcomes: readonly Outcome[];
  /** Recipients that it said nothing about: another host may. */
  readonly left: readonly Recipient[];
  /** Why there is nothing more to be had from it, as a temporary reply. */
  readonly end?: Reply;
}

/** What does not change while the hosts do. */
interface Journey {
  readonly terms: Terms;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Delivers `letter` by way of the first of `hops` that talks with us. */
export async function attempt(
  letter: Letter,
  hops: readonly Hop[],
  terms: Terms,
  now: () => number,
  signal: AbortSignal,
): Promise<readonly Outcome[]> {
  const journey = { terms, now, signal };
  const outcomes: Outcome[] = [];
  let left = letter.recipients;
  let end: Reply | undefined;
  for (const hop of hops) {
    if (left.length === 0 || signal.aborted) break;
    const visited = await visit(hop, { ...letter, recipients: left }, journey);
    outcomes.push(...visited.outcomes);
    left = visited.left;
    end = visited.end ?? end;
  }
  if (signal.aborted || end === undefined) return outcomes;
  return [...outcomes, ...unreached(left, end, now())];
}

/** The same reply of our own for all `recipients`: nobody was asked. `at` in milliseconds since the epoch. */
export function unreached(recipients: readonly Recipient[], reason: Reply, at: number): readonly Outcome[] {
  const reply: LastReply = { ...reason, relay: "none", command: "", at };
  return recipients.map((recipient) => ({ recipient, reply, transmitting: 0 }));
}

async function visit(hop: Hop, letter: Letter, journey: Journey): Promise<Visit> {
  const session = await openEither(hop, journey);
  if ("reply" in session) return { outcomes: [], left: letter.recipients, end: session.reply };
  const ready = journey.now();
  const outcomes: Outcome[] = [];
  let left = letter.recipients;
  let end: Reply | undefined;
  while (left.length > 0 && end === undefined && !journey.signal.aborted) {
    const some = { ...letter, recipients: left.slice(0, mostRecipients) };
    const exchange = await converse(session, hop, some, journey, ready);
    outcomes.push(...exchange.outcomes);
    left = [...exchange.left, ...left.slice(some.recipients.length)];
    end = exchange.end;
  }
  if (end === undefined) session.leave();
  else session.close();
  return { outcomes, left, ...(end && { end }) };
}

/** Where TLS is only a bonus, a failed handshake is followed by a try without (RFC 7435 section 3). */
async function openEither(hop: Hop, { terms, signal }: Journey): Promise<WireConnection | NoSession> {
  const session = await openSession(hop, terms, false, signal);
  if (!("reply" in session) || session.handshake === undefined || signal.aborted) return session;
  log("tls-outbound-failed", { relay: peerWithPort(hop), reason: session.handshake });
  return openSession(hop, terms, true, signal);
}

/** One transaction with its outcomes. An `end` says that it was the last. */
async function converse(
  session: WireConnection,
  hop: Hop,
  letter: Letter,
  { terms, now, signal }: Journey,
  ready: number,
): Promise<Visit> {
  const { commands, carried, refused, message: form } = await planFor(letter, session, peer(hop));
  const own = refused.flatMap(({ recipient, reply }) => unreached([recipient], reply, now()));
  if (carried.length === 0) return { outcomes: own, left: [] };
  const message = { body: form.body(), size: form.size };
  const { said, elsewhere, end } = await transact(session, hop, commands, message, {
    signal,
    timeouts: terms.timeouts,
  });
  const at = now();
  const here = terms.protocol === "lmtp" ? "delivered" : "relayed";
  const taken = session.offers("DSN") ? "onward" : here;
  const outcomes: Outcome[] = [...own];
  const left: Recipient[] = [];
  for (const [number, recipient] of carried.entries()) {
    const { reply, command } = said[number] ?? { reply: end, command: "" };
    if (command === "" && elsewhere) left.push(recipient);
    if (reply === undefined || (command === "" && (elsewhere || signal.aborted))) continue;
    const last: LastReply = { ...reply, relay: command === "" ? "none" : peerWithPort(hop), command, at };
    outcomes.push({ recipient, reply: last, transmitting: at - ready, ...(isPositive(reply) && { taken }) });
  }
  return { outcomes, left, ...(end && { end }) };
}
