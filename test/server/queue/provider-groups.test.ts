/** Destinations of one provider: counted together, paused together. */
import { describe, expect, test } from "vitest";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import { newProviderLookup, type ProviderTerms } from "../../../src/server/delivery/provider-terms.ts";
import { newProviderGroups, type ProviderGroups } from "../../../src/server/queue/provider-groups.ts";
import { recipient } from "../delivery/fixtures.ts";

const minute = 60_000;
const big: ProviderTerms = { name: "Big", concurrency: 8, messages: 10, pause: 10 * minute };

function said(
  code: number,
  status: string,
  text = "words",
  relay = "mx.big.example[192.0.2.1]:25",
): RecipientOutcome {
  const reply = { code, status, text, relay, command: "", at: 0 };
  return { recipient: recipient("a@example.net"), reply, transmitting: 0 };
}

const ok = [said(250, "2.0.0")];
const slow = [said(421, "4.7.28", "too fast")];

function make(hosts?: () => number) {
  const clock = { time: 0 };
  const groups = newProviderGroups(
    () => clock.time,
    () => 0.5,
    hosts,
  );
  return { clock, groups };
}

/** A delivery to `to`, whose hosts are Big's; undefined where it is not let. */
function enter(groups: ProviderGroups, to: string, terms: ProviderTerms | null = big) {
  if (!groups.open(to) || groups.pauseOf(to)) return undefined;
  const visit = groups.begin(to);
  if (visit.admit(terms ?? undefined)) return visit;
  expect(visit.end([])).toEqual({ slowsDown: false, resumed: [] });
  return undefined;
}

const domains = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, number) => `${number}.example`);

