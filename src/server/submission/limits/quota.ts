/**
 * The quota of a login: messages an hour, recipients a day, and recipients a day to whom it has not written before.
 * The last one distinguishes a stolen password from a person (mox counts the same). Reports and retries are not
 * submitted, so they do not count. The counts are in usage.ts.
 */
import { type Reply, reply } from "../../../smtp/reply.ts";
import { day, hour, retryText, roomFrom, type SlidingCount, total, withAdded } from "./sliding-window.ts";
import type { AddressDigest, Usage, UsageEntry } from "./usage.ts";

export interface Allowance {
  readonly messagesPerHour: number;
  readonly recipientsPerDay: number;
  readonly newRecipientsPerDay: number;
}

/** What a message will count when it is accepted. It grows with each recipient. */
export interface QuotaRequest {
  readonly login: string;
  readonly recipients: readonly AddressDigest[];
  /** How many of them the login has not written to before. */
  readonly newRecipients: number;
}

/** A request that is counted in advance, while the message comes. */
export interface QuotaReservation {
  /** Counts the message if it was accepted, and releases the reservation otherwise. Only the first call has an effect. */
  settle(accepted: boolean): void;
}

/** Each step gives a reply where it would exceed a limit. */
export interface Quota {
  /** MAIL. */
  begin(login: string): QuotaRequest | Reply;
  /** RCPT: the request with one more recipient. Those accepted before stay. */
  addRecipient(request: QuotaRequest, address: string): QuotaRequest | Reply;
  /** What `login` has used of each limit, and when there is room again where it has reached it. */
  useOf(login: string): readonly QuotaUse[];
  /** Logins that have used `share` of a limit or more, the largest part first, `most` at most. */
  nearLimits(share: number, most: number): readonly (QuotaUse & { readonly login: string })[];
  /** DATA: from now on parallel sessions cannot exceed a limit together. */
  reserve(request: QuotaRequest): QuotaReservation | Reply;
}

/** How much of one limit is used. */
export interface QuotaUse {
  readonly limit: number;
  /** "messages an hour" */
  readonly unit: string;
  readonly used: number;
  /** Milliseconds since the epoch; undefined where there is room. */
  readonly roomAt?: number;
}

export interface QuotaDependencies {
  readonly usage: Usage;
  /** Called each time: a reload may change it. */
  readonly allowance: () => Allowance;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called with each message that counts. */
  readonly record: (entry: UsageEntry) => void;
  /** Called when a login reaches a limit ("200 messages an hour"), once until there is room again. */
  readonly limitReached: (login: string, limit: string, until: number) => void;
}

/** One limit, and what a login has used of it. */
interface QuotaLimit {
  readonly limit: number;
  readonly unit: string;
  readonly span: number;
  readonly sent: SlidingCount;
  /** How many this message and the reservations would add. */
  readonly wanted: number;
}

export function newQuota({ usage, allowance, now, record, limitReached }: QuotaDependencies): Quota {
  /** Reservations that are not settled, by login. */
  const reserved = new Map<string, Set<QuotaRequest>>();
  /** By login: until when its limit has been reported. */
  const reportedUntil = new Map<string, number>();

  /** A reply for the first limit that `request` would exceed. */
  function firstBroken(request: QuotaRequest): Reply | undefined {
    const time = now();
    const broken = limitsOf(request).find((one) => total(one.sent, one.span, time) + one.wanted > one.limit);
    if (!broken) return undefined;
    const { unit, limit, span, sent, wanted } = broken;
    // All that is wanted but the last one will count from now on. When is there room for that one?
    const until = roomFrom(withAdded(sent, span, time, Math.max(0, wanted - 1)), span, time, limit);
    const name = `${limit} ${unit}`;
    if ((reportedUntil.get(request.login) ?? 0) <= time) {
      reportedUntil.set(request.login, until);
      limitReached(request.login, name, until);
    }
    return refusal(name, until, time);
  }

  function limitsOf({ login, recipients, newRecipients }: QuotaRequest): readonly QuotaLimit[] {
    const sent = usage.of(login);
    const { messagesPerHour, recipientsPerDay, newRecipientsPerDay } = allowance();
    const wanted = { messages: 1, recipients: recipients.length, newRecipients };
    for (const other of reserved.get(login) ?? []) {
      wanted.messages += 1;
      wanted.recipients += other.recipients.length;
      wanted.newRecipients += other.newRecipients;
    }
    return [
      {
        limit: messagesPerHour,
        unit: "messages an hour",
        span: hour,
        sent: sent.messages,
        wanted: wanted.messages,
      },
      {
        limit: recipientsPerDay,
        unit: "recipients a day",
        span: day,
        sent: sent.recipients,
        wanted: wanted.recipients,
      },
      {
        limit: newRecipientsPerDay,
        unit: "addresses a day that you have not written to before",
        span: day,
        sent: sent.newRecipients,
        wanted: wanted.newRecipients,
      },
    ];
  }

  function settle(request: QuotaRequest, accepted: boolean): void {
    const all = reserved.get(request.login);
    if (!all?.delete(request)) return;
    if (all.size === 0) reserved.delete(request.login);
    if (!accepted) return;
    const { login, recipients, newRecipients } = request;
    const entry = {
      login,
      at: now(),
      messages: 1,
      recipients: recipients.length,
      newRecipients,
      addresses: recipients,
    };
    usage.add(entry);
    record(entry);
  }

  function useOf(login: string): readonly QuotaUse[] {
    const time = now();
    return limitsOf({ login, recipients: [], newRecipients: 0 }).map(({ limit, unit, span, sent }) => {
      const used = total(sent, span, time);
      return { limit, unit, used, ...(used >= limit && { roomAt: roomFrom(sent, span, time, limit) }) };
    });
  }

  return {
    useOf,
    nearLimits(share, most) {
      const all = [...usage.logins()].flatMap((login) => useOf(login).map((use) => ({ login, ...use })));
      return all
        .filter(({ used, limit }) => used >= share * limit)
        .sort((one, other) => other.used / other.limit - one.used / one.limit)
        .slice(0, most);
    },
    begin(login) {
      const request = { login, recipients: [], newRecipients: 0 };
      return firstBroken(request) ?? request;
    },
    addRecipient({ login, recipients, newRecipients }, address) {
      const digest = usage.digest(login, address);
      const isNew = !usage.knows(login, digest, now()) && !recipients.includes(digest);
      const request = {
        login,
        recipients: [...recipients, digest],
        newRecipients: newRecipients + (isNew ? 1 : 0),
      };
      return firstBroken(request) ?? request;
    },
    reserve(request) {
      const refused = firstBroken(request);
      if (refused) return refused;
      const counted = { ...request };
      reserved.set(request.login, (reserved.get(request.login) ?? new Set<QuotaRequest>()).add(counted));
      return { settle: (accepted) => settle(counted, accepted) };
    },
  };
}

/**
 * 450 is "temporarily blocked for policy reasons" (RFC 5321 section 4.2.2); Postfix answers too much mail with it. Not
 * 452: it tells a client to send the rest at once in another transaction (section 4.5.3.1.10).
 */
function refusal(limit: string, until: number, time: number): Reply {
  return reply(
    450,
    "4.7.1",
    `The limit of ${limit} is reached; try again ${retryText(until, time)}. ` +
      "If it was not you who sent so much, change your password",
  );
}
