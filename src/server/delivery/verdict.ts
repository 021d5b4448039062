/**
 * What a round of attempts means for a message: pure functions from envelope to envelope. A recipient that
 * was refused for good stays "waiting", with that reply, until the sender's report is in the spool: whatever
 * happens in between, the next start sees what is still to be told.
 */
import { isPermanent, isPositive } from "../../smtp/reply.ts";
import type { Envelope, Notify, Recipient } from "../spool/envelope.ts";
import { type Backoff, delayAfter } from "./backoff.ts";
import type { Outcome } from "./letter.ts";

export interface Patience extends Backoff {
  /** How long delivery is tried, in milliseconds. */
  readonly lifetime: number;
  /** When the sender is told that it takes long, in milliseconds; null for never. */
  readonly warnAfter: number | null;
  /** Transactions under way at the same time. */
  readonly concurrency: number;
}

/** Whether an attempt may still help. */
export const isOpen = ({ state, reply }: Recipient): boolean =>
  state === "waiting" && (reply === undefined || !isPermanent(reply));

const isRefused = ({ state, reply }: Recipient): boolean =>
  state === "waiting" && reply !== undefined && isPermanent(reply);

/** `envelope` with what was said about its recipients. */
export function withOutcomes(envelope: Envelope, outcomes: readonly Outcome[]): Envelope {
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

export interface Verdict {
  /** As it shall be recorded once the reports are in the spool. */
  readonly envelope: Envelope;
  /** Recipients given up in this round, refused or expired. */
  readonly failed: readonly Recipient[];
  /** Recipients still tried, when it is time to tell the sender so; else none. */
  readonly late: readonly Recipient[];
  readonly expired: boolean;
}

/**
 * What to do after a round that ended at `now`, in milliseconds since the epoch. `chance` is between 0 and 1.
 */
export function conclude(envelope: Envelope, patience: Patience, now: number, chance: number): Verdict {
  const { accepted, attempts, warned } = envelope;
  const expired = now - accepted >= patience.lifetime && envelope.recipients.some(isOpen);
  const recipients = envelope.recipients.map((recipient): Recipient => {
    if (isRefused(recipient)) return { ...recipient, state: "failed" };
    return expired && isOpen(recipient) ? { ...recipient, state: "expired" } : recipient;
  });
  const failed = recipients.filter((recipient, at) => recipient !== envelope.recipients[at]);
  const overdue = patience.warnAfter !== null && now - accepted >= patience.warnAfter;
  const late = overdue && !warned ? recipients.filter(isOpen) : [];
  // The last attempt falls on the end of the lifetime, so that the sender hears in time.
  const end = Math.max(accepted + patience.lifetime, now + patience.first);
  const due = Math.min(now + delayAfter(attempts + 1, patience, chance), end);
  return {
    envelope: { ...envelope, recipients, attempts: attempts + 1, due, warned: warned || late.length > 0 },
    failed,
    late,
    expired,
  };
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
