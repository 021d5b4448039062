import { expect, test } from "vitest";
import type { StatusFacts } from "../../../src/commands/status/facts.ts";
import { findings } from "../../../src/commands/status/judge.ts";
import { bars, nagiosStatus, screen } from "../../../src/commands/status/text.ts";
import { noMail } from "../../../src/server/history/activity.ts";

const now = Date.UTC(2026, 10, 29, 12);
const hour = 3_600_000;
const day = 24 * hour;

const relay = {
  version: "0.1.0",
  pid: 1,
  started: now - 3 * day,
  sessions: 14,
  trouble: "",
  certificateUntil: now + 60 * day,
  logins: 103,
  messages: 2,
  held: 0,
  oldest: null,
  free: { octets: 12 * 2 ** 30, inodes: 2_000_000 },
  loopDelay: 0.004,
  memory: 120 * 2 ** 20,
  nearLimits: [],
  pauses: [],
  blocks: 0,
};

const well: StatusFacts = {
  at: now,
  hostname: "submission.example.org",
  relay,
  passwords: { file: "/var/lib/tpa-submit/mail-passwords", written: now - 240_000, synced: true },
  queue: { messages: 0, held: 0, oldest: undefined, destinations: [] },
  warnAfter: 4 * hour,
  frozen: [],
  activity: { slots: Array.from({ length: 24 }, () => noMail), guessing: [] },
  top: [],
  providers: [],
};

test("a relay that is well has nothing to look at", () => {
  expect(findings(well)).toEqual([]);
  expect(nagiosStatus(well, [])).toEqual({
    status: 0,
    text: "STATUS OK - the relay is well | queue=0;;;0 held=0;;;0 sessions=14;;;0 accepted_last_hour=0;;;0 returned_last_hour=0;;;0\n",
  });
});

const lastHour = (counts: Partial<typeof noMail>) => ({
  guessing: [],
  slots: [...Array.from({ length: 23 }, () => noMail), { ...noMail, ...counts }],
});

test.each<[string, Partial<StatusFacts>, "warning" | "critical", RegExp]>([
  ["no relay", { relay: undefined }, "critical", /^no relay runs here/],
  ["a full disk", { relay: { ...relay, trouble: "the spool is full" } }, "critical", /^the spool is full$/],
  [
    "a certificate near its end",
    { relay: { ...relay, certificateUntil: now + 13 * day } },
    "warning",
    /ends in 13 days/,
  ],
  ["one at its end", { relay: { ...relay, certificateUntil: now + 2 * day } }, "critical", /ends in 2 days/],
  ["one that has ended", { relay: { ...relay, certificateUntil: now - hour } }, "critical", /has ended/],
  [
    "a sync that stands still",
    { passwords: { ...well.passwords, written: now - 2 * day } },
    "warning",
    /is 2d old/,
  ],
  [
    "no password file",
    { passwords: { file: "x", synced: false, fault: "ENOENT" } },
    "critical",
    /no password file/,
  ],
  ["mail that is late", { queue: { ...well.queue, oldest: now - 5 * hour } }, "warning", /waits since 5h/],
  ["an event loop that stands", { relay: { ...relay, loopDelay: 3 } }, "warning", /everybody waits 3\.0 s/],
  [
    "many returns",
    { activity: lastHour({ delivered: 50, returned: 20 }) },
    "warning",
    /^20 recipients refused/,
  ],
])("%s is told of, with what to do", (_, change, grade, text) => {
  const found = findings({ ...well, ...change });
  expect(found).toHaveLength(1);
  expect(found[0]?.grade).toBe(grade);
  expect(found[0]?.text).toMatch(text);
});

test.each<[string, Partial<StatusFacts>]>([
  ["few returns", { activity: lastHour({ delivered: 5, returned: 19 }) }],
  ["returns that are a small part", { activity: lastHour({ delivered: 500, returned: 20 }) }],
  [
    "an old file that nobody syncs",
    { passwords: { ...well.passwords, synced: false, written: now - 90 * day } },
  ],
  ["late mail where nobody wants to hear of it", { warnAfter: null, queue: { ...well.queue, oldest: 1 } }],
])("%s: no word", (_, change) => {
  expect(findings({ ...well, ...change })).toEqual([]);
});

