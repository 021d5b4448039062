import { describe, expect, test } from "vitest";
import { type Fate, gradeOf, outcomeOf } from "../../src/probe/result.ts";

const limits = { warn: 60_000, crit: 300_000 };
const arrived = (place: "inbox" | "spam", after: number): Fate => ({
  kind: "arrived",
  place,
  folder: "INBOX",
  after,
  hops: [],
  findings: {},
  changes: [],
});

describe("the outcome of a probe", () => {
  test.each([
    [arrived("inbox", 5000), "inbox", 0],
    [arrived("inbox", 60_001), "late", 1],
    [arrived("inbox", 300_001), "overdue", 2],
    [arrived("spam", 5000), "spam", 1],
    [arrived("spam", 300_001), "overdue", 2],
    [{ kind: "missing", after: 5000 }, "pending", 0],
    [{ kind: "missing", after: 60_001 }, "delayed", 1],
    [{ kind: "missing", after: 300_001 }, "lost", 2],
    [{ kind: "refused", step: "RCPT TO", reply: "550 no" }, "refused", 2],
    [{ kind: "down", reason: "Connection refused" }, "down", 2],
    [{ kind: "unseen", reason: "no login" }, "unseen", 3],
    [
      { kind: "returned", after: 1, report: { action: "failed", status: "", diagnostic: "", reporter: "" } },
      "returned",
      2,
    ],
  ] satisfies readonly (readonly [Fate, string, number])[])("%j is %s, graded %i", (fate, outcome, grade) => {
    expect(outcomeOf(fate, limits)).toBe(outcome);
    expect(gradeOf(outcomeOf(fate, limits))).toBe(grade);
  });

  test("is graded as the site wants", () => {
    expect(gradeOf("spam", { spam: 2 })).toBe(2);
    expect(gradeOf("late", { spam: 2 })).toBe(1);
  });
});
