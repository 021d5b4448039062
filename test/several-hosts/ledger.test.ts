/** The judge of the run with several hosts: it must see what went wrong, and only that. */
import { describe, expect, test } from "vitest";
import { type Happened, judge, percentile, type Sent, type Taken } from "./ledger.ts";

const [one, other] = ["192.0.2.1", "192.0.2.2"];

const sent = (token: string, outcome: Sent["outcome"] = "promised", ended = 1_000): Sent => ({
  token,
  host: one,
  recipients: ["w0@example.net"],
  outcome,
  ended,
});

const taken = (token: string, at: number, from = one, more: Partial<Taken> = {}): Taken => ({
  token,
  recipient: "w0@example.net",
  from,
  begun: at - 10,
  at,
  answered: at + 10,
  whole: true,
  ...more,
});

const killed = (at: number, over?: number): Happened => ({
  kind: "killed",
  host: one,
  at,
  ...(over !== undefined && { over }),
});

describe("a judge of several hosts", () => {
  test("finds nothing in a quiet run", () => {
    expect(judge({ sent: [sent("a")], taken: [taken("a", 1_100)], happened: [] })).toEqual({
      promised: 1,
      copies: 1,
      lost: [],
      invented: [],
      altered: [],
      againOutside: [],
      again: new Map(),
      unheard: 0,
      later: 0,
      takeovers: new Map(),
    });
  });

  test("finds what is lost, of each recipient", () => {
    const letter = { ...sent("a"), recipients: ["w0@example.net", "w1@example.net"], id: "1A2B" };
    const { lost } = judge({ sent: [letter], taken: [taken("a", 1_100)], happened: [killed(1_200)] });
    expect(lost).toEqual(["a to w1@example.net is lost, promised by 192.0.2.1 as 1A2B"]);
  });

  test("finds what nobody sent, and what was refused or not sent to its end", () => {
    const { invented } = judge({
      sent: [sent("a", "refused"), sent("b", "unsent")],
      taken: [taken("a", 1_100), taken("b", 1_100), taken("c", 1_100)],
      happened: [],
    });
    expect(invented).toEqual([
      "a to w0@example.net came though it was refused",
      "b to w0@example.net came though it was unsent",
      "c to w0@example.net was sent by nobody",
    ]);
  });

  test("counts what came though its client heard nothing, or that it is to wait", () => {
    const { invented, unheard, later } = judge({
      sent: [sent("a", "unknown"), sent("b", "later"), sent("c", "later")],
      taken: [taken("a", 1_100), taken("b", 1_100)],
      happened: [],
    });
    expect({ invented, unheard, later }).toEqual({ invented: [], unheard: 1, later: 1 });
  });

  test("finds what came altered", () => {
    const { altered } = judge({
      sent: [sent("a")],
      taken: [taken("a", 1_100, one, { whole: false })],
      happened: [],
    });
    expect(altered).toEqual(["a to w0@example.net came altered"]);
  });

  test.each([
    ["right before its host was killed", taken("a", 2_000), 2_050, 1],
    ["long before its host was killed", taken("a", 2_000), 12_000, 0],
    ["by a host to which nothing happened", taken("a", 2_000, other), 2_050, 0],
  ])("a copy that came again after one that was taken %s", (_, first, death, excused) => {
    const second = taken("a", 19_000, other);
    const { again, againOutside } = judge({
      sent: [sent("a")],
      taken: [first, second],
      happened: [killed(death, 18_000)],
    });
    expect({ again: again.get("killed") ?? 0, outside: againOutside.length }).toEqual({
      again: excused,
      outside: 1 - excused,
    });
  });

  test("a copy that hung in the connection of a host that was cut off comes again", () => {
    const cut: Happened = { kind: "cut off", host: one, at: 2_000, over: 9_000 };
    const stuck = taken("a", 9_100, one, { begun: 1_990, answered: 9_101 });
    const { again, againOutside } = judge({
      sent: [sent("a")],
      taken: [taken("a", 5_000, other), stuck],
      happened: [cut],
    });
    expect({ again: [...again], againOutside }).toEqual({ again: [["cut off", 1]], againOutside: [] });
  });

  test("nothing comes twice because a host ended in good order, or was drained", () => {
    for (const kind of ["ended", "drained"] as const) {
      const { againOutside } = judge({
        sent: [sent("a")],
        taken: [taken("a", 2_000), taken("a", 4_000, other)],
        happened: [{ kind, host: one, at: 2_010, over: 5_000 }],
      });
      expect(againOutside).toHaveLength(1);
    }
  });

  test("the time of a takeover is that of the first message of the dead host which another one brings", () => {
    const { takeovers } = judge({
      sent: [sent("a"), sent("b"), sent("c")],
      taken: [taken("a", 1_500), taken("b", 6_000, other), taken("c", 5_000, other)],
      happened: [killed(2_000, 9_000)],
    });
    expect([...takeovers]).toEqual([["killed", [3_000]]]);
  });

  test("a host that is back before anybody noticed was not taken over, nor what was another's already", () => {
    const { takeovers } = judge({
      sent: [sent("a"), sent("b")],
      taken: [taken("a", 6_000, other), taken("b", 8_100, other)],
      happened: [killed(2_000, 3_000), killed(8_000, 12_000)],
    });
    expect([...takeovers]).toEqual([]);
  });
});

test("a percentile is one of the values", () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect([percentile(values, 50), percentile(values, 99), percentile([7], 99), percentile([], 50)]).toEqual([
    100,
    198,
    7,
    undefined,
  ]);
});
