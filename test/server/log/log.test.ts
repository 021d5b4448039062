import { describe, expect, expectTypeOf, test } from "vitest";
import { type EventName, events, type FieldsOf } from "../../../src/server/log/events.ts";
import { lineOf } from "../../../src/server/log/format.ts";
import { entryOf, type LogEntry, log, logBug, logTo } from "../../../src/server/log/log.ts";
import { reply } from "../../../src/smtp/reply.ts";

const client = "localhost[127.0.0.1]";
const door = "submission";
const relay = "mx.example.net[192.0.2.1]:25";
const id = "70B734E00001";

/** Left: what Postfix 3.7 wrote when it did the same. */
const lines: readonly (readonly [string, LogEntry])[] = [
  ["submission/smtpd: connect from localhost[127.0.0.1]", entryOf("connect", { door, client })],
  [
    "smtps/smtpd: disconnect from localhost[127.0.0.1] ehlo=1 auth=0/1 quit=1 commands=2/3",
    entryOf("disconnect", { door: "smtps", client, commands: "ehlo=1 auth=0/1 quit=1 commands=2/3" }),
  ],
  [
    "submission/smtpd: lost connection after AUTH from localhost[127.0.0.1]",
    entryOf("connection-lost", { door, client, stage: "AUTH" }),
  ],
  [
    "submission/smtpd: timeout after END-OF-MESSAGE from localhost[127.0.0.1]",
    entryOf("timeout", { door, client, stage: "END-OF-MESSAGE" }),
  ],
  [
    "submission/smtpd: too many errors after AUTH from localhost[127.0.0.1]",
    entryOf("too-many-errors", { door, client, stage: "AUTH" }),
  ],
  [
    "submission/smtpd: Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
    entryOf("tls-inbound", {
      door,
      client,
      protocol: "TLSv1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      bits: 256,
    }),
  ],
  [
    "submission/smtpd: localhost[127.0.0.1]: SASL PLAIN authentication failed: bad, sasl_username=user1",
    entryOf("auth-failed", { door, client, mechanism: "PLAIN", login: "user1", reason: "bad" }),
  ],
  [
    "submission/smtpd: NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 550 5.1.1 <r@example.net>: Recipient address rejected: TEXT; from=<f@example.org> to=<r@example.net> proto=ESMTP helo=<[127.0.0.1]>",
    entryOf("reject", {
      door,
      client,
      stage: "RCPT",
      reply: reply(550, "5.1.1", "<r@example.net>: Recipient address rejected: TEXT"),
      from: "f@example.org",
      to: "r@example.net",
      helo: "[127.0.0.1]",
    }),
  ],
  [
    "submission/smtpd: 70B734E00001: reject: DATA from localhost[127.0.0.1]: 552 5.3.4 too large; from=<f@example.org> proto=ESMTP helo=<h>",
    entryOf("reject", {
      door,
      client,
      id,
      stage: "DATA",
      reply: reply(552, "5.3.4", "too large"),
      from: "f@example.org",
      to: "",
      helo: "h",
    }),
  ],
  [
    "submission/smtpd: 70B734E00001: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=user1",
    entryOf("client", { door, client, id, mechanism: "PLAIN", login: "user1" }),
  ],
  [
    "cleanup: 70B734E00001: message-id=<20261122130246.1@vm.example.org>",
    entryOf("message-id", { id, messageId: "20261122130246.1@vm.example.org" }),
  ],
  [
    "qmgr: 70B734E00001: from=<>, size=2411, nrcpt=1 (queue active)",
    entryOf("queued", { id, from: "", size: 2411, recipients: 1 }),
  ],
  [
    "smtp: 70B734E00001: to=<b@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0.08, delays=0.01/0.01/0/0.06, dsn=4.3.0, status=deferred (host mx.example.net[192.0.2.1] said: 451 4.3.0 try later (in reply to RCPT TO command))",
    entryOf("delivery", {
      id,
      to: "b@example.net",
      relay,
      delays: [0.01, 0.01, 0, 0.06],
      reply: reply(451, "4.3.0", "try later"),
      command: "RCPT TO",
    }),
  ],
  [
    "smtp: 70B734E00001: to=<b@example.net>, relay=mx.example.net[192.0.2.1]:25, conn_use=2, delay=0.06, delays=0/0/0/0.06, dsn=2.0.0, status=sent (250 2.0.0 ok)",
    entryOf("delivery", {
      id,
      to: "b@example.net",
      relay,
      use: 2,
      delays: [0, 0, 0, 0.06],
      reply: reply(250, "2.0.0", "ok"),
      command: "end of DATA",
    }),
  ],
  [
    "smtp: 70B734E00001: to=<b@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=2.3, delays=2.2/0/0/0.08, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as ABCDEF)",
    entryOf("delivery", {
      id,
      to: "b@example.net",
      relay,
      delays: [2.2, 0, 0.004, 0.0844],
      reply: reply(250, "2.0.0", "Ok: queued as ABCDEF"),
      command: "DATA",
    }),
  ],
  [
    "smtp: 70B734E00001: to=<b@example.net>, relay=none, delay=4030, delays=4000/0/30/0, dsn=4.4.1, status=deferred (connect to mx.example.net[192.0.2.1]:25: Connection timed out)",
    entryOf("delivery", {
      id,
      to: "b@example.net",
      relay: "none",
      delays: [4000, 0.001, 29.9, 0],
      reply: reply(451, "4.4.1", "connect to mx.example.net[192.0.2.1]:25: Connection timed out"),
      command: "",
    }),
  ],
  [
    "smtp: 70B734E00001: to=<b@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0, delays=0/0/0/0, dsn=5.1.1, status=bounced (host mx.example.net[192.0.2.1] said: 550 5.1.1 No such user (in reply to RCPT TO command))",
    entryOf("delivery", {
      id,
      to: "b@example.net",
      relay,
      delays: [0, 0, 0, -1],
      reply: reply(550, "5.1.1", "No such user"),
      command: "RCPT TO",
    }),
  ],
  [
    "smtp: Untrusted TLS connection established to mx.example.net[192.0.2.1]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
    entryOf("tls-outbound", {
      policy: "opportunistic",
      relay,
      trust: "Untrusted",
      protocol: "TLSv1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      bits: 256,
    }),
  ],
  [
    "qmgr: 70B734E00001: from=<a@example.org>, status=expired, returned to sender",
    entryOf("expired", { id, from: "a@example.org" }),
  ],
  [
    "bounce: 70B734E00001: sender non-delivery notification: 9763F5700002",
    entryOf("failure-report", { id, report: "9763F5700002" }),
  ],
  [
    "bounce: 70B734E00001: sender delay notification: 9763F5700002",
    entryOf("delay-report", { id, report: "9763F5700002" }),
  ],
  [
    "bounce: 70B734E00001: sender delivery status notification: 9763F5700002",
    entryOf("success-report", { id, report: "9763F5700002" }),
  ],
  ["qmgr: 70B734E00001: removed", entryOf("removed", { id })],
];

