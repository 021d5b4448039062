/** The page and the summary: what stands in them, and what never does. */
import { describe, expect, test } from "vitest";
import { writePage } from "../../../src/probe/history/page.ts";
import { summaryText } from "../../../src/probe/history/summary.ts";
import type { ProbeOutcome, ProbeResult } from "../../../src/probe/result.ts";

const now = Date.parse("2026-11-22T18:00:00Z");
const hour = 3_600_000;

function result(hoursAgo: number, outcome: ProbeOutcome, after?: number, words = "words"): ProbeResult {
  return {
    route: "net",
    provider: "example.net",
    at: now - hoursAgo * hour,
    outcome,
    grade: 0,
    words,
    ...(after !== undefined && { after }),
  };
}

const results = [
  result(200, "inbox", 4000),
  result(30, "spam", 2000, 'a <script>alert("1")</script> & more'),
  result(2, "inbox", 1000),
  result(1, "inbox", 3000),
];

describe("the page", () => {
  const page = writePage(results, now);

  test("needs nothing but itself", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\bon\w+=/i);
    expect(page.replaceAll("http-equiv", "")).not.toMatch(/https?:/);
    expect(page).toContain("default-src 'none'");
  });

  test("shows strangers' words as words", () => {
    expect(page).toContain("a &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more");
  });

  test("tells the figures, also to those who see no picture", () => {
    expect(page).toContain("75.0 % in the inbox: 3 inbox, 1 spam");
    expect(page).toMatch(/aria-label="Time until arrival of net, the last 7 days"/);
    expect(page).toContain("<title>2026-11-21: 0 of 1 reached the inbox</title>");
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  test.each([
    ["nothing", []],
    ["one that is on its way", [result(1, "pending")]],
    ["failures only", [result(1, "down"), result(2, "refused"), result(3, "unseen")]],
    ["what is too old, or to come", [result(24 * 31, "inbox", 1), result(-1, "inbox", 1)]],
  ])("stands with %s", (_, some) => {
    expect(writePage(some, now)).not.toMatch(/NaN|Infinity|undefined/);
  });
});

test("the summary tells success, times and the course of day, week and month", () => {
  expect(summaryText(results, now)).toBe(`ROUTE  LAST   PROBES    INBOX   MEDIAN     95 %  COURSE
net    day         2    100 %    1.0 s    3.0 s                        ▃█
       week        3   66.6 %    2.0 s    3.0 s                         ×   █
       month       4   75.0 %    2.0 s    4.0 s                       █      ×▃

A column is an hour, six hours, a day: higher is slower, × is mail that did not reach the inbox.
`);
  expect(summaryText([], now)).toBe("Nothing was probed in the last 30 days.\n");
});
