/** What became of one message, put together from the events of the history. Pure. */
import type { Reply } from "../../smtp/reply.ts";
import { deliveryStatus } from "../log/events.ts";
import type { AcceptedEvent, HistoryEvent } from "./event.ts";

export type MessageEvent = HistoryEvent & { readonly id: string };
type DeliveryEvent = Extract<HistoryEvent, { readonly event: "delivery" }>;

export interface DeliveryTry {
  readonly at: number;
  readonly result: ReturnType<typeof deliveryStatus>;
  /** `mx.example.net[192.0.2.1]:25`, or "none". */
  readonly relay: string;
  readonly reply: Reply;
  readonly command: string;
  /** `Verified TLSv1.3`, or undefined where that is not known, or there was none. */
  readonly tls: string | undefined;
  /** Seconds from the acceptance. */
  readonly delay: number;
  /** How many tries in a row had the same result, this the last of them. */
  readonly times: number;
}

/** A message. What lies before the history, or was lost in a crash, is undefined. */
export interface Story {
  readonly id: string;
  readonly accepted: AcceptedEvent | undefined;
  /** By recipient, in the order in which they were tried first. */
  readonly recipients: ReadonlyMap<string, readonly DeliveryTry[]>;
  /** All that is neither the acceptance nor a try, in order. */
  readonly others: readonly Exclude<MessageEvent, AcceptedEvent | DeliveryEvent>[];
  readonly first: number;
  readonly last: number;
}

/** The stories of `events`, in the order in which they begin. */
export function storiesOf(events: Iterable<MessageEvent>): readonly Story[] {
  const byId = new Map<string, MessageEvent[]>();
  for (const event of [...events].sort((one, other) => one.at - other.at)) {
    const known = byId.get(event.id);
    if (known === undefined) byId.set(event.id, [event]);
    else known.push(event);
  }
  return [...byId].map(([id, all]) => storyOf(id, all));
}

function storyOf(id: string, events: readonly MessageEvent[]): Story {
  const recipients = new Map<string, readonly DeliveryTry[]>();
  const others: Exclude<MessageEvent, AcceptedEvent | DeliveryEvent>[] = [];
  let accepted: AcceptedEvent | undefined;
  for (const event of events) {
    if (event.event === "accepted")
      accepted ??= event; // Postfix logs it again at each try
    else if (event.event === "delivery") {
      recipients.set(event.to, withTry(recipients.get(event.to) ?? [], event));
    } else others.push(event);
  }
  return { id, accepted, recipients, others, first: events[0]?.at ?? 0, last: events.at(-1)?.at ?? 0 };
}

function withTry(before: readonly DeliveryTry[], event: DeliveryEvent): readonly DeliveryTry[] {
  const { at, relay, reply, command, tls, delays } = event;
  const last = before.at(-1);
  const isSame =
    last !== undefined &&
    last.relay === relay &&
    last.reply.code === reply.code &&
    last.reply.text === reply.text;
  const one: DeliveryTry = {
    at,
    result: deliveryStatus(reply),
    relay,
    reply,
    command,
    tls,
    delay: delays.reduce((sum, part) => sum + part, 0),
    times: isSame ? last.times + 1 : 1,
  };
  return [...(isSame ? before.slice(0, -1) : before), one];
}
