/**
 * One delivery round of one message: attempts at its destinations, side by side or one after the other, then what
 * follows from them. A round may end early, between two attempts. The envelope tells who has been tried since the
 * message became due, so that the next round goes on with the others.
 */
import { Readable } from "node:stream";
import { type Soon, whenThere } from "../../at-once.ts";
import { bodyOffset } from "../../smtp/header.ts";
import { unreached } from "../delivery/attempt.ts";
import type { OutgoingMessage, RecipientOutcome } from "../delivery/message/outgoing-message.ts";
import type { ProviderAdmission } from "../delivery/provider-terms.ts";
import type { ReportActivity } from "../delivery/transaction.ts";
import type { Transport } from "../delivery/transport.ts";
import { workOnMessage } from "../log/event-loop.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope, LastReply, Recipient } from "../spool/envelope.ts";
import type { Suspension } from "./destinations.ts";
import { type DeliveryState, openRecorder, type RecorderDependencies } from "./recorder.ts";
import { conclude, isDone, isOpen, type RetryPolicy, type Untried } from "./verdict.ts";

/** What a round needs besides the message. */
export interface DeliveryRoundDependencies {
  readonly recorder: RecorderDependencies;
  readonly transport: Transport;
  readonly patience: RetryPolicy;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets. */
  readonly steady: () => number;
  readonly random: () => number;
  /** No new attempts. */
  readonly stop: AbortSignal;
  /** An end to those under way. */
  readonly abort: AbortSignal;
}

/** How a message goes on after a round. */
export interface NextRound {
  /** Where somebody still waits. */
  readonly destinations: readonly string[];
  /** When its next round is due at the latest, by the steady clock: recording takes as long as a store is away. */
  readonly due: number;
  /** Whether it waits for nothing but the end of pauses. */
  readonly suspended: boolean;
  /** What the spool does not know yet, because it could not be written. */
  readonly unrecorded?: DeliveryState;
}

export interface DeliveryRound {
  /** Destinations where somebody has not been tried since the message became due. */
  left(): readonly string[];
  /**
   * An attempt at `destination`, which reports its activity, or, where that has a `pause`, none but the same consequences.
   * Never rejects: a fault of ours leaves the recipients waiting, and what is known of the others counts. Where `admit`
   * refuses it, it was none, and the destination is left.
   */
  deliver(
    destination: string,
    report: ReportActivity,
    pause?: Suspension,
    admit?: ProviderAdmission,
  ): Promise<readonly RecipientOutcome[]>;
  /** Records what is known so far; gives it where that failed. */
  save(): Promise<DeliveryState | undefined>;
  /** Draws the verdict, after the last attempt; undefined when the message is done with. */
  conclude(): Promise<NextRound | undefined>;
}

/** RFC 6532: a header in which we look for UTF-8 is no longer than this; our choice. */
const longestHeader = 100_000;

/**
 * Milliseconds after which a message is tried again that was withdrawn before its end was sent, because it was not certain
 * that it is this host's. Our choice: what could not be told is told by then, since the round's end has been recorded.
 */
const afterWithdrawal = 1_000;

/** Where a message goes whose recipients are all done with, but for what their sender is still to be told. */
export const nowhere = "";

/** Where those recipients of `envelope` are that an attempt may still help; never empty. */
export function destinationsOf(envelope: Envelope, transport: Transport): readonly string[] {
  const [only, ...others] = envelope.recipients;
  if (only !== undefined && others.length === 0)
    // most messages
    return isOpen(only) ? [transport.destination(envelope, only.address)] : [nowhere];
  const all = [...byDestination(envelope, transport).keys()];
  return all.length > 0 ? all : [nowhere];
}

