/**
 * What a round of attempts means for a message: pure functions from envelope to envelope. A recipient that
 * was refused for good stays "waiting", with that reply, until the sender's report is in the spool: whatever
 * happens in between, the next start sees what is still to be told.
 */
import { isPermanent, isPositive } from "../../smtp/reply.ts";
import type { RecipientOutcome } from "../delivery/message/outgoing-message.ts";
import type { Envelope, Notify, Recipient } from "../spool/envelope.ts";
import { type Backoff, delayAfter } from "./backoff.ts";

export interface RetryPolicy extends Backoff {
  /** How long delivery is tried, in milliseconds. */
  readonly lifetime: number;
  /** The same for a report, whose sender nobody can be told of; never longer than `lifetime`. */
  readonly reportLifetime: number;
  /** When the sender is told that it takes long, in milliseconds; null for never. */
  readonly warnAfter: number | null;
  /** Deliveries that move at the same time, and all under way, with those that wait for an answer. */
  readonly concurrency: number;
  readonly underWay: number;
  /** Deliveries under way to one destination. */
  readonly destinationConcurrency: number;
}

/** Whether an attempt may still help. */
export const isOpen = ({ state, reply }: Recipient): boolean =>
  state === "waiting" && (reply === undefined || !isPermanent(reply));

const isRefused = ({ state, reply }: Recipient): boolean =>
  state === "waiting" && reply !== undefined && isPermanent(reply);

/** `envelope` with what was said about its recipients. */
export function withOutcomes(envelope: Envelope, outcomes: readonly RecipientOutcome[]): Envelope {
  const said = new Map(outcomes.map(({ recipient, reply }) => [recipient, reply]));
  return {
    ...envelope,
    recipients: envelope.recipients.map((recipient) => {
      const reply = said.get(recipient);
      if (reply === undefined) return recipient;
      return { ...recipient, reply, state: isPositive(reply) ? "delivered" : recipient.state };
    }),
  };
}

export interface RoundVerdict {
  /** As it shall be recorded once the reports are in the spool. */
  readonly envelope: Envelope;
  /** Recipients given up in this round, refused or expired. */
  readonly failed: readonly Recipient[];
  /** Recipients still tried, when it is time to tell the sender so; else none. */
  readonly delayed: readonly Recipient[];
  readonly expired: boolean;
  /** When the next round is due at the latest, in milliseconds since the epoch. */
  readonly due: number;
  /** Whether it waits for nothing but the end of pauses. */
  readonly suspended: boolean;
}

/** Why nothing was tried, and until when. */
export interface Untried {
  /** In milliseconds since the epoch. */
  readonly until: number;
  /** The destinations pause: the message waits for the end of a pause, however often that is prolonged. */
  readonly isPause: boolean;
}

/**
 * What to do after a round that ended at `now`, in milliseconds since the epoch. `chance` is between 0 and 1. `untried` is
 * given where nothing was tried of those who wait: that counts as no attempt.
 */
export function conclude(
  envelope: Envelope,
  patience: RetryPolicy,
  now: number,
  chance: number,
  untried?: Untried,
): RoundVerdict {
  const { accepted, attempts, warned } = envelope;
  const end = accepted + lifetimeOf(envelope, patience);
  const expired = now >= end && envelope.recipients.some(isOpen);
  const recipients = envelope.recipients.map((recipient): Recipient => {
    if (isRefused(recipient)) return { ...recipient, state: "failed" };
    return expired && isOpen(recipient) ? { ...recipient, state: "expired" } : recipient;
  });
  const failed = recipients.filter((recipient, at) => recipient !== envelope.recipients[at]);
  const overdue = patience.warnAfter !== null && now - accepted >= patience.warnAfter;
  const late = overdue && !warned ? recipients.filter(isOpen) : [];
  const tried = untried === undefined ? attempts + 1 : attempts;
  // The last attempt falls on the end of the lifetime, so that the sender hears in time.
  const last = Math.max(end, now + patience.first);
  // A pause may end in the middle of a millisecond, and a delay does.
  const next = Math.ceil(Math.min(untried?.until ?? now + delayAfter(tried, patience, chance), last));
  const isPause = untried?.isPause === true;
  const look = patience.warnAfter === null || overdue ? last : Math.min(accepted + patience.warnAfter, last);
  return {
    envelope: { ...envelope, recipients, attempts: tried, due: next, warned: warned || late.length > 0 },
    failed,
    delayed: late,
    expired,
    due: isPause ? Math.min(now + patience.longest, look) : next,
    suspended: isPause,
  };
}

/** How long `envelope` is tried, in milliseconds. */
function lifetimeOf({ sender }: Envelope, { lifetime, reportLifetime }: RetryPolicy): number {
  return sender === "" ? Math.min(lifetime, reportLifetime) : lifetime;
}

/** Whether nobody is waiting any more. */
export const isDone = ({ recipients }: Envelope): boolean =>
  recipients.every(({ state }) => state !== "waiting");

/** RFC 3461 section 5.2: what a sender who gave no NOTIFY wants to hear of, and nobody but a sender hears. */
const standard: readonly Notify[] = ["FAILURE", "DELAY"];

/** Those of `recipients` about which the envelope's sender wants to hear `event`. */
export function wanting(
  event: "SUCCESS" | "FAILURE" | "DELAY",
  { sender }: Envelope,
  recipients: readonly Recipient[],
): readonly Recipient[] {
  if (sender === "") return []; // RFC 5321 section 4.5.5: a report about a report would never end
  return recipients.filter(({ notify }) => (notify ?? standard).includes(event));
}