describe("the destinations of a provider", () => {
  test("begin with five deliveries together, known before or not, and get more as it answers, up to its terms", () => {
    const { groups } = make();
    const begun = domains(20).flatMap((to) => enter(groups, to) ?? []);
    expect(begun).toHaveLength(5);
    expect(domains(20).filter((to) => groups.open(to))).toEqual([]);
    expect(enter(groups, "elsewhere.example", null)).toBeDefined();
    for (const visit of begun) visit.end(ok);
    const more = domains(20).flatMap((to) => enter(groups, to) ?? []);
    expect(more).toHaveLength(8);
  });

  test("are let this host's part of what the provider takes from all hosts", () => {
    let hosts = 3;
    const { groups } = make(() => hosts);
    const begun = domains(20).flatMap((to) => enter(groups, to) ?? []);
    expect(begun).toHaveLength(2);
    expect(groups.open("0.example")).toBe(false);
    hosts = 1;
    begun.push(...domains(20).flatMap((to) => enter(groups, to) ?? []));
    expect(begun).toHaveLength(5);
    hosts = 9;
    for (const visit of begun.splice(0, 4)) visit.end(ok);
    expect(groups.open("0.example")).toBe(false);
    begun.pop()?.end(ok);
    expect(domains(20).flatMap((to) => enter(groups, to) ?? [])).toHaveLength(1);
  });

  test("pause together at the first complaint, and each that is told waits for the end", () => {
    const { clock, groups } = make();
    const [one, other] = [enter(groups, "a.example"), enter(groups, "b.example")];
    expect(one?.end(slow)).toEqual({ slowsDown: true, resumed: [] });
    expect(other?.end(slow)).toEqual({ slowsDown: true, resumed: [] }); // it began before: no second pause
    expect(groups.pauses()).toMatchObject([
      { provider: "Big", until: 10 * minute, reason: "421 4.7.28 too fast" },
    ]);
    expect(groups.open("a.example")).toBe(true);
    expect(groups.pauseOf("b.example")?.reply).toMatchObject({
      code: 421,
      text: "delivery temporarily suspended: too fast",
    });
    // One that nobody knew to be Big's comes as far as its MX.
    const stranger = groups.begin("c.example");
    expect(stranger.admit(big)).toBe(false);
    stranger.end([]);
    expect(groups.pauseOf("c.example")).toBeDefined();
    expect(groups.next()).toBe(10 * minute);
    clock.time = 10 * minute;
    expect(groups.over()).toEqual(["b.example", "c.example"]);
    expect(groups.next()).toBeUndefined();
    const first = enter(groups, "b.example");
    expect(enter(groups, "c.example")).toBeUndefined(); // one at a time
    expect(first?.end(ok)).toEqual({ slowsDown: false, resumed: ["b.example", "c.example"] });
    expect(domains(9).flatMap((to) => enter(groups, to) ?? [])).toHaveLength(2);
  });

  test("pause for longer each time in a row, an hour at most", () => {
    const { clock, groups } = make();
    const lengths: number[] = [];
    for (let time = 0; time < 5; time++) {
      enter(groups, "a.example")?.end(slow);
      lengths.push(((groups.next() ?? 0) - clock.time) / minute);
      clock.time = groups.next() ?? 0;
      groups.over();
    }
    expect(lengths).toEqual([10, 20, 40, 60, 60]);
    enter(groups, "a.example")?.end(ok);
    enter(groups, "a.example")?.end(slow);
    expect((groups.next() ?? 0) - clock.time).toBe(10 * minute);
  });

  test.each([
    ["421 of any kind", said(421, "4.3.0"), true],
    [
      "421 in the greeting, which is a reply of ours",
      said(421, "4.7.0", "host mx.big.example[192.0.2.1] refused to talk to me: 421 4.7.0 busy", "none"),
      true,
    ],
    ["4.7.x", said(451, "4.7.650"), true],
    ["greylisting", said(451, "4.7.1", "Greylisted, come back"), false],
    ["a full mailbox", said(452, "4.2.2"), false],
    ["TLS of ours that failed", said(451, "4.7.5", "no certificate", "none"), false],
    ["a refusal for good", said(550, "5.7.1"), false],
    ["a host that is down", said(451, "4.4.1", "connect: refused", "none"), false],
  ])("%s is a complaint: %s", (_, outcome, slowsDown) => {
    const { groups } = make();
    expect(enter(groups, "a.example")?.end([outcome]).slowsDown).toBe(slowsDown);
    expect(groups.pauses()).toHaveLength(slowsDown ? 1 : 0);
  });

  test("may be forgotten by an operator, one or all", () => {
    const { groups } = make();
    enter(groups, "a.example")?.end(slow);
    groups.pauseOf("a.example");
    expect(groups.forget("elsewhere.example")).toEqual([]);
    expect(groups.forget("a.example")).toEqual(["a.example"]);
    expect(groups.pauses()).toEqual([]);
    enter(groups, "a.example")?.end(slow);
    expect(groups.forget()).toEqual([]);
    expect(groups.pauses()).toEqual([]);
  });

  test("are free again when a delivery yields its connection, or its domain moves elsewhere", () => {
    const { groups } = make();
    const one = { ...big, concurrency: 1 };
    const visit = enter(groups, "a.example", one);
    expect(enter(groups, "b.example", one)).toBeUndefined();
    visit?.yield();
    const second = enter(groups, "b.example", one);
    expect(second).toBeDefined();
    visit?.end(ok);
    expect(groups.open("a.example")).toBe(false);
    second?.end(ok);
    const moved = groups.begin("a.example");
    expect(moved.admit(undefined)).toBe(true);
    expect(groups.open("b.example")).toBe(true);
    moved.end(ok);
    expect(groups.open("b.example")).toBe(true);
  });
});

describe("the terms of a provider", () => {
  test("are those of its row, of all its hosts, changed by the settings", () => {
    const lookup = newProviderLookup([
      { name: "Microsoft", hosts: [], concurrency: 2 },
      { name: "Neighbour", hosts: ["mx.example.net"], pause: minute },
    ]);
    expect(lookup("aspmx.l.google.com")?.name).toBe("Google");
    expect(lookup("gmail-smtp-in.l.google.com")).toBe(lookup("ASPMX.L.google.com"));
    expect(lookup("example-org.mail.protection.outlook.com")).toEqual({
      name: "Microsoft",
      concurrency: 2,
      messages: 20,
      pause: 15 * minute,
    });
    expect(lookup("1.mx.example.net")).toEqual({
      name: "Neighbour",
      concurrency: 10,
      messages: 50,
      pause: minute,
    });
    expect(lookup("mx.example.net")?.name).toBe("Neighbour");
    expect(lookup("notmx.example.net")).toBeUndefined();
    expect(lookup("192.0.2.1")).toBeUndefined();
  });
});
