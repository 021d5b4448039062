/**
 * The quota of a login: messages an hour, recipients a day, and recipients a day to whom it has not written before.
 * The last one distinguishes a stolen password from a person (mox counts the same). Reports and retries are not
 * submitted, so they do not count. The counts are in usage.ts.
 */
import { type Reply, reply } from "../../../smtp/reply.ts";
import type { Spend, SpendRefusal } from "../../spool/spend.ts";
import { retryText, roomFrom, total } from "./sliding-window.ts";
import type { AddressDigest, Usage, UsageEntry } from "./usage.ts";
import { type Allowance, firstExceeded, limitsOf } from "./usage-limits.ts";

export type { Allowance } from "./usage-limits.ts";

/** What a message will count when it is accepted. It grows with each recipient. */
export interface QuotaRequest {
  readonly login: string;
  readonly recipients: readonly AddressDigest[];
  /** How many of them the login has not written to before. */
  readonly newRecipients: number;
}

/** A request that is counted in advance, while the message comes. */
export interface QuotaReservation {
  /** For the promise of the message, where that settles it too. */
  readonly spend: Spend;
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
  /** The reply where the spool refused the message because of a limit that several hosts share. */
  refused(login: string, refusal: SpendRefusal): Reply;
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
  readonly usage: Pick<Usage, "add" | "of" | "logins" | "digest" | "knows">;
  /** Called each time: a reload may change it. */
  readonly allowance: () => Allowance;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Called with each message that counts. */
  readonly record: (entry: UsageEntry) => void;
  /** Called when a login reaches a limit ("200 messages an hour"), once until there is room again. */
  readonly limitReached: (login: string, limit: string, until: number) => void;
}

const nothing = { messages: 0, recipients: 0, newRecipients: 0 };

export function newQuota({ usage, allowance, now, record, limitReached }: QuotaDependencies): Quota {
  /** Reservations that are not settled, by login. */
  const reserved = new Map<string, Set<QuotaRequest>>();
  /** By login: until when its limit has been reported. */
  const reportedUntil = new Map<string, number>();

  /** A reply for the first limit that `request` would exceed. */
  function firstBroken(request: QuotaRequest): Reply | undefined {
    const { login } = request;
    const broken = firstExceeded(usage.of(login), withReserved(request), allowance(), now());
    return broken && refused(login, broken);
  }

  function refused(login: string, { limit, until }: SpendRefusal): Reply {
    const time = now();
    if ((reportedUntil.get(login) ?? 0) <= time) {
      reportedUntil.set(login, until);
      limitReached(login, limit, until);
    }
    return refusal(limit, until, time);
  }

  /** What `request` and the reservations would add. */
  function withReserved({ login, recipients, newRecipients }: QuotaRequest) {
    const others = [...(reserved.get(login) ?? [])];
    const sum = (of: (request: QuotaRequest) => number): number =>
      others.reduce((all, request) => all + of(request), 0);
    return {
      messages: others.length + 1,
      recipients: sum((request) => request.recipients.length) + recipients.length,
      newRecipients: sum((request) => request.newRecipients) + newRecipients,
    };
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
    return limitsOf(usage.of(login), nothing, allowance()).map(({ limit, unit, span, sent }) => {
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
      const broken = firstBroken(request);
      if (broken) return broken;
      const counted = { ...request };
      reserved.set(request.login, (reserved.get(request.login) ?? new Set<QuotaRequest>()).add(counted));
      const { login, recipients } = request;
      return { spend: { login, at: now(), recipients }, settle: (accepted) => settle(counted, accepted) };
    },
    refused,
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
