import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RecipientOutcome } from "../../../src/server/delivery/message/outgoing-message.ts";
import { type Destinations, newDestinations, shareOf } from "../../../src/server/queue/destinations.ts";
import { recipient } from "../delivery/fixtures.ts";

const minute = 60_000;
const bounds = { most: () => 20, unanswered: 50, firstPause: minute, longestPause: 15 * minute };

function said(code: number, status: string, relay = "mx.example.net[192.0.2.1]:25"): RecipientOutcome {
  const reply = { code, status, text: "words", relay, command: "", at: 0 };
  return { recipient: recipient("a@example.net"), reply, transmitting: 0 };
}

const ok = [said(250, "2.0.0")];
const down = [said(451, "4.4.1", "none")];

/** Destinations, and a clock to turn; chance is even. */
function make(more: Partial<typeof bounds> = {}) {
  const clock = { time: 0 };
  const destinations = newDestinations(
    { ...bounds, ...more },
    () => clock.time,
    () => 0.5,
  );
  return { clock, destinations };
}

/** Begins as many deliveries as are let. */
function fill(destinations: Destinations, to = "example.net"): number {
  let begun = 0;
  while (destinations.open(to) && destinations.begin(to) === undefined) begun++;
  return begun;
}

function deliver(
  destinations: Destinations,
  outcomes: readonly RecipientOutcome[],
  to = "example.net",
): boolean {
  expect(destinations.begin(to)).toBeUndefined();
  return destinations.end(to, outcomes);
}

