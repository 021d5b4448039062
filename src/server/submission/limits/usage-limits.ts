/** What a login may send: the limits, and which of them a message would exceed. Pure. */
import type { SpendRefusal } from "../../spool/spend.ts";
import { day, hour, roomFrom, type SlidingCount, total, withAdded } from "./sliding-window.ts";

export interface Allowance {
  readonly messagesPerHour: number;
  readonly recipientsPerDay: number;
  readonly newRecipientsPerDay: number;
}

/** What one login has sent. */
export interface LoginUsage {
  /** Within an hour. */
  readonly messages: SlidingCount;
  /** Within a day. */
  readonly recipients: SlidingCount;
  /** Within a day. */
  readonly newRecipients: SlidingCount;
}

export const noUsage: LoginUsage = { messages: [], recipients: [], newRecipients: [] };

/** What would count, or counts. */
export interface Counted {
  readonly messages: number;
  readonly recipients: number;
  /** Those of them to whom the login had not written before. */
  readonly newRecipients: number;
}

/** One limit, and what a login has sent under it. */
export interface UsageLimit {
  readonly limit: number;
  /** "messages an hour" */
  readonly unit: string;
  /** Milliseconds. */
  readonly span: number;
  readonly sent: SlidingCount;
  /** How much would be added to it. */
  readonly wanted: number;
}

export function limitsOf(sent: LoginUsage, wanted: Counted, allowance: Allowance): readonly UsageLimit[] {
  return [
    {
      limit: allowance.messagesPerHour,
      unit: "messages an hour",
      span: hour,
      sent: sent.messages,
      wanted: wanted.messages,
    },
    {
      limit: allowance.recipientsPerDay,
      unit: "recipients a day",
      span: day,
      sent: sent.recipients,
      wanted: wanted.recipients,
    },
    {
      limit: allowance.newRecipientsPerDay,
      unit: "addresses a day that you have not written to before",
      span: day,
      sent: sent.newRecipients,
      wanted: wanted.newRecipients,
    },
  ];
}

/** The first limit that `wanted` would exceed at the time `now`. */
export function firstExceeded(
  sent: LoginUsage,
  wanted: Counted,
  allowance: Allowance,
  now: number,
): SpendRefusal | undefined {
  const limits = limitsOf(sent, wanted, allowance);
  const broken = limits.find((one) => total(one.sent, one.span, now) + one.wanted > one.limit);
  if (!broken) return undefined;
  const { unit, limit, span } = broken;
  // All that is wanted but the last one will count from now on. When is there room for that one?
  const before = withAdded(broken.sent, span, now, Math.max(0, broken.wanted - 1));
  return { limit: `${limit} ${unit}`, until: roomFrom(before, span, now, limit) };
}

/** `sent` with what was accepted at the time `at`, which may be before `now`. */
export function withCounted(sent: LoginUsage, at: number, counted: Counted, now: number = at): LoginUsage {
  return {
    messages: withAdded(sent.messages, hour, at, counted.messages, now),
    recipients: withAdded(sent.recipients, day, at, counted.recipients, now),
    newRecipients: withAdded(sent.newRecipients, day, at, counted.newRecipients, now),
  };
}
