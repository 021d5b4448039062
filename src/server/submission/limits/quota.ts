/**
 * How much a login may send: messages an hour, recipients a day, and of these addresses it has not written to before.
 * The last one is what tells a stolen password from a person (mox counts the same). Reports and retries are not
 * submitted, so they never come here. What is counted is in usage.ts.
 */
import { type Reply, reply } from "../../../smtp/reply.ts";
import { day, hour, type Recent, roomAt, total, whenAgain, withMore } from "./sliding-window.ts";
import type { Digest, Note, Usage } from "./usage.ts";

export interface Allowance {
  readonly messagesPerHour: number;
  readonly recipientsPerDay: number;
  readonly newRecipientsPerDay: number;
}

/** A message that is being made ready: what it will count when it is accepted. */
export interface Bill {
  readonly login: string;
  readonly recipients: readonly Digest[];
  /** How many of them are new. */
  readonly fresh: number;
}

/** A bill that has its place within the limits, for as long as the message takes. */
export interface Charge {
  /** The message counts if it was accepted, or its place is free again; the first call is what matters. */
  settle(accepted: boolean): void;
}

/** Each step gives the reply that refuses it where it would go beyond a limit. */
export interface Quota {
  /** MAIL. */
  open(login: string): Bill | Reply;
  /** RCPT: the bill with one more on it. What was accepted before stays. */
  add(bill: Bill, address: string): Bill | Reply;
  /** DATA: from here on sessions side by side cannot go beyond a limit together. */
  charge(bill: Bill): Charge | Reply;
}

export interface Office {
  readonly usage: Usage;
  /** Asked each time: a reload may change it. */
  readonly allowance: () => Allowance;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called with what counts from now on. */
  readonly count: (note: Note) => void;
  /** Called when a login meets a limit ("200 messages an hour"), once until there is room again. */
  readonly reached: (login: string, limit: string, until: number) => void;
}

/** One limit and how far a login is from it. */
interface Gauge {
  readonly limit: number;
  readonly unit: string;
  readonly span: number;
  readonly sent: Recent;
  /** With this message there would be so many more. */
  readonly wanted: number;
}

export function newQuota({ usage, allowance, now, count, reached }: Office): Quota {
  /** Charged and not settled, by login. */
  const underWay = new Map<string, Set<Bill>>();
  /** Until when nobody need be told again that a login is at a limit. */
  const told = new Map<string, number>();

  /** The first limit that `bill` breaks, as a reply. */
  function objection(bill: Bill): Reply | undefined {
    const time = now();
    const broken = gauges(bill).find(
      (gauge) => total(gauge.sent, gauge.span, time) + gauge.wanted > gauge.limit,
    );
    if (!broken) return undefined;
    const { unit, limit, span, sent, wanted } = broken;
    // What is wanted but for the last one will count from now on: when is there room for that one?
    const until = roomAt(withMore(sent, span, time, Math.max(0, wanted - 1)), span, time, limit);
    const name = `${limit} ${unit}`;
    if ((told.get(bill.login) ?? 0) <= time) {
      told.set(bill.login, until);
      reached(bill.login, name, until);
    }
    return refusal(name, until, time);
  }

  function gauges({ login, recipients, fresh }: Bill): readonly Gauge[] {
    const sent = usage.of(login);
    const others = [...(underWay.get(login) ?? [])];
    const { messagesPerHour, recipientsPerDay, newRecipientsPerDay } = allowance();
    const sum = (of: (bill: Bill) => number): number => others.reduce((all, bill) => all + of(bill), 0);
    return [
      {
        limit: messagesPerHour,
        unit: "messages an hour",
        span: hour,
        sent: sent.messages,
        wanted: others.length + 1,
      },
      {
        limit: recipientsPerDay,
        unit: "recipients a day",
        span: day,
        sent: sent.recipients,
        wanted: sum((bill) => bill.recipients.length) + recipients.length,
      },
      {
        limit: newRecipientsPerDay,
        unit: "addresses a day that you have not written to before",
        span: day,
        sent: sent.fresh,
        wanted: sum((bill) => bill.fresh) + fresh,
      },
    ];
  }

  function settle(bill: Bill, accepted: boolean): void {
    const all = underWay.get(bill.login);
    if (!all?.delete(bill)) return;
    if (all.size === 0) underWay.delete(bill.login);
    if (!accepted) return;
    const { login, recipients, fresh } = bill;
    const note = { login, at: now(), messages: 1, recipients: recipients.length, fresh, known: recipients };
    usage.add(note);
    count(note);
  }

  return {
    open(login) {
      const bill = { login, recipients: [], fresh: 0 };
      return objection(bill) ?? bill;
    },
    add({ login, recipients, fresh }, address) {
      const digest = usage.digest(login, address);
      const isNew = !usage.knows(login, digest, now()) && !recipients.includes(digest);
      const bill = { login, recipients: [...recipients, digest], fresh: fresh + (isNew ? 1 : 0) };
      return objection(bill) ?? bill;
    },
    charge(bill) {
      const refused = objection(bill);
      if (refused) return refused;
      const charged = { ...bill };
      underWay.set(bill.login, (underWay.get(bill.login) ?? new Set<Bill>()).add(charged));
      return { settle: (accepted) => settle(charged, accepted) };
    },
  };
}

/**
 * 450 is "temporarily blocked for policy reasons" (RFC 5321 section 4.2.2), as Postfix answers too much mail. Not 452:
 * to a client that means that it should send the rest at once in another transaction (section 4.5.3.1.10).
 */
function refusal(limit: string, until: number, time: number): Reply {
  return reply(
    450,
    "4.7.1",
    `The limit of ${limit} is reached; try again ${whenAgain(until, time)}. ` +
      "If it was not you who sent so much, change your password",
  );
}
