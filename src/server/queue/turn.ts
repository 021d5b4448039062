/**
 * One message having its turn: attempts at its destinations, side by side or one after the other, then what follows
 * from them. A turn may be broken off between two attempts: who has been tried since the message became due is
 * told by the envelope, so that the next turn goes on with the others.
 */
import { bodyOffset } from "../../smtp/header.ts";
import { unreached } from "../delivery/hop/attempt.ts";
import type { TellPace } from "../delivery/hop/pace.ts";
import type { Outcome } from "../delivery/message/letter.ts";
import type { Carrier } from "../delivery/route/carrier.ts";
import { inHand } from "../log/in-hand.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope, LastReply, Recipient } from "../spool/envelope.ts";
import type { Pause } from "./destinations.ts";
import { type Books, openLedger, type Standing } from "./ledger.ts";
import { conclude, isDone, isOpen, type Patience } from "./verdict.ts";

/** What a turn needs besides the message. */
export interface Means {
  readonly books: Books;
  readonly carrier: Carrier;
  readonly patience: Patience;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: () => number;
  /** No new attempts. */
  readonly stop: AbortSignal;
  /** An end to those under way. */
  readonly abort: AbortSignal;
}

/** How a message goes on after its turn. */
export interface Next {
  /** Where somebody still waits. */
  readonly destinations: readonly string[];
  /** When its next turn is due at the latest, in milliseconds since the epoch. */
  readonly due: number;
  /** Whether it waits for nothing but the end of pauses. */
  readonly parked: boolean;
  /** What the spool does not know yet, because it could not be written. */
  readonly unrecorded?: Standing;
}

export interface Turn {
  /** Destinations where somebody has not been tried since the message became due. */
  left(): readonly string[];
  /**
   * An attempt at `destination`, which tells its pace, or, where that has a `pause`, none but the same consequences.
   * Never rejects: a fault of ours leaves the recipients waiting, and what is known of the others counts.
   */
  visit(destination: string, tell: TellPace, pause?: Pause): Promise<readonly Outcome[]>;
  /** Records what is known so far; gives it where that failed. */
  save(): Promise<Standing | undefined>;
  /** Draws the verdict, after the last attempt; undefined when the message is done with. */
  conclude(): Promise<Next | undefined>;
}

/** RFC 6532: a header in which we look for UTF-8 is no longer than this; our choice. */
const longestHeader = 100_000;

/** Where a message goes whose recipients are all done with, but for what their sender is still to be told. */
export const nowhere = "";

/** Where those recipients of `envelope` are that an attempt may still help; never empty. */
export function destinationsOf(envelope: Envelope, carrier: Carrier): readonly string[] {
  const all = [...byDestination(envelope, carrier).keys()];
  return all.length > 0 ? all : [nowhere];
}

/** Begins a turn of the message that stands as `standing` says. */
export function openTurn(standing: Standing, means: Means): Turn {
  const { books, carrier, patience, now, random } = means;
  const { id, sender, due } = standing.envelope;
  const opened = now();
  // Its turn has come, whatever the clock was when that was foreseen.
  const envelope = { ...standing.envelope, due: Math.min(due, opened) };
  const ledger = openLedger({ ...standing, envelope }, books);
  const groups = byDestination(standing.envelope, carrier);
  /** What was said of recipients only because their destination pauses, and when the first pause ends. */
  const suspended = new Set<LastReply>();
  let resumed = Number.POSITIVE_INFINITY;

  const tried = new Set<string>();
  for (const [destination, recipients] of groups) {
    if (recipients.every(({ reply }) => reply !== undefined && reply.at >= due && reply.at <= opened))
      tried.add(destination);
  }

  function putOff(recipients: readonly Recipient[], { until, reply }: Pause): readonly Outcome[] {
    const outcomes = unreached(recipients, reply, now());
    for (const outcome of outcomes) suspended.add(outcome.reply);
    resumed = Math.min(resumed, until);
    return outcomes;
  }

  /** Whether nobody is waiting for anything but the end of a pause. */
  function isParked({ recipients }: Envelope): boolean {
    const open = recipients.filter(isOpen);
    return open.length > 0 && open.every(({ reply }) => reply !== undefined && suspended.has(reply));
  }

  return {
    left: () => [...groups.keys()].filter((destination) => !tried.has(destination)),
    async visit(destination, tell, pause) {
      if (means.stop.aborted) return [];
      const recipients = groups.get(destination) ?? [];
      const begun = now();
      tried.add(destination);
      try {
        const outcomes = pause
          ? putOff(recipients, pause)
          : recipients.length === 0
            ? []
            : await carrier.carry(await letterFor(standing.envelope, recipients, books), means.abort, tell);
        if (outcomes.length < recipients.length && means.abort.aborted) tried.delete(destination);
        ledger.note(outcomes);
        for (const outcome of outcomes) logDelivery(outcome, envelope, begun);
        return outcomes;
      } catch (error) {
        logBug(`delivery of ${id} to ${destination}`, error);
        return [];
      }
    },
    async save() {
      return (await ledger.save()) ? undefined : ledger.standing();
    },
    async conclude() {
      const { envelope } = ledger.standing();
      const verdict = conclude(envelope, patience, now(), random(), isParked(envelope) ? resumed : undefined);
      if (verdict.expired) log("expired", { id, from: sender });
      if (await ledger.close(verdict)) {
        if (isDone(verdict.envelope)) return undefined;
        const { due: again, parked } = verdict;
        return { destinations: destinationsOf(verdict.envelope, carrier), due: again, parked };
      }
      await ledger.save(); // a report that cannot be written must not cost us what is known of the deliveries
      const again = now() + patience.first;
      const { envelope: known, owed } = ledger.standing();
      const unrecorded = { envelope: { ...known, due: again }, owed };
      return { destinations: destinationsOf(known, carrier), due: again, parked: false, unrecorded };
    },
  };
}

function byDestination(envelope: Envelope, carrier: Carrier): ReadonlyMap<string, readonly Recipient[]> {
  const groups = new Map<string, Recipient[]>();
  for (const recipient of envelope.recipients.filter(isOpen)) {
    const destination = carrier.destination(envelope, recipient.address);
    const group = groups.get(destination);
    if (group) group.push(recipient);
    else groups.set(destination, [recipient]);
  }
  return groups;
}

async function letterFor(envelope: Envelope, recipients: readonly Recipient[], { spool }: Books) {
  return {
    envelope,
    recipients,
    utf8Header: envelope.smtputf8 && (await hasUtf8Header(spool, envelope.id)),
    body: () => spool.body(envelope.id),
  };
}

async function hasUtf8Header(spool: Books["spool"], id: string): Promise<boolean> {
  const start = await spool.bodyStart(id, longestHeader);
  return inHand(id, () => start.subarray(0, bodyOffset(start) ?? start.length).some((octet) => octet > 0x7f));
}

/** The four delays of Postfix's log: until due, until begun, until the next hop was ready, until it answered. */
function logDelivery(
  { recipient, reply, transmitting, use }: Outcome,
  envelope: Envelope,
  begun: number,
): void {
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
    ...(use !== undefined && { use }),
  });
}
