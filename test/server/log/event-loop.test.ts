import { afterEach, expect, test } from "vitest";
import {
  markWith,
  takeLongestWork,
  watchEventLoop,
  workOnEach,
  workOnMessage,
} from "../../../src/server/log/event-loop.ts";
import { logTo } from "../../../src/server/log/log.ts";

afterEach(() => {
  logTo(() => undefined);
  markWith(() => undefined);
});

/** A watch with clocks that are turned by hand. */
function watched() {
  const said: string[] = [];
  logTo(({ text }) => said.push(text));
  let [time, used, milliseconds] = [0, 0, 0];
  let look = (): void => undefined;
  const watch = watchEventLoop({
    now: () => time,
    processor: () => used,
    longest: () => ({ id: "A1", milliseconds }),
    every: (_, ring) => {
      look = ring;
      return () => undefined;
    },
  });
  const pass = (after: number, busy = 0, longest = 0): void => {
    time += after;
    used += busy;
    milliseconds = longest;
    look();
  };
  return { said, watch, pass };
}

test("a loop that comes round late is told of, with the message that held it up and the processor's share", () => {
  const { said, watch, pass } = watched();
  pass(100);
  pass(900, 900, 900);
  expect(said).toEqual([]);
  pass(4_200, 4_100, 4_050);
  expect(said).toEqual(["nothing was done for 4.1 seconds (4.1 of the processor), with A1 in hand"]);
  pass(3_100, 100, 20); // the machine stood still
  expect(said[1]).toBe("nothing was done for 3.0 seconds (0.1 of the processor)");
  expect(watch.delay()).toBeCloseTo(4.1);
});

test("the longest delay is forgotten after two minutes", () => {
  const { watch, pass } = watched();
  pass(600);
  for (let at = 0; at < 700; at += 1) pass(100);
  expect(watch.delay()).toBeCloseTo(0.5);
  for (let at = 0; at < 700; at += 1) pass(100);
  expect(watch.delay()).toBe(0);
});

test("work is done in the name of a message, also within another's, whatever it comes to", () => {
  const marks: string[] = [];
  markWith((id) => marks.push(id));
  takeLongestWork();
  expect(workOnMessage("A1", () => workOnMessage("A1", () => workOnMessage("B2", () => 7)))).toBe(7);
  expect(() => workOnMessage("C3", () => JSON.parse("{"))).toThrow();
  expect(marks).toEqual(["A1", "B2", "A1", "", "C3", ""]);
  expect(takeLongestWork().id).not.toBe("");
  expect(takeLongestWork()).toEqual({ id: "", milliseconds: 0 });
});

test("work on many messages is marked as it passes from one to the next, and one that fails stops no other", () => {
  const marks: string[] = [];
  const done: string[] = [];
  markWith((id) => marks.push(id));
  workOnEach(
    [{ id: "A1" }, { id: "B2" }, { id: "C3" }],
    ({ id }) =>
      workOnMessage(id, () => {
        if (id === "B2") throw new Error("poison");
        done.push(id);
      }),
    (error, { id }) => done.push(`${id}: ${String(error)}`),
  );
  workOnEach([], fail, fail);
  expect(done).toEqual(["A1", "B2: Error: poison", "C3"]);
  expect(marks).toEqual(["A1", "B2", "C3", ""]);
  expect(takeLongestWork().id).not.toBe("");
});

function fail(): never {
  throw new Error("there is nothing to do");
}
