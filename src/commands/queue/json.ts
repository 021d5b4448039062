/**
 * Messages as JSON: the keys of Postfix's `postqueue -j`, so that its readers need not change, and then our own. Times
 * are seconds since the epoch in the former and RFC 3339 in the latter.
 */
import type { Queued, Unreadable } from "../../server/control/order.ts";
import type { Envelope, Recipient } from "../../server/spool/envelope.ts";
import { reasonOf } from "./reason.ts";

/** The names of Postfix's queues. */
const queueNames = {
  waiting: "incoming",
  active: "active",
  deferred: "deferred",
  held: "hold",
  damaged: "corrupt",
} as const;

export function jsonOf(message: Queued | Unreadable): object {
  const queue = { queue_name: queueNames[message.status], queue_id: message.id };
  if (message.status === "damaged") return { ...queue, status: message.status, reason: message.reason };
  const { status, envelope } = message;
  const { accepted, size, sender, recipients } = envelope;
  return {
    ...queue,
    arrival_time: Math.floor(accepted / 1000),
    message_size: size,
    forced_expire: false,
    sender: sender === "" ? "MAILER-DAEMON" : sender,
    recipients: recipients.filter(({ state }) => state === "waiting").map(waitingJson),
    status,
    ...ours(envelope),
  };
}

function waitingJson({ address, reply }: Recipient): object {
  return reply === undefined ? { address } : { address, delay_reason: reasonOf(reply), status: reply.status };
}

function ours({ login, attempts, due, warned, held, relay, envid, recipients }: Envelope): object {
  const done = recipients.filter(({ state }) => state !== "waiting");
  return {
    login,
    attempts,
    next_attempt: time(due),
    late: warned,
    ...(held && { held: { since: time(held.at), by: held.by, reason: held.reason } }),
    ...(relay !== undefined && { relay }),
    ...(envid !== undefined && { envid }),
    ...(done.length > 0 && {
      done: done.map(({ address, state, reply }) => ({
        address,
        state,
        ...(reply && { reply: reasonOf(reply) }),
      })),
    }),
  };
}

export const time = (milliseconds: number): string => new Date(milliseconds).toISOString();
