/** How much mail went, who sent it, and who tried passwords: what the events of a span of time tell, counted in slots. Pure. */
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

/** How much a login sent. */
export interface LoginVolume {
  readonly login: string;
  readonly recipients: number;
}

export const noMail: MailCounts = { accepted: 0, delivered: 0, deferred: 0, returned: 0, refused: 0 };

/** Clients and logins that are told of. Our choice: they fit in a line or two. */
const mostTold = 5;

/** Clients that are counted one by one in a slot, however many a botnet has. Our choice: 100 octets each. */
const mostClients = 2_000;

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

interface Slot {
  readonly mail: { -readonly [Name in keyof MailCounts]: number };
  readonly wrong: Map<string, number>;
  readonly sent: Map<string, number>;
}

const emptySlot = (): Slot => ({ mail: { ...noMail }, wrong: new Map(), sent: new Map() });

function addTo({ mail, wrong, sent }: Slot, event: HistoryEvent): void {
  const kind = kindOf(event);
  if (kind !== undefined) mail[kind] += 1;
  if (event.event === "accepted" && event.login !== undefined) raise(sent, event.login, event.recipients);
  if (event.event === "auth-failed" && (wrong.size < mostClients || wrong.has(event.client))) {
    raise(wrong, event.client, 1);
  }
}

function raise(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

/** Those of all `counts` with the most. */
function most(counts: Iterable<ReadonlyMap<string, number>>): readonly (readonly [string, number])[] {
  const all = new Map<string, number>();
  for (const some of counts) for (const [name, count] of some) raise(all, name, count);
  return [...all].sort(([, one], [, other]) => other - one).slice(0, mostTold);
}

const guessingIn = (slots: readonly Slot[]): Activity["guessing"] =>
  most(slots.map(({ wrong }) => wrong)).map(([client, wrong]) => ({ client, wrong }));

/** Counts `events` from `since` to `until` (milliseconds since the epoch) in `count` slots. */
export async function countActivity(
  events: AsyncIterable<HistoryEvent>,
  since: number,
  until: number,
  count: number,
): Promise<Activity> {
  const slots = Array.from({ length: count }, emptySlot);
  for await (const event of events) {
    const slot = slots[Math.floor(((event.at - since) / (until - since)) * count)];
    if (slot !== undefined) addTo(slot, event);
  }
  return { slots: slots.map(({ mail }) => mail), guessing: guessingIn(slots) };
}

/** The last hours, counted as events come. */
export interface RecentActivity {
  readonly add: (event: HistoryEvent) => void;
  /** Of the last hours before `now`, a slot for each; the newest may be up to five minutes short. */
  readonly at: (now: number) => Activity & { readonly top: readonly LoginVolume[] };
}

const hour = 3_600_000;

/** What an hour is counted in, so that the oldest part of it can go. Our choice: enough for figures of an hour. */
const part = hour / 12;

/** Counts for so many `hours`, and forgets what is older. Memory: a slot for five minutes. */
export function newRecentActivity(hours: number): RecentActivity {
  const parts = new Map<number, Slot>();
  let newest = 0;
  return {
    add(event) {
      const number = Math.floor(event.at / part);
      const slot = parts.get(number);
      if (slot !== undefined) return addTo(slot, event);
      const fresh = emptySlot();
      parts.set(number, fresh);
      addTo(fresh, event);
      if (number <= newest) return;
      newest = number;
      for (const old of parts.keys()) if (old <= number - 12 * hours) parts.delete(old);
    },
    at(now) {
      const last = Math.floor(now / part);
      const within = [...parts].filter(([number]) => number > last - 12 * hours && number <= last);
      const slots = Array.from({ length: hours }, (_, index) => {
        const oldest = last - 12 * (hours - index) + 1;
        return sumOf(
          within.filter(([number]) => number >= oldest && number < oldest + 12).map(([, { mail }]) => mail),
        );
      });
      const found = within.map(([, slot]) => slot);
      const top = most(found.map(({ sent }) => sent)).map(([login, recipients]) => ({ login, recipients }));
      return { slots, guessing: guessingIn(found), top };
    },
  };
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
