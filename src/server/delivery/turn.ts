/** One message's turn: an attempt at each destination where somebody still waits, then what follows from it. */

import { bodyOffset } from "../../smtp/header.ts";
import { log, logBug } from "../observe/log.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { unreached } from "./attempt.ts";
import type { Carrier } from "./carrier.ts";
import { type Books, openLedger, type Standing } from "./ledger.ts";
import type { Outcome } from "./letter.ts";
import type { Pauses } from "./pauses.ts";
import { inLanes, type Slots } from "./slots.ts";
import { conclude, isDone, isOpen, type Patience } from "./verdict.ts";

/** What a turn needs besides the message. */
export interface Means {
  readonly books: Books;
  readonly carrier: Carrier;
  readonly patience: Patience;
  readonly slots: Slots;
  readonly pauses: Pauses;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: () => number;
  /** No new attempts. */
  readonly stop: AbortSignal;
  /** An end to those under way. */
  readonly abort: AbortSignal;
}

export interface Next {
  /** When the next turn is due, in milliseconds since the epoch. */
  readonly due: number;
  /** What the spool does not know yet, because it could not be written. */
  readonly unrecorded?: Standing;
}

/** Destinations of one message that are tried at a time: our choice, so that one that hangs holds up few. */
const lanes = 5;

/** RFC 6532: a header in which we look for UTF-8 is no longer than this; our choice. */
const longestHeader = 100_000;

/** Takes the turn of the message that stands as `standing` says; undefined when it is done with. */
export async function takeTurn(standing: Standing, means: Means): Promise<Next | undefined> {
  const { books, patience, now, random, stop } = means;
  const { id, sender } = standing.envelope;
  const ledger = openLedger(standing, books);
  const groups = byDestination(standing.envelope, means.carrier);
  let left = groups.length;
  let untried = false;
  await inLanes(groups, lanes, async (group) => {
    const { outcomes, begun } = await attemptAt(group, standing.envelope, means);
    ledger.note(outcomes);
    for (const outcome of outcomes) logDelivery(outcome, standing.envelope, begun);
    untried ||= outcomes.length < group.recipients.length;
    left--;
    if (left > 0 && outcomes.length > 0) await ledger.save();
  });

  const { envelope } = ledger.standing();
  if (untried && stop.aborted) {
    // They stay due, and the verdict on this round is for the next start.
    await ledger.save();
    return { due: envelope.due, unrecorded: ledger.standing() };
  }
  const verdict = conclude(envelope, patience, now(), random());
  if (verdict.expired) log("expired", { id, from: sender });
  if (!(await ledger.close(verdict))) {
    await ledger.save(); // a report that cannot be written must not cost us what is known of the deliveries
    return { due: now() + patience.first, unrecorded: ledger.standing() };
  }
  return isDone(verdict.envelope) ? undefined : { due: verdict.envelope.due };
}

interface Group {
  readonly destination: string;
  readonly recipients: readonly Recipient[];
}

function byDestination(envelope: Envelope, carrier: Carrier): readonly Group[] {
  const groups = new Map<string, Recipient[]>();
  for (const recipient of envelope.recipients.filter(isOpen)) {
    const destination = carrier.destination(envelope, recipient.address);
    const group = groups.get(destination);
    if (group) group.push(recipient);
    else groups.set(destination, [recipient]);
  }
  return Array.from(groups, ([destination, members]) => ({ destination, recipients: members }));
}

/** Never throws: a fault of ours leaves the recipients waiting, and what is known of the others counts. */
async function attemptAt(
  { destination, recipients }: Group,
  envelope: Envelope,
  means: Means,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly begun: number }> {
  const { carrier, slots, pauses, now, stop, abort, books } = means;
  const release = await slots();
  const begun = now();
  try {
    if (stop.aborted) return { outcomes: [], begun };
    const reason = pauses.reason(destination);
    const outcomes = reason
      ? unreached(recipients, reason, begun)
      : await carrier.carry(
          {
            envelope,
            recipients,
            utf8Header: envelope.smtputf8 && (await hasUtf8Header(books, envelope.id)),
            body: () => books.spool.body(envelope.id),
          },
          abort,
        );
    if (!reason) pauses.learn(destination, outcomes);
    return { outcomes, begun };
  } catch (error) {
    logBug(`delivery of ${envelope.id} to ${destination}`, error);
    return { outcomes: [], begun };
  } finally {
    release();
  }
}

async function hasUtf8Header({ spool }: Books, id: string): Promise<boolean> {
  const start = await spool.bodyStart(id, longestHeader);
  return start.subarray(0, bodyOffset(start) ?? start.length).some((octet) => octet > 0x7f);
}

/** The four delays of Postfix's log: until due, until begun, until the next hop was ready, until it answered. */
function logDelivery({ recipient, reply, transmitting }: Outcome, envelope: Envelope, begun: number): void {
  const { id, accepted, due } = envelope;
  const delays = [due - accepted, begun - due, reply.at - begun - transmitting, transmitting] as const;
  const [a, b, c, d] = delays.map((part) => Math.max(part, 0) / 1000);
  const { relay, command } = reply;
  log("delivery", {
    id,
    to: recipient.address,
    relay,
    delays: [a ?? 0, b ?? 0, c ?? 0, d ?? 0],
    reply,
    command,
  });
}