/** Begins a round of the message in this `state`; `octets` is its body, where that is in memory. */
export function openRound(
  state: DeliveryState,
  dependencies: DeliveryRoundDependencies,
  octets?: Buffer,
): DeliveryRound {
  const { recorder: recording, transport, patience, now, steady, random } = dependencies;
  const { id, sender, due } = state.envelope;
  const opened = now();
  // It is being tried, whatever the clock was when that was foreseen.
  const envelope = { ...state.envelope, due: Math.min(due, opened) };
  const recorder = openRecorder({ ...state, envelope }, recording);
  const groups = byDestination(state.envelope, transport);
  /** What was said of recipients only because their destination pauses, and when the first pause ends. */
  const suspendedReplies = new Set<LastReply>();
  let resumed = Number.POSITIVE_INFINITY;
  /** What was said of recipients only because their message was withdrawn before its end. */
  const withdrawnReplies = new Set<LastReply>();

  const tried = new Set<string>();
  for (const [destination, recipients] of groups) {
    if (recipients.every(({ reply }) => reply !== undefined && reply.at >= due && reply.at <= opened))
      tried.add(destination);
  }

  function putOff(
    recipients: readonly Recipient[],
    { until, reply }: Suspension,
  ): readonly RecipientOutcome[] {
    const outcomes = unreached(recipients, reply, now());
    for (const outcome of outcomes) suspendedReplies.add(outcome.reply);
    resumed = Math.min(resumed, until);
    return outcomes;
  }

  /** Given where nothing was tried of all those who wait. */
  function untriedIn({ recipients }: Envelope): Untried | undefined {
    const open = recipients.filter(isOpen);
    const said = open.flatMap(({ reply }) => reply ?? []);
    const isWithdrawn = said.some((reply) => withdrawnReplies.has(reply));
    const isUntried = said.every((reply) => suspendedReplies.has(reply) || withdrawnReplies.has(reply));
    if (open.length === 0 || said.length < open.length || !isUntried) return undefined;
    return isWithdrawn
      ? { until: now() + afterWithdrawal, isPause: false }
      : { until: resumed, isPause: true };
  }

  return {
    left: () => [...groups.keys()].filter((destination) => !tried.has(destination)),
    async deliver(destination, report, pause, admit = () => true) {
      if (dependencies.stop.aborted) return [];
      const recipients = groups.get(destination) ?? [];
      const begun = now();
      let isAdmitted = true;
      let isWithdrawn = false;
      const mayEnd = (): boolean => {
        const may = recording.spool.mayDeliver();
        isWithdrawn ||= !may;
        return may;
      };
      tried.add(destination);
      try {
        const outcomes = pause
          ? putOff(recipients, pause)
          : recipients.length === 0
            ? []
            : await whenThere(
                outgoingMessage(state.envelope, recipients, recording, octets, mayEnd),
                (message) =>
                  transport.deliver(message, dependencies.abort, report, (provider) => {
                    isAdmitted = admit(provider);
                    return isAdmitted;
                  }),
              );
        const isCutShort = outcomes.length < recipients.length && dependencies.abort.aborted;
        if (isCutShort || !isAdmitted) tried.delete(destination);
        if (isWithdrawn)
          for (const { reply } of outcomes) if (reply.command === "") withdrawnReplies.add(reply);
        recorder.note(outcomes);
        for (const outcome of outcomes) logDelivery(outcome, envelope, begun);
        return outcomes;
      } catch (error) {
        logBug(`delivery of ${id} to ${destination}`, error);
        return [];
      }
    },
    async save() {
      return (await recorder.save()) ? undefined : recorder.state();
    },
    async conclude() {
      const { envelope } = recorder.state();
      const ended = now();
      const steadyEnd = steady();
      const verdict = conclude(envelope, patience, ended, random(), untriedIn(envelope));
      if (verdict.expired) log("expired", { id, from: sender });
      if (await recorder.close(verdict)) {
        if (recorder.isLost() || isDone(verdict.envelope)) return undefined;
        const again = steadyEnd + verdict.due - ended;
        const { suspended } = verdict;
        return { destinations: destinationsOf(verdict.envelope, transport), due: again, suspended };
      }
      await recorder.save(); // a report that cannot be written must not cost us what is known of the deliveries
      const { envelope: known, unreported } = recorder.state();
      const unrecorded = { envelope: { ...known, due: now() + patience.first }, unreported };
      const again = steady() + patience.first;
      return { destinations: destinationsOf(known, transport), due: again, suspended: false, unrecorded };
    },
  };
}

function byDestination(envelope: Envelope, transport: Transport): ReadonlyMap<string, readonly Recipient[]> {
  const groups = new Map<string, Recipient[]>();
  for (const recipient of envelope.recipients.filter(isOpen)) {
    const destination = transport.destination(envelope, recipient.address);
    const group = groups.get(destination);
    if (group) group.push(recipient);
    else groups.set(destination, [recipient]);
  }
  return groups;
}

function outgoingMessage(
  envelope: Envelope,
  recipients: readonly Recipient[],
  { spool }: RecorderDependencies,
  octets: Buffer | undefined,
  mayEnd: () => boolean,
): Soon<OutgoingMessage> {
  const { id, smtputf8 } = envelope;
  const start = smtputf8 ? (octets ?? spool.bodyStart(id, longestHeader)) : undefined;
  return whenThere(start, (begun) => ({
    envelope,
    recipients,
    utf8Header: begun !== undefined && workOnMessage(id, () => hasUtf8Header(begun)),
    body: () => (octets ? Readable.from([octets]) : spool.body(id)),
    ...(octets && { octets }),
    mayEnd,
  }));
}

const hasUtf8Header = (start: Buffer): boolean =>
  start.subarray(0, bodyOffset(start) ?? start.length).some((octet) => octet > 0x7f);

/** The four delays of Postfix's log: until due, until begun, until the next hop was ready, until it answered. */
function logDelivery(
  { recipient, reply, transmitting, use, tls }: RecipientOutcome,
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
    ...(tls !== undefined && { tls }),
  });
}
