import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newTimerQueue, type TimedMessage, type TimerQueue } from "../../../src/server/queue/timer-queue.ts";

const item = (id: string, due: number, login = "user1", more: Partial<TimedMessage> = {}): TimedMessage => ({
  id,
  login,
  due,
  destinations: ["example.net"],
  suspended: false,
  ...more,
});

const everywhere = (): boolean => true;

/** Everything that is due at `now`, in the order in which it is given out. */
function takeAll(
  agenda: TimerQueue<TimedMessage>,
  now: number,
  open = everywhere as (to: string) => boolean,
): string[] {
  const taken: string[] = [];
  for (let next = agenda.take(now, open); next; next = agenda.take(now, open)) taken.push(next.entry.id);
  return taken;
}

describe("the agenda", () => {
  test("gives out what is due, and nothing before its time", () => {
    const agenda = newTimerQueue();
    agenda.put(item("later", 20));
    agenda.put(item("now", 10));
    expect(agenda.next()).toBe(10);
    expect(takeAll(agenda, 10)).toEqual(["now"]);
    expect(agenda.next()).toBe(20);
    expect(takeAll(agenda, 19)).toEqual([]);
    expect(takeAll(agenda, 25)).toEqual(["later"]);
    expect(agenda.next()).toBeUndefined();
  });

  test("gives each login its turn: one with 5000 messages does not delay another's single one", () => {
    const agenda = newTimerQueue();
    for (let number = 0; number < 5000; number++) agenda.put(item(`a${number}`, number / 5000, "a"));
    expect(agenda.take(1, everywhere)?.entry.id).toBe("a0");
    agenda.put(item("b0", 1, "b"));
    agenda.put(item("b1", 1, "b"));
    agenda.put(item("report", 1, ""));
    expect(takeAll(agenda, 1).slice(0, 6)).toEqual(["a1", "b0", "report", "a2", "b1", "a3"]);
  });

  test("gives each destination of a login its turn, and passes over one that is not open", () => {
    const agenda = newTimerQueue();
    for (const number of [1, 2, 3]) agenda.put(item(`net${number}`, number));
    agenda.put(item("org1", 0, "user1", { destinations: ["example.org"] }));
    agenda.put(item("both", 0, "user2", { destinations: ["example.net", "example.org"] }));
    expect(takeAll(agenda, 3, (to) => to === "example.org")).toEqual(["org1", "both"]);
    expect(takeAll(agenda, 3)).toEqual(["net1", "both", "net2", "net3"]);
  });

  test("knows what is left of a message, and gives out nothing that was taken off it", () => {
    const agenda = newTimerQueue();
    const both = item("both", 0, "user1", { destinations: ["example.net", "example.org"] });
    const later = item("later", 9);
    for (const one of [both, later]) agenda.put(one);
    expect(agenda.take(0, everywhere)).toEqual({ entry: both, destination: "example.net" });
    expect([agenda.has(both), agenda.has(later)]).toEqual([true, true]);
    for (const one of [both, later]) agenda.remove(one);
    expect([agenda.has(both), agenda.has(later)]).toEqual([false, false]);
    expect(takeAll(agenda, 9)).toEqual([]);
  });

  test("gives out what is parked when its destination opens, or when it is due", () => {
    const agenda = newTimerQueue();
    for (const number of [1, 2, 3]) agenda.put(item(`p${number}`, 6 + number, "user1", { suspended: true }));
    agenda.put(item("other", 9));
    agenda.resume("example.org");
    expect(takeAll(agenda, 0)).toEqual([]);
    agenda.resume("example.net", 1);
    expect(takeAll(agenda, 0)).toEqual(["p1"]);
    agenda.resume("example.net");
    expect(takeAll(agenda, 0)).toEqual(["p2", "p3"]);
    expect(takeAll(agenda, 9)).toEqual(["other"]);
  });

  test("gives out every visit once that was not taken off, in order of due time, whatever was put in", () => {
    const entries = fc.array(
      fc.record({
        due: fc.nat(50),
        login: fc.constantFrom("a", "b", ""),
        destinations: fc.constantFrom(["x"], ["y"], ["x", "y"]),
        parked: fc.boolean(),
        wait: fc.nat(20),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(entries, (all) => {
        const agenda = newTimerQueue();
        const given: string[] = [];
        const expected: string[] = [];
        const takeUntil = (now: number): void => {
          for (let next = agenda.take(now, everywhere); next; next = agenda.take(now, everywhere)) {
            if (!next.entry.suspended) expect(next.entry.due).toBeLessThanOrEqual(now);
            given.push(`${next.entry.id} ${next.destination}`);
          }
        };
        let now = 0;
        for (const [number, { due, login, destinations, parked, wait }] of all.entries()) {
          const entry = item(String(number), due, login, { destinations, suspended: parked });
          agenda.put(entry);
          now += wait % 3;
          if (wait === 0) takeUntil(now);
          if (wait === 1) agenda.resume("x", 2);
          if (wait === 2) agenda.remove(entry);
          else expected.push(...destinations.map((to) => `${number} ${to}`));
        }
        takeUntil(50 + now);
        expect(given.sort()).toEqual(expected.sort());
        expect(agenda.next()).toBeUndefined();
      }),
    );
  });
});
