/** Deliveries to one host in a row, each begun as soon as its MAIL can go behind the end of the message before. */

import { afterEach } from "vitest";
import { attempt } from "../../../src/server/delivery/attempt.ts";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import { newSessionPool, type SessionPool } from "../../../src/server/delivery/session-pool.ts";
import type { DeliveryActivity } from "../../../src/server/delivery/transaction.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { hop, message, outgoing, recipient, transportSettings } from "./fixtures.ts";

const opened: SessionPool[] = [];

afterEach(() => {
  for (const sessions of opened.splice(0)) sessions.close();
});

export interface Posting {
  readonly what?: Partial<Envelope>;
  readonly text?: string;
  readonly signal?: AbortSignal;
}

/**
 * Delivers each message, the next one as soon as the one before has only its reply to wait for and yields, or has ended. The
 * host answers after so many milliseconds of a clock that the test has. Where it `isFull`, the next one waits for nothing but a
 * place there. `others` are further addresses of its.
 */
export function postman(
  at: { readonly port: number },
  milliseconds = 50,
  more: Partial<TransportSettings> = {},
  { isFull = false, others = [] }: { readonly isFull?: boolean; readonly others?: readonly NextHop[] } = {},
) {
  let time = 0;
  const now = (): number => {
    time += milliseconds;
    return time;
  };
  const sessions = newSessionPool(() => 0);
  opened.push(sessions);
  const activities: DeliveryActivity[] = [];

  async function deliver(
    { what = {}, text = message, signal = new AbortController().signal }: Posting,
    next: () => boolean,
  ): Promise<readonly RecipientOutcome[]> {
    const settings = { sessions, ...more };
    const outcomes = await attempt(
      outgoing(what, text),
      [hop(at.port), ...others],
      transportSettings({ ...settings, now }),
      () => 0,
      signal,
      (activity, decline) => {
        const isDeclined = activity === "yields" && decline !== undefined && !(isFull && next());
        activities.push(isDeclined ? "waits" : activity);
        if (isDeclined) decline();
        else if (activity === "yields") next();
      },
    );
    next();
    return outcomes;
  }

  async function deliverAll(
    ...postings: readonly Posting[]
  ): Promise<readonly (readonly RecipientOutcome[])[]> {
    const results: Promise<readonly RecipientOutcome[]>[] = [];
    const begin = (number: number): boolean => {
      const posting = postings[number];
      const isDue = posting !== undefined && results.length === number;
      if (isDue) results[number] = deliver(posting, () => begin(number + 1));
      return isDue;
    };
    begin(0);
    for (let number = 0; number < postings.length; number++) await results[number];
    return Promise.all(results);
  }

  return { activities, deliverAll };
}

export const to = (...addresses: readonly string[]): Posting => ({
  what: { recipients: addresses.map((address) => recipient(address)) },
});