test("the worst comes first", () => {
  const bad = {
    ...well,
    relay: { ...relay, trouble: "full", loopDelay: 3, certificateUntil: now + 13 * day },
  };
  expect(findings(bad).map(({ grade }) => grade)).toEqual(["critical", "warning", "warning"]);
});

test("a bar is as high as its part of the largest, and nothing is a dot", () => {
  expect(bars([0, 1, 4, 8])).toBe("·▁▄█");
  expect(bars([0, 0])).toBe("··");
});

test.each([80, 120])("the screen fits %i columns, whatever strangers said", (width) => {
  const reply = {
    code: 421,
    status: "4.7.28",
    text: `Gmail has detected ${"an unusual rate ".repeat(20)}\u001b[31m`,
    relay: "mx[192.0.2.1]:25",
    command: "",
    at: now,
  };
  const greeting = "host mx00.t-online.de[192.0.2.2] refused to talk to me: 554 None/bad reputation. (NOWL)";
  const refusedToTalk = {
    ...{ code: 451, status: "4.0.0", text: greeting },
    ...{ relay: "none", command: "", at: now },
  };
  const busy: StatusFacts = {
    ...well,
    relay: {
      ...relay,
      trouble: "long ".repeat(60),
      nearLimits: [{ login: "user2", used: 190, limit: 200, unit: "messages an hour" }],
      blocks: 2,
    },
    queue: {
      messages: 31,
      held: 2,
      oldest: now - 3 * hour,
      destinations: [
        { domain: "gmail.com", recipients: 20, oldest: now - 3 * hour, reply },
        { domain: "t-online.de", recipients: 2, oldest: now - hour, reply: refusedToTalk },
      ],
    },
    frozen: ["user9"],
    activity: {
      slots: lastHour({ accepted: 41, delivered: 40 }).slots,
      guessing: [{ client: "unknown[192.0.2.7]", wrong: 14 }],
    },
    providers: [
      {
        ...{ name: "Google Workspace", delivered: 40, deferred: 12, refused: 3 },
        reasons: [
          { class: "authentication", times: 14 },
          { class: "rate", times: 1 },
        ],
        delay: { median: 2.143, percentile95: 7_250 },
        tls: { verified: 1, unverified: 38, clear: 1 },
      },
      {
        ...{ name: "example.net", delivered: 0, deferred: 1, refused: 0 },
        reasons: [{ class: "no-answer", times: 1 }],
        tls: { verified: 0, unverified: 0, clear: 0 },
      },
    ],
  };
  const lines = [...screen(busy, findings(busy), (_, text) => text, width)];
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
  const text = lines.join("\n");
  expect(text).not.toContain("\u001b");
  expect(text).toMatch(/^submission\.example\.org: 1 thing to look at, 2026-/);
  expect(text).toMatch(/^ {2}queue +31 messages, 2 held, the oldest 3h$/m);
  expect(text).toMatch(/^ +gmail\.com 20, 3h: 421 4\.7\.28 Gmail has detected/m);
  expect(text).toMatch(/^ +t-online\.de 2, \d\w+: Our address is not known to them; /m);
  expect(text).toMatch(/^ {2}24 hours, to +delivered +deferred +refused +half +95 % +TLS$/m);
  expect(text).toMatch(/^ {4}Google Works… +40 +12 +3 +2\.1 s +2h +97 % {2}14 authentic\w*…?$/m);
  expect(text).toMatch(/^ {4}example\.net +0 +1 +0 +- +- +- {2}1 no-answer$/m);
  expect(text).toMatch(/^ {4}last hour +41 +40 +0 +0 +0$/m);
  expect(text).toMatch(/^ {2}near a limit +user2: 190 of 200 messages an hour$/m);
  expect(text).toMatch(/^ {2}frozen +user9$/m);
  expect(text).toMatch(/^ {2}wrong passwords +192\.0\.2\.7 14; 2 blocks at the moment$/m);
});
