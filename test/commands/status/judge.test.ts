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
  listeners: [{ door: "submissions" as const, address: "192.0.2.1:465", sessions: 14 }],
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
  blocked: [],
  activity: { slots: Array.from({ length: 24 }, () => noMail), guessing: [] },
  top: [],
  providers: [],
  checks: { concerns: [], unjudged: [] },
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
  [
    "a DKIM key that is old",
    {
      relay: {
        ...relay,
        dkim: [{ domain: "example.org", selector: "a", kind: "rsa", made: now - 401 * day }],
      },
    },
    "warning",
    /^the DKIM key a of example\.org is 401 days old; tpa-submit dkim new example\.org, publish, rotate$/,
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

const concern = {
  check: "files",
  words: "/etc/tpa-submit/privkey.pem: the private key: everybody can read it (mode 0644)",
  advice: "chown, chgrp or chmod it.",
  more: 2,
} as const;

test("what a check warns of is told behind the rest, with its advice, and not what is told already", () => {
  const certificate = { ...concern, check: "certificate", words: "fullchain.pem: 2 days from now" } as const;
  const checks = { concerns: [concern, certificate], unjudged: [] };
  expect(findings({ ...well, checks }).map(({ check }) => check)).toEqual(["files", "certificate"]);
  const ending = { ...well, checks, relay: { ...relay, certificateUntil: now + 2 * day } };
  expect(findings(ending)).toEqual([
    {
      grade: "critical",
      text: "the certificate ends in 2 days; renew it, the relay notices the new file by itself",
    },
    {
      grade: "warning",
      check: "files",
      text: "files: /etc/tpa-submit/privkey.pem: the private key: everybody can read it (mode 0644) (and 2 more)",
      advice: "chown, chgrp or chmod it.",
    },
  ]);
  const full = { ...well, relay: { ...relay, trouble: "the spool is full" } };
  const room = { ...concern, check: "room" } as const;
  expect(findings({ ...full, checks: { concerns: [room], unjudged: [] } })).toHaveLength(1);
});

test("what no check could judge is said, and is no finding", () => {
  const facts: StatusFacts = {
    ...well,
    checks: {
      concerns: [],
      unjudged: [
        { check: "passwords", reason: "nothing found within 2 s" },
        { check: "ports", reason: "the kernel's table of sockets cannot be read" },
      ],
    },
  };
  const found = findings(facts);
  const lines = [...screen(facts, found, (_, text) => text, 120)];
  expect(lines[0]).toContain(": well, ");
  expect(lines.at(-1)).toBe(
    "  not judged      passwords: nothing found within 2 s; ports: the kernel's table of sockets cannot be read",
  );
  expect(nagiosStatus(facts, found)).toMatchObject({
    status: 0,
    text: expect.stringMatching(/^STATUS OK - the relay is well; not judged: passwords, ports \| /),
  });
});

test("what is to be done is not cut off where the screen ends", () => {
  const facts = { ...well, checks: { concerns: [concern], unjudged: [] } };
  const [, ...lines] = [...screen(facts, findings(facts), (_, text) => text, 60)];
  expect(lines.slice(0, 3)).toEqual([
    "  ! files: /etc/tpa-submit/privkey.pem: the private key:",
    "    everybody can read it (mode 0644) (and 2 more) -> chown,",
    "    chgrp or chmod it",
  ]);
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
    blocked: [{ login: "user3", blocks: [{ network: "192.0.2.7", until: now + hour, wrong: 12 }] }],
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
  expect(text).toMatch(/^ {2}blocked +user3 from 192\.0\.2\.7 until \d\d:00:00$/m);
  expect(text).toMatch(/^ +listens for submissions 192\.0\.2\.1:465$/m);
  expect(text).toMatch(/^ {2}wrong passwords +192\.0\.2\.7 14; 2 blocks at the moment$/m);
});

test("tells of each further domain, and what is wrong with its password file", () => {
  const file = (name: string) => `/var/lib/tpa-submit/${name}`;
  const domains = [
    { name: "example.org", passwords: well.passwords, sent: { messages: 2, recipients: 3 } },
    { name: "example.net", passwords: { file: file("net"), synced: true, fault: "ENOENT" } },
    { name: "example.com", passwords: { file: file("com"), synced: true, written: now - 2 * day } },
    { name: "example.edu", passwords: { file: file("edu"), synced: false, written: now - 9 * day } },
  ];
  const found = findings({ ...well, domains });
  expect(found).toEqual([
    { grade: "critical", text: "no password file of example.net: ENOENT" },
    {
      grade: "warning",
      text: "the password file of example.com is 2d old; tpa-submit sync tells",
    },
  ]);
  const lines = [...screen({ ...well, domains }, found, (_, text) => text, 80)];
  expect(lines).toContain(`                  example.edu: ${file("edu")} written 9d ago`);
  expect(lines).toContain("  24 hours, from  example.org 2 messages to 3 recipients");
});

test("the keys that sign are shown with their age, a row for each domain", () => {
  const key = (domain: string, selector: string, days: number) => ({
    domain,
    selector,
    kind: "rsa",
    made: now - days * day,
  });
  const dkim = [key("example.org", "a", 3), key("example.org", "b", 3), key("example.net", "c", 90)];
  const facts = { ...well, relay: { ...relay, dkim } };
  expect(findings(facts)).toEqual([]);
  const text = [...screen(facts, [], (_, one) => one, 80)].join("\n");
  expect(text).toMatch(/^ {2}DKIM +example\.org: a 3d old, b 3d old\n {3,}example\.net: c 90d old$/m);
  expect([...screen(well, [], (_, one) => one, 80)].join("\n")).not.toContain("DKIM");
});
