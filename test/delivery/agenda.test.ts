import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Item, newAgenda } from "../../src/server/delivery/agenda.ts";

const item = (id: string, due: number, login = "user1"): Item => ({ id, login, accepted: 0, due });

/** Everything that is due at `now`, in the order in which it is given out. */
function takeAll(agenda: ReturnType<typeof newAgenda>, now: number): readonly string[] {
  const taken: string[] = [];
  for (let next = agenda.take(now); next; next = agenda.take(now)) taken.push(next.id);
  return taken;
}

describe("the agenda", () => {
  test("gives out what is due, and nothing before its time", () => {
    const agenda = newAgenda();
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
    const agenda = newAgenda();
    for (let number = 0; number < 5000; number++) agenda.put(item(`a${number}`, number / 5000, "a"));
    expect(agenda.take(1)?.id).toBe("a0");
    agenda.put(item("b0", 1, "b"));
    agenda.put(item("b1", 1, "b"));
    agenda.put(item("report", 1, ""));
    expect(takeAll(agenda, 1).slice(0, 6)).toEqual(["a1", "b0", "report", "a2", "b1", "a3"]);
  });

  test("gives out everything once, in order of due time for each login, whatever was put in", () => {
    const entries = fc.array(
      fc.record({ due: fc.nat(50), login: fc.constantFrom("a", "b", ""), wait: fc.nat(20) }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(entries, (all) => {
        const agenda = newAgenda();
        const given: { readonly item: Item; readonly at: number }[] = [];
        const takeUntil = (now: number): void => {
          for (let next = agenda.take(now); next; next = agenda.take(now))
            given.push({ item: next, at: now });
        };
        let now = 0;
        for (const [number, { due, login, wait }] of all.entries()) {
          agenda.put(item(String(number), due, login));
          now += wait % 3;
          if (wait === 0) takeUntil(now);
        }
        takeUntil(50 + now);
        expect(given.map((one) => Number(one.item.id)).sort((a, b) => a - b)).toEqual([...all.keys()]);
        expect(given.every((one) => one.item.due <= one.at)).toBe(true);
      }),
    );
  });
});
