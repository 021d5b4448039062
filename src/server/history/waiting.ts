/** The domains that mail waits for, and why: counted from the events of deliveries, without a look at the queue. Pure. */
import { domainOf } from "../../smtp/address.ts";
import type { Reply } from "../../smtp/reply.ts";
import { deliveryStatus } from "../log/events.ts";
import type { HistoryEvent } from "./event.ts";

/** A reply, and who gave it, as the mail log names it: `mx.example.net[192.0.2.1]:25`, or "none". */
export interface HostReply extends Reply {
  readonly relay: string;
}

/** A domain that mail waits for. */
export interface WaitingDestination {
  readonly domain: string;
  readonly recipients: number;
  /** When the oldest message was accepted, in milliseconds since the epoch. */
  readonly oldest: number;
  /** What was said last about the oldest. */
  readonly reply: HostReply | undefined;
}

/** Recipients that are remembered. Our choice: 20 MB; a longer queue is counted in part, and its worst shows all the same. */
const mostRecipients = 100_000;

export interface WaitingTally {
  readonly add: (event: HistoryEvent) => void;
  /** The `most` domains with the most recipients that were tried and wait. */
  readonly destinations: (most: number) => readonly WaitingDestination[];
}

/** One recipient who waits, of a message. */
export interface WaitingRecipient {
  readonly address: string;
  /** When the message was accepted. */
  readonly accepted: number;
  readonly reply: HostReply | undefined;
}

export function newWaitingTally(): WaitingTally {
  const messages = new Map<string, Map<string, WaitingRecipient>>();
  let count = 0;

  const forget = (id: string): void => {
    count -= messages.get(id)?.size ?? 0;
    messages.delete(id);
  };

  return {
    add(event) {
      if (event.event === "removed") forget(event.id);
      if (event.event !== "delivery") return;
      const { id, to, reply, relay, delays, at } = event;
      const isDeferred = deliveryStatus(reply) === "deferred";
      const known = messages.get(id);
      if (known === undefined && !isDeferred) return; // most messages are taken at once
      const recipients = known ?? new Map<string, WaitingRecipient>();
      if (isDeferred) {
        if (!recipients.has(to)) {
          if (count >= mostRecipients) return;
          count += 1;
        }
        const accepted = at - delays.reduce((sum, one) => sum + one, 0) * 1000;
        recipients.set(to, { address: to, accepted, reply: { ...reply, relay } });
        messages.set(id, recipients);
      } else if (recipients.delete(to)) {
        count -= 1;
        if (recipients.size === 0) messages.delete(id);
      }
    },
    destinations(most) {
      const all = newDestinations();
      for (const recipients of messages.values()) for (const one of recipients.values()) all.add(one);
      return all.first(most);
    },
  };
}

/** Groups recipients by their domains. */
export function newDestinations(): {
  readonly add: (recipient: WaitingRecipient) => void;
  /** Those with the most recipients first. */
  readonly first: (most: number) => readonly WaitingDestination[];
} {
  const destinations = new Map<string, WaitingDestination>();
  return {
    add({ address, accepted, reply }) {
      const domain = domainOf(address).toLowerCase();
      const before = destinations.get(domain);
      const isOldest = before === undefined || accepted < before.oldest;
      destinations.set(domain, {
        domain,
        recipients: (before?.recipients ?? 0) + 1,
        oldest: isOldest ? accepted : before.oldest,
        reply: isOldest ? (reply ?? before?.reply) : (before.reply ?? reply),
      });
    },
    first: (most) =>
      [...destinations.values()].sort((one, other) => other.recipients - one.recipients).slice(0, most),
  };
}
