import { expect, test } from "vitest";
import type { HistoryEvent } from "../../../src/server/history/event.ts";
import { newProviderTally, newRecentProviders } from "../../../src/server/history/providers.ts";
import { reply } from "../../../src/smtp/reply.ts";

type DeliveryEvent = Extract<HistoryEvent, { readonly event: "delivery" }>;

const tried = (relay: string, said: ReturnType<typeof reply>, more: Partial<DeliveryEvent> = {}) =>
  ({
    ...{ at: 0, id: "A1", event: "delivery", to: "b@mail.example.net", relay, command: "" },
    ...{ delays: [1, 0, 0, 0], reply: said },
    ...more,
  }) satisfies DeliveryEvent;

const gmail = "alt1.gmail-smtp-in.l.google.com[192.0.2.1]:25";
const taken = reply(250, "2.0.0", "ok");
/** As the library does for these. */
const organisationOf = (host: string) => (/(?:^|\.)(example\.[a-z]+)$/.exec(host) ?? [])[1];

function summaries(events: readonly HistoryEvent[]) {
  const tally = newProviderTally(organisationOf);
  for (const event of events) tally.add(event);
  return tally.summaries();
}

test("a provider's hosts are one, others are those of their domain, and those with the most traffic come first", () => {
  const found = summaries([
    tried("mx1.example.net[192.0.2.2]:25", taken),
    tried("mx2.example.net[192.0.2.3]:25", taken),
    tried("mx2.example.net[192.0.2.3]:25", reply(550, "5.1.1", "User unknown")),
    tried(gmail, taken),
    tried("alt2.gmail-smtp-in.l.google.com[192.0.2.1]:25", reply(421, "4.7.28", "unusual rate")),
    tried("none", reply(451, "4.4.3", "the DNS does not answer")),
    tried("intranet[192.0.2.9]:25", taken),
  ]);
  expect(found.map(({ name, delivered, deferred, refused }) => [name, delivered, deferred, refused])).toEqual(
    [
      ["example.net", 2, 1, 1],
      ["Gmail", 1, 1, 0],
      ["intranet", 1, 0, 0],
    ],
  );
  expect(found[0]?.reasons).toEqual([
    { class: "no-such-user", times: 1 },
    { class: "no-answer", times: 1 },
  ]);
  expect(found[1]?.reasons).toEqual([{ class: "rate", times: 1 }]);
});

test("a host that does not talk is its provider's all the same", () => {
  const silent = reply(451, "4.4.1", "connect to mx1.riseup.net[192.0.2.4]:25: Connection refused");
  expect(summaries([tried("none", silent)])[0]).toMatchObject({ name: "Riseup", deferred: 1 });
});

test("half and 95 of 100 deliveries took no longer, to a tenth", () => {
  const delays = Array.from({ length: 100 }, (_, index) =>
    tried(gmail, taken, { delays: [0, 0, 0, index + 1] }),
  );
  const [{ delay } = {}] = summaries(delays.reverse());
  expect(delay?.median).toBeGreaterThan(45);
  expect(delay?.median).toBeLessThan(55);
  expect(delay?.percentile95).toBeGreaterThan(86);
  expect(delay?.percentile95).toBeLessThan(105);
  expect(summaries([tried(gmail, reply(451, "4.0.0", "later"))])[0]?.delay).toBeUndefined();
});

test("TLS is counted of what was taken", () => {
  const found = summaries([
    tried(gmail, taken, { tls: "Verified TLSv1.3" }),
    tried(gmail, taken, { tls: "Untrusted TLSv1.2" }),
    tried(gmail, taken),
    tried(gmail, reply(450, "4.2.0", "Greylisted"), { tls: "Trusted TLSv1.3" }),
  ]);
  expect(found[0]?.tls).toEqual({ verified: 1, unverified: 1, clear: 1 });
});

test("a host that is called by its address is the provider's whose host has that address", () => {
  const byName = tried("mx1.example.net[192.0.2.2]:25", taken);
  const byAddress = tried("192.0.2.2[192.0.2.2]:2525", taken, { to: "c@gmail.com" });
  for (const events of [
    [byName, byAddress],
    [byAddress, byName],
  ]) {
    expect(summaries(events).map(({ name, delivered }) => [name, delivered])).toEqual([["example.net", 2]]);
  }
  expect(summaries([byAddress])[0]?.name).toBe("192.0.2.2"); // no other name is known
});

test("however many hosts there are, memory is bounded", () => {
  const many = Array.from({ length: 6_000 }, (_, at) => tried(`mx.host${at}[192.0.2.2]:25`, taken));
  const found = summaries(many);
  expect(found.length).toBe(5_001);
  expect(found[0]).toMatchObject({ name: "other hosts", delivered: 1_000 });
});

test("of the last hours, what is older is forgotten", () => {
  const hour = 3_600_000;
  const start = 400_000 * hour;
  const recent = newRecentProviders(24);
  for (let at = 0; at < 30; at += 1) recent.add(tried(gmail, taken, { at: start + at * hour }));
  const deliveredAt = (at: number) => recent.at(start + at * hour, organisationOf)[0]?.delivered;
  expect(deliveredAt(29)).toBe(24);
  expect(deliveredAt(40)).toBe(13);
  expect(deliveredAt(60)).toBeUndefined();
  recent.add(tried(gmail, taken, { at: start + 28 * hour })); // recalled, behind what is new
  expect(deliveredAt(29)).toBe(25);
});