describe("a destination", () => {
  test("begins with five deliveries at a time, whatever others do", () => {
    const { destinations } = make();
    expect(fill(destinations)).toBe(5);
    expect(fill(destinations, "example.org")).toBe(5);
  });

  test("that has not answered is let one, where others that have not hold half of all places", () => {
    const { destinations } = make();
    const hanging = Array.from({ length: 20 }, (_, number) => `${number}.example.net`);
    expect(hanging.map((to) => fill(destinations, to))).toEqual([...Array(10).fill(5), ...Array(10).fill(1)]);
    expect(destinations.begin("example.org")).toBeUndefined();
    expect(destinations.open("example.org")).toBe(false);
    destinations.end("example.org", ok);
    expect(destinations.begin("example.org")).toBeUndefined();
    expect(destinations.open("example.org")).toBe(false); // it was forgotten in between, as nothing was under way
    for (const to of hanging.slice(0, 3)) for (let one = 0; one < 5; one++) destinations.end(to, ok);
    expect(fill(destinations, "example.org")).toBe(4);
    expect(fill(destinations, "1.example.org")).toBe(1);
  });

  test("that has answered is let as many as before, whoever hangs", () => {
    const { destinations } = make();
    fill(destinations);
    destinations.end("example.net", ok);
    for (let number = 0; number < 20; number++) fill(destinations, `${number}.example.org`);
    expect(fill(destinations)).toBe(2);
  });

  test("is let one more with each that succeeds, up to the cap", () => {
    const { destinations } = make();
    let underWay = fill(destinations);
    for (let round = 0; round < 30; round++) {
      expect(destinations.end("example.net", ok)).toBe(true);
      underWay += fill(destinations) - 1;
    }
    expect(underWay).toBe(20);
  });

  test("that has answered is let half as many with each that fails, and pauses when as many have failed", () => {
    const { destinations } = make();
    let underWay = fill(destinations);
    for (let round = 0; round < 30; round++) {
      destinations.end("example.net", ok);
      underWay += fill(destinations) - 1;
    }
    for (const _ of [1, 2]) expect(destinations.end("example.net", down)).toBe(false);
    underWay -= 2;
    expect(destinations.open("example.net")).toBe(false); // five may be, 18 are
    for (; underWay >= 5; underWay--) destinations.end("example.net", ok);
    expect(destinations.open("example.net")).toBe(true);
    for (const _ of [1, 2, 3, 4]) destinations.end("example.net", down);
    expect(destinations.begin("example.net")).toBeDefined();
  });

  test("that has not answered yet pauses after the first that fails", () => {
    const { destinations } = make();
    deliver(destinations, down);
    expect(destinations.begin("example.net")).toEqual({
      until: minute,
      reply: { code: 451, status: "4.4.1", text: "delivery temporarily suspended: words" },
    });
    expect(destinations.begin("example.org")).toBeUndefined();
  });

  test.each([
    { name: "a refusal of the message", outcomes: [said(451, "4.4.1")], pauses: false },
    { name: "a domain that does not exist", outcomes: [said(550, "5.4.4", "none")], pauses: false },
    { name: "a message that cannot be read", outcomes: [said(451, "4.3.0", "none")], pauses: false },
    { name: "an answer about one of two recipients", outcomes: [...down, said(550, "5.1.1")], pauses: false },
    { name: "no outcome", outcomes: [], pauses: false },
    { name: "a connection that broke", outcomes: [said(451, "4.4.2", "none")], pauses: true },
    { name: "TLS that cannot be had", outcomes: [said(451, "4.7.5", "none")], pauses: true },
    { name: "a host that turns everybody away", outcomes: [said(451, "4.3.2", "none")], pauses: true },
    { name: "421 in the middle of a session", outcomes: [said(421, "4.7.0")], pauses: true },
  ])("pauses or goes on after $name", ({ outcomes, pauses }) => {
    const { destinations } = make();
    deliver(destinations, outcomes);
    expect(destinations.begin("example.net") !== undefined).toBe(pauses);
  });

  test("pauses longer each time, with one attempt between", () => {
    const { clock, destinations } = make();
    const lengths: number[] = [];
    for (let round = 0; round < 6; round++) {
      deliver(destinations, down);
      const until = destinations.next() ?? Number.NaN;
      lengths.push((until - clock.time) / minute);
      clock.time = until - 1;
      expect(destinations.over()).toEqual([]);
      clock.time = until;
      expect(destinations.over()).toEqual(["example.net"]);
      expect(destinations.over()).toEqual([]);
      expect(fill(destinations)).toBe(1);
      destinations.end("example.net", []);
    }
    expect(lengths).toEqual([1, 2, 4, 8, 15, 15]);
  });

  test("does not prolong a pause for what began before it", () => {
    const { destinations } = make();
    fill(destinations);
    for (const _ of [1, 2, 3]) destinations.end("example.net", down);
    expect(destinations.next()).toBe(minute);
  });

  test("goes on at once when one that began before the pause succeeds, and forgets its troubles", () => {
    const { destinations } = make();
    fill(destinations);
    destinations.end("example.net", down);
    expect(destinations.end("example.net", ok)).toBe(true);
    expect(destinations.begin("example.net")).toBeUndefined();
    expect(destinations.next()).toBeUndefined();
  });

  test("goes on when it is told to, alone or with all others", () => {
    const { destinations } = make();
    for (const to of ["example.net", "example.org"]) deliver(destinations, down, to);
    expect(destinations.forget("example.com")).toEqual([]);
    expect(destinations.forget("example.net")).toEqual(["example.net"]);
    expect(destinations.begin("example.net")).toBeUndefined();
    expect(destinations.forget()).toEqual(["example.org"]);
    expect(destinations.next()).toBeUndefined();
  });

  test("has room for one more where a delivery lets another use its connection", () => {
    const { destinations } = make();
    deliver(destinations, ok); // forgotten
    fill(destinations);
    destinations.yield("example.net");
    expect(fill(destinations)).toBe(1);
    destinations.unyield("example.net");
    expect(fill(destinations)).toBe(0);
    destinations.yield("example.net"); // six connections, of which one may be used again
    expect(fill(destinations)).toBe(0);
    destinations.yield("example.net");
    expect(fill(destinations)).toBe(1);
    destinations.end("example.net", ok, true);
    expect(fill(destinations)).toBe(1); // since it has answered
    expect(fill(destinations)).toBe(0);
  });

  test("is remembered for as long as one that has yielded is under way", () => {
    const { destinations } = make();
    destinations.begin("example.net");
    destinations.begin("example.net");
    destinations.yield("example.net");
    destinations.end("example.net", ok);
    destinations.end("example.net", down, true);
    expect(fill(destinations)).toBe(3); // 5, 6, and half of that
  });

  test("is let what its share allows as hosts come and go", () => {
    let hosts = 4;
    const { destinations } = make({ most: () => shareOf(12, hosts) });
    expect(fill(destinations)).toBe(3);
    hosts = 2;
    expect(fill(destinations)).toBe(2); // five to begin with, as ever
    for (let answers = 0; answers < 4; answers++) destinations.end("example.net", ok);
    expect(fill(destinations)).toBe(5);
    hosts = 3;
    expect(destinations.open("example.net")).toBe(false);
    for (let answers = 0; answers < 3; answers++) destinations.end("example.net", ok);
    expect(fill(destinations)).toBe(1);
    hosts = 100;
    for (let answers = 0; answers < 4; answers++) destinations.end("example.net", ok);
    expect(fill(destinations)).toBe(1);
  });

  test("is never given more than its cap, and always one at least", () => {
    const events = fc.array(fc.constantFrom("begin", "ok", "down", "nothing", "wait"), { maxLength: 100 });
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 8 }), (all, most) => {
        const { clock, destinations } = make({ most: () => most });
        let underWay = 0;
        for (const event of all) {
          if (event === "wait") {
            clock.time += 15 * minute;
            destinations.over();
          } else if (event === "begin") {
            if (!destinations.open("example.net")) expect(underWay).toBeGreaterThan(0);
            else if (destinations.begin("example.net") === undefined) underWay++;
          } else if (underWay > 0) {
            destinations.end("example.net", { ok, down, nothing: [] }[event]);
            underWay--;
          }
          expect(underWay).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});

test("hosts have together what one alone would have, and each has something", () => {
  expect([1, 2, 3, 4, 20, 21, 1_000].map((hosts) => shareOf(20, hosts))).toEqual([20, 10, 6, 5, 1, 1, 1]);
  const number = fc.integer({ min: 1, max: 1_000 });
  fc.assert(
    fc.property(number, number, (most, hosts) => {
      const share = shareOf(most, hosts);
      expect(share).toBeGreaterThanOrEqual(1);
      if (hosts <= most) {
        expect(share * hosts).toBeLessThanOrEqual(most);
        expect((share + 1) * hosts).toBeGreaterThan(most); // nothing is given away
      }
    }),
  );
});
