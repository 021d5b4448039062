import { describe, expect, test } from "vitest";
import { nagiosText, worst } from "../../src/probe/nagios.ts";
import { type Fate, type GradedRoute, type ProbeResult, resultOf } from "../../src/probe/result.ts";

const judged: GradedRoute = {
  route: "net",
  provider: "example.net",
  warn: 60_000,
  crit: 300_000,
  grades: {},
};
const report = {
  action: "failed",
  status: "5.1.1",
  diagnostic: "550 no such user",
  reporter: "mx.example.net",
} as const;
const arrived = (place: "inbox" | "spam", after: number): Fate => ({
  kind: "arrived",
  place,
  folder: place === "spam" ? "Junk" : "INBOX",
  after,
  hops: [],
  findings: {},
  changes: [],
});
const textOf = (...results: readonly ProbeResult[]): string => nagiosText(results, () => judged);

describe("the line for Nagios", () => {
  test.each([
    [
      arrived("inbox", 3210),
      250,
      "PROBE OK - in INBOX after 3.2 s | arrival=3.210s;60.000;300.000;0 submission=0.250s;;;0\n",
    ],
    [
      arrived("inbox", 61_000),
      250,
      "PROBE WARNING - in INBOX after 61 s, which is late | arrival=61.000s;60.000;300.000;0 submission=0.250s;;;0\n",
    ],
    [
      arrived("inbox", 600_000),
      250,
      "PROBE CRITICAL - in INBOX after 10 min, which is too late | arrival=600.000s;60.000;300.000;0 submission=0.250s;;;0\n",
    ],
    [
      arrived("spam", 3000),
      250,
      "PROBE WARNING - in the spam folder Junk after 3.0 s | arrival=3.000s;60.000;300.000;0 submission=0.250s;;;0\n",
    ],
    [{ kind: "missing", after: 20_000 }, 250, "PROBE OK - on its way for 20 s | submission=0.250s;;;0\n"],
    [
      { kind: "missing", after: 301_000 },
      250,
      "PROBE CRITICAL - lost: not there after 5 min | submission=0.250s;;;0\n",
    ],
    [
      { kind: "returned", after: 2000, report },
      250,
      "PROBE CRITICAL - returned after 2.0 s by mx.example.net: 550 no such user | submission=0.250s;;;0\n",
    ],
    [
      { kind: "refused", step: "RCPT TO", reply: "550 5.7.1 no | never" },
      undefined,
      "PROBE CRITICAL - refused at RCPT TO: 550 5.7.1 no / never\n",
    ],
    [
      { kind: "down", reason: "Connection refused" },
      undefined,
      "PROBE CRITICAL - not to be submitted: Connection refused\n",
    ],
    [
      { kind: "unseen", reason: "the mailbox of x cannot be looked at:\u001b[2J\nno" },
      undefined,
      "PROBE UNKNOWN - the mailbox of x cannot be looked at: [2J no\n",
    ],
  ] satisfies readonly (readonly [Fate, number | undefined, string])[])("%j", (fate, submitted, expected) => {
    expect(textOf(resultOf(judged, fate, 0, submitted))).toBe(expected);
  });

  const well = resultOf(judged, arrived("inbox", 1000), 0, 100);
  const late = resultOf({ ...judged, route: "it's=late" }, arrived("inbox", 70_000), 0, 100);
  const blind = resultOf({ ...judged, route: "blind" }, { kind: "unseen", reason: "no login" }, 0, 100);
  const down = resultOf({ ...judged, route: "down" }, { kind: "down", reason: "refused" }, 0);

  test("of several routes tells the worst first, and each below", () => {
    expect(textOf(well, late, blind, down)).toBe(
      "PROBE CRITICAL - 3 of 4 routes: down not to be submitted: refused | 'net arrival'=1.000s;60.000;300.000;0 'net submission'=0.100s;;;0 'it_s_late arrival'=70.000s;60.000;300.000;0 'it_s_late submission'=0.100s;;;0 'blind submission'=0.100s;;;0\n" +
        "CRITICAL: down: not to be submitted: refused\nUNKNOWN: blind: no login\nWARNING: it's=late: in INBOX after 70 s, which is late\nOK: net: in INBOX after 1.0 s\n",
    );
    expect(textOf(well, well)).toMatch(/^PROBE OK - all 2 routes are well, the slowest in 1\.0 s \| /);
  });

  test("of no route is not well", () => {
    expect(textOf()).toBe("PROBE UNKNOWN - there is no route to probe\n");
  });

  test("has the grade that is most urgent", () => {
    expect([
      worst([well]),
      worst([well, late]),
      worst([late, blind]),
      worst([blind, down]),
      worst([]),
    ]).toEqual([0, 1, 3, 2, 3]);
  });
});
