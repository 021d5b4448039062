/** What is counted as events come, which must be what is counted from the files. */
import { expect, test } from "vitest";
import { countActivity, newRecentActivity, sumOf } from "../../../src/server/history/activity.ts";
import type { HistoryEvent } from "../../../src/server/history/event.ts";
import { newWaitingTally } from "../../../src/server/history/waiting.ts";

const now = Date.UTC(2026, 10, 29, 12) - 1; // the end of a part of an hour, so that both count the same span
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const client = { door: "submission", mechanism: "PLAIN" } as const;
const accepted = (at: number, login: string, recipients: number): HistoryEvent => ({
  at,
  event: "accepted",
  id: "000000000001",
  from: "",
  size: 1,
  recipients,
  login,
});
const delivery = (at: number, id: string, to: string, code: number): HistoryEvent => ({
  at,
  event: "delivery",
  id,
  to,
  relay: "none",
  delays: [30, 30, 0, 0],
  reply: { code, status: `${code}`.replace(/^(.).*/, "$1.0.0"), text: "said" },
  command: "",
});
const wrong = (at: number, from: string): HistoryEvent => ({
  at,
  event: "auth-failed",
  ...client,
  client: from,
  login: "x",
  reason: "no",
});

test("counts the last day as the files do, and forgets what is older", async () => {
  const recent = newRecentActivity(24);
  const events: HistoryEvent[] = [];
  for (let at = now - 3 * day; at <= now; at += 7 * minute) {
    events.push(accepted(at, `user${events.length % 7}`, 1 + (events.length % 3)));
    events.push(delivery(at, "000000000001", "anna@example.net", [250, 450, 550][events.length % 3] ?? 250));
    events.push(wrong(at, `unknown[192.0.2.${events.length % 9}]`));
  }
  for (const event of events) recent.add(event);
  const counted = await countActivity(generate(events), now + 1 - day, now + 1, 24);
  const { top, ...remembered } = recent.at(now);
  expect(remembered).toEqual(counted);
  expect(sumOf(counted.slots).accepted).toBe(Math.floor(day / (7 * minute)) + 1);
  expect(top).toHaveLength(5);
  expect(sumOf(recent.at(now + 2 * day).slots).accepted).toBe(0);
});

async function* generate<Value>(values: readonly Value[]): AsyncGenerator<Value> {
  yield* values;
}

test("knows who waits: whoever was put off, until it is delivered, given up or gone", () => {
  const waiting = newWaitingTally();
  const deferred = (id: string, to: string) => waiting.add(delivery(now, id, to, 450));
  deferred("A", "anna@Example.net");
  deferred("A", "anna@example.net");
  deferred("A", "ben@example.net");
  deferred("B", "carl@example.com");
  expect(waiting.destinations(5)).toMatchObject([
    { domain: "example.net", recipients: 3, oldest: now - minute, reply: { code: 450 } },
    { domain: "example.com", recipients: 1 },
  ]);
  waiting.add(delivery(now, "A", "ben@example.net", 250));
  waiting.add(delivery(now, "A", "anna@Example.net", 550));
  expect(waiting.destinations(1)).toMatchObject([{ domain: "example.net", recipients: 1 }]);
  waiting.add({ at: now, event: "removed", id: "A" });
  expect(waiting.destinations(5)).toMatchObject([{ domain: "example.com", recipients: 1 }]);
  waiting.add({ at: now, event: "removed", id: "B" });
  expect(waiting.destinations(5)).toEqual([]);
});