describe("the words of the mail log are Postfix's", () => {
  test.each(lines)("%s", (expected, { daemon, text }) => {
    expect(`${daemon}: ${text}`).toBe(expected);
  });
});

describe("what others say reaches the log as text and nothing more", () => {
  test("control characters and marks that turn the writing round become question marks", () => {
    const { text, fields } = entryOf("delivery", {
      id,
      to: "a\r\nb@example.net",
      relay,
      delays: [0, 0, 0, 0],
      reply: reply(550, "5.0.0", "\u001b[31mred\u202e\u0085\u2028"),
      command: "",
    });
    expect(text).toContain("to=<a??b@example.net>");
    expect(text).toContain("550 5.0.0 ?[31mred???");
    expect(JSON.stringify(fields)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]|\\u001b/);
  });

  test("a quoted local part cannot hold the tag of another line", () => {
    const { text } = entryOf("reject", {
      door,
      client,
      stage: "RCPT",
      reply: reply(503, "5.5.1", "Send MAIL first"),
      from: "",
      to: '"x postfix/smtpd[1]: 4F00: client=y[192.0.2.1]: "@example.net',
      helo: "[192.0.2.7]",
    });
    expect(text).toContain('to=<"x postfix/smtpd[1]? 4F00: client=y[192.0.2.1]: "@example.net>');
  });

  test("a login cannot add a part to its line", () => {
    const { text } = entryOf("client", {
      door,
      client,
      id,
      mechanism: "PLAIN",
      login: "x, sasl_method=no <y>",
    });
    expect(text).toMatch(/, sasl_username=x\?\?sasl_method=no\?\?y\?$/);
  });
});

describe("log()", () => {
  test("hands each event to the sink, with its level, its daemon and its fields", () => {
    const seen: LogEntry[] = [];
    logTo((entry) => seen.push(entry));
    log("removed", { id });
    logBug("the session", new Error("one\ntwo"));
    logTo(() => undefined);
    expect(seen[0]).toEqual({
      event: "removed",
      level: "info",
      daemon: "qmgr",
      text: `${id}: removed`,
      fields: { id },
    });
    expect(seen[1]).toMatchObject({ event: "bug", level: "error", daemon: "master" });
    expect(seen[1]?.text).toMatch(/^bug in the session: Error: one \| two \| at /);
  });

  test("has no field whose name the JSON form needs for itself", () => {
    type FieldName = { [Name in EventName]: keyof FieldsOf<Name> }[EventName];
    expectTypeOf<Extract<FieldName, "time" | "level" | "daemon" | "event">>().toEqualTypeOf<never>();
    expect(Object.keys(events).length).toBeGreaterThan(0);
  });
});

describe("lineOf()", () => {
  const speaker = { hostname: "submission.example.org", pid: 7 };
  const early = new Date(2026, 10, 2, 3, 4, 5).getTime();

  test("writes date, host, tag and process in front of Postfix's words, in local time", () => {
    const { whole, tag, text } = lineOf(entryOf("removed", { id }), early, "postfix", speaker);
    expect(whole).toBe(`Nov  2 03:04:05 submission.example.org postfix/qmgr[7]: ${id}: removed`);
    expect([tag, text]).toEqual(["postfix/qmgr", `${id}: removed`]);
  });

  test.each([
    [entryOf("auth-failed", { door, client, mechanism: "LOGIN", login: "x", reason: "bad" }), "warning: "],
    [entryOf("damaged", { id, reason: "bad" }), "error: "],
  ])("puts the level in front of the words where it is not info", (entry, prefix) => {
    expect(lineOf(entry, early, "postfix", speaker).text).toBe(`${prefix}${entry.text}`);
  });

  test("writes the same events as JSON, time first", () => {
    const { whole } = lineOf(entryOf("queued", { id, from: "", size: 9, recipients: 1 }), 0, "json", speaker);
    expect(whole).toBe(
      `{"time":"1970-01-01T00:00:00.000Z","level":"info","daemon":"qmgr","event":"queued","id":"${id}","from":"","size":9,"recipients":1}`,
    );
  });
});
