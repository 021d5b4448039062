/** How much mail went, and who tried passwords: what the history tells of a span of time, counted in slots. Pure. */
import { deliveryStatus } from "../log/events.ts";
import type { HistoryEvent } from "./event.ts";

/** Messages that were accepted and refused; recipients, by what a delivery to them met. */
export interface MailCounts {
  readonly accepted: number;
  readonly delivered: number;
  readonly deferred: number;
  readonly returned: number;
  readonly refused: number;
}

export interface Activity {
  /** Oldest first, each as long as the others, the last one ends at the end of the span. */
  readonly slots: readonly MailCounts[];
  /** Wrong passwords by client, `unknown[192.0.2.7]`, the most first. */
  readonly guessing: readonly { readonly client: string; readonly wrong: number }[];
}

export const noMail: MailCounts = { accepted: 0, delivered: 0, deferred: 0, returned: 0, refused: 0 };

/** Clients that are told of. Our choice: they fit in a line or two. */
const mostClients = 5;

/** Which count an event adds to. */
function kindOf(event: HistoryEvent): keyof MailCounts | undefined {
  switch (event.event) {
    case "accepted":
      return event.login === undefined ? undefined : "accepted"; // the relay's own reports are not counted
    case "delivery": {
      const status = deliveryStatus(event.reply);
      return status === "sent" ? "delivered" : status === "bounced" ? "returned" : "deferred";
    }
    case "expired":
      return "returned";
    case "reject":
      return "refused";
    default:
      return undefined;
  }
}

/** Counts `events` from `since` to `until` (milliseconds since the epoch) in `count` slots. */
export async function countActivity(
  events: AsyncIterable<HistoryEvent>,
  since: number,
  until: number,
  count: number,
): Promise<Activity> {
  const slots = Array.from({ length: count }, () => ({ ...noMail }));
  const wrong = new Map<string, number>();
  for await (const event of events) {
    const slot = slots[Math.floor(((event.at - since) / (until - since)) * count)];
    const kind = kindOf(event);
    if (slot !== undefined && kind !== undefined) slot[kind] += 1;
    if (event.event === "auth-failed") wrong.set(event.client, (wrong.get(event.client) ?? 0) + 1);
  }
  const guessing = [...wrong]
    .map(([client, times]) => ({ client, wrong: times }))
    .sort((one, other) => other.wrong - one.wrong)
    .slice(0, mostClients);
  return { slots, guessing };
}

/** All of `slots` together. */
export function sumOf(slots: readonly MailCounts[]): MailCounts {
  return slots.reduce(
    (all, one) => ({
      accepted: all.accepted + one.accepted,
      delivered: all.delivered + one.delivered,
      deferred: all.deferred + one.deferred,
      returned: all.returned + one.returned,
      refused: all.refused + one.refused,
    }),
    noMail,
  );
}
