/** The page and the summary: what stands in them, and what never does. */
import { describe, expect, test } from "vitest";
import { writePage } from "../../../src/probe/history/page.ts";
import { summaryText } from "../../../src/probe/history/summary.ts";
import { type Traffic, trafficText } from "../../../src/probe/history/traffic.ts";
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
net    day         2    100 %    1.0 s    3.0 s             █
       week        3   66.6 %    2.0 s    3.0 s             ▁ █
       month       4   75.0 %    2.0 s    4.0 s            █   ▅

A column is 2 hours, 12 hours, 2 days; its height is the share that reached the
inbox: a full block is all of it, a blank is a time without probes.
`);
  expect(summaryText([], now)).toBe("Nothing was probed in the last 30 days.\n");
});

test("the summary fits 80 columns, whatever a route is called", () => {
  const long = results.map((one) => ({ ...one, route: "a-route-with-a-name-of-forty-characters-" }));
  const text = summaryText(long, now);
  expect(text).toContain("a-route-with-a-name-…");
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});

describe("real traffic", () => {
  const traffic: Traffic = {
    days: 7,
    providers: [
      {
        ...{ name: "Gmail", delivered: 1234, deferred: 56, refused: 7, tls: { clear: 0 } },
        reasons: [
          { class: "authentication", times: 50 },
          { class: "no-such-user", times: 7 },
          { class: "reputation", times: 4 },
          { class: "mailbox-full", times: 2 },
          { class: "rate", times: 1 },
        ],
        delay: { median: 1.2, percentile95: 7_200 },
      },
      {
        ...{ name: "<b>.example.net", delivered: 0, deferred: 1, refused: 0, tls: { clear: 0 } },
        reasons: [],
      },
    ],
  };

  test("stands below the probes, within 80 columns", () => {
    const text = trafficText(traffic);
    expect(text).toBe(`MAIL OF 7 DAYS         SENT  DEFERRED  REFUSED   MEDIAN     95 %    TLS
Gmail                  1234        56        7    1.2 s  120 min  100 %
  why: 50 authentication, 7 no-such-user, 4 reputation, 2 mailbox-full, 1 rate
<b>.example.net           0         1        0        -        -      -
`);
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(trafficText({ days: 7, providers: [] })).toBe("");
  });

  test("is on the page, as words", () => {
    const page = writePage(results, now, traffic);
    expect(page).toContain("1234 taken, 56 put off, 7 refused; median 1.2 s, 95 % within 120 min; TLS 100 %");
    expect(page).toContain("<h3>&lt;b&gt;.example.net</h3>");
    expect(writePage(results, now, { days: 7, providers: [] })).not.toContain("Real mail");
    expect(writePage(results, now)).not.toContain("Real mail");
  });
});
