import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ListenerName } from "../../../src/server/log/events.ts";
import { entryOf, type LogEntry } from "../../../src/server/log/log.ts";
import { openMetrics } from "../../../src/server/log/metrics.ts";
import { openSink } from "../../../src/server/log/sink.ts";
import { type Reply, reply } from "../../../src/smtp/reply.ts";
import { mtailsPostfix, pathOf, real } from "../../tools/real.ts";

const folder = mkdtempSync(join(tmpdir(), "tpa-submit-log-"));
const file = join(folder, "mail.log");

const friend = "localhost[127.0.0.1]";
const relay = "mx.example.net[192.0.2.1]:25";
const tls = { protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: 256 };

/** One client each: what happened to it, and which of the stock filter's modes should ban it for that. */
const suspects: readonly (readonly [string, readonly LogEntry[], readonly string[]])[] = [
  ["203.0.113.1", [failure("203.0.113.1", "PLAIN", "user1")], ["auth", "aggressive"]],
  ["203.0.113.2", [failure("203.0.113.2", "LOGIN", "")], ["auth", "aggressive"]],
  ["2001:db8::3", [failure("2001:db8::3", "LOGIN", "x", "smtps")], ["auth", "aggressive"]],
  ["203.0.113.4", [failure("203.0.113.4", "PLAIN", "x] y[192.0.2.99]: SASL LOGIN")], ["auth", "aggressive"]],
  ["203.0.113.16", [failure("203.0.113.16", "SCRAM-SHA-256", "user1")], ["auth", "aggressive"]],
  ["203.0.113.17", [failure("203.0.113.17", "EXTERNAL", "user1@example.org")], ["auth", "aggressive"]],
  [
    "203.0.113.18",
    [
      entryOf("auth-in-vain", {
        ...at("203.0.113.18"),
        mechanism: "CRAM-MD5",
        login: "user1",
        reason: "the stored password does not allow CRAM-MD5",
      }),
    ],
    [],
  ],
  [
    "203.0.113.5",
    [
      entryOf("auth-unavailable", {
        ...at("203.0.113.5"),
        mechanism: "PLAIN",
        login: "x",
        reason: "queue full",
      }),
    ],
    [],
  ],
  [
    "203.0.113.6",
    [entryOf("too-many-errors", { ...at("203.0.113.6"), stage: "AUTH" })],
    ["more", "aggressive"],
  ],
  [
    "203.0.113.7",
    [entryOf("connection-lost", { ...at("203.0.113.7"), stage: "AUTH" })],
    ["ddos", "aggressive"],
  ],
  ["203.0.113.8", [entryOf("timeout", { ...at("203.0.113.8"), stage: "CONNECT" })], []],
  [
    "203.0.113.9",
    [entryOf("disconnect", { ...at("203.0.113.9"), commands: "ehlo=1 auth=0/1 quit=1 commands=2/3" })],
    ["ddos", "aggressive"],
  ],
  [
    "203.0.113.10",
    [rejected("203.0.113.10", reply(554, "5.7.1", "<b@example.net>: Relay access denied"))],
    ["more", "aggressive"],
  ],
  [
    "203.0.113.11",
    [
      rejected(
        "203.0.113.11",
        reply(553, "5.7.1", "<x@example.org>: Sender address rejected: not owned by user user1"),
      ),
    ],
    [],
  ],
  ["203.0.113.12", [rejected("203.0.113.12", reply(530, "5.7.0", "Authentication required"))], []],
  ["203.0.113.13", [rejected("203.0.113.13", reply(452, "4.3.1", "Insufficient system storage"))], []],
  [
    "203.0.113.14",
    [entryOf("tls-inbound-failed", { ...at("203.0.113.14"), reason: "no shared cipher" })],
    [],
  ],
  [
    "203.0.113.15",
    [
      entryOf("disconnect", {
        ...at("203.0.113.15"),
        commands: "ehlo=2 starttls=1 auth=1 quit=1 commands=5",
      }),
    ],
    [],
  ],
];

/** A day's mail: two messages, one delivered, one deferred and then refused, one given up. */
const mail: readonly LogEntry[] = [
  entryOf("connect", { door: "submission", client: friend }),
  entryOf("tls-inbound", { door: "submission", client: friend, ...tls }),
  ...message("4F2A9C01B7E1", "submission", 427),
  ...message("4F2A9C01B7E2", "smtps", 20_000),
  entryOf("disconnect", {
    door: "submission",
    client: friend,
    commands: "ehlo=2 starttls=1 auth=1 quit=1 commands=5",
  }),
  entryOf("tls-outbound", { relay, policy: "opportunistic", trust: "Untrusted", ...tls }),
  delivered("4F2A9C01B7E1", reply(250, "2.0.0", "Ok: queued as ABCDEF")),
  entryOf("removed", { id: "4F2A9C01B7E1" }),
  delivered("4F2A9C01B7E2", reply(451, "4.3.0", "try later")),
  delivered("4F2A9C01B7E2", reply(550, "5.1.1", "No such user")),
  entryOf("message-id", { id: "4F2A9C01B7E3", messageId: "3@submission.example.org" }),
  entryOf("queued", { id: "4F2A9C01B7E3", from: "", size: 2411, recipients: 1 }),
  entryOf("failure-report", { id: "4F2A9C01B7E2", report: "4F2A9C01B7E3" }),
  entryOf("removed", { id: "4F2A9C01B7E2" }),
];

function at(address: string, door: ListenerName = "submission") {
  return { door, client: `unknown[${address}]` };
}

function failure(
  address: string,
  mechanism: string,
  login: string,
  door: ListenerName = "submission",
): LogEntry {
  return entryOf("auth-failed", {
    ...at(address, door),
    mechanism,
    login,
    reason: "wrong password or unknown user",
  });
}

function rejected(address: string, answer: Reply): LogEntry {
  const envelope = { from: "user1@example.org", to: "b@example.net", helo: "[192.0.2.99]" };
  return entryOf("reject", { ...at(address), stage: "RCPT", reply: answer, ...envelope });
}

function message(id: string, door: ListenerName, size: number): readonly LogEntry[] {
  return [
    entryOf("client", { door, client: friend, id, mechanism: "PLAIN", login: "user1" }),
    entryOf("message-id", { id, messageId: `${id}@client.example.org` }),
    entryOf("queued", { id, from: "user1@example.org", size, recipients: 1 }),
  ];
}

function delivered(id: string, answer: Reply): LogEntry {
  return entryOf("delivery", {
    id,
    to: "b@example.net",
    relay,
    delays: [0.01, 0, 0.2, 2.5],
    reply: answer,
    command: "RCPT TO",
  });
}

beforeAll(async () => {
  const log = await openSink(
    { target: { kind: "file", path: file }, format: "postfix", hostname: "submission.example.org" },
    Date.now,
  );
  for (const [, entries] of suspects) for (const entry of entries) log.write(entry);
  for (const entry of mail) log.write(entry);
  await log.close();
});

afterAll(() => rmSync(folder, { recursive: true }));

const output = (program: string, ...words: readonly string[]): string =>
  execFileSync(pathOf(program) ?? program, words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

describe.skipIf(!real("fail2ban postfix"))("the stock filter of fail2ban", () => {
  test.each(["auth", "more", "ddos", "aggressive"])(
    "mode %s bans those it should and nobody else",
    (mode) => {
      const banned = output("fail2ban-regex", "--out", "ip", file, `postfix[mode=${mode}]`);
      const expected = suspects.flatMap(([address, , modes]) => (modes.includes(mode) ? [address] : []));
      expect(
        banned
          .split("\n")
          .filter((line) => line !== "")
          .sort(),
      ).toEqual([...expected].sort());
    },
  );
});

/** Prometheus' text as figures by name and labels, without the label that mtail adds to everything. */
function figuresIn(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+)(?:\{([^}]*)\})? ([\d.e+]+)$/gm)].map(([, name = "", labels = "", figure]) => {
      const own = labels.split(",").filter((label) => label !== "" && !label.startsWith("prog="));
      return [own.length === 0 ? name : `${name}{${own.sort().join(",")}}`, Number(figure)];
    }),
  );
}

/** What /metrics says of the same entries. */
function ourMetrics(): string {
  const nothing = () => [];
  const metrics = openMetrics({
    build: nothing,
    started: nothing,
    processor: nothing,
    memory: nothing,
    queueMessages: nothing,
    providerPauses: () => [],
    queueOldest: nothing,
    certificate: nothing,
    freeOctets: nothing,
    freeInodes: nothing,
    reserveOctets: nothing,
    reserveInodes: nothing,
    healthy: nothing,
    logLost: nothing,
    loopDelay: nothing,
    dkimKeys: () => [],
    sessions: nothing,
    sshKeys: nothing,
    sshKeysWritten: nothing,
    logins: nothing,
  });
  for (const entry of [...suspects.flatMap(([, entries]) => entries), ...mail]) metrics.count(entry);
  return metrics.text();
}

describe.skipIf(!real("mtail postfix"))("the stock Postfix program of mtail", () => {
  const counted = (): string =>
    output("mtail", "--progs", mtailsPostfix, "--logs", file, "--one_shot", "--one_shot_format=prometheus");

  test("counts our lines", () => {
    const cipher =
      'algorithm_bits="256",cipher="TLS_AES_256_GCM_SHA384",protocol="TLSv1.3",secret_bits="256"';
    expect(Object.fromEntries(figuresIn(counted()))).toMatchObject({
      postfix_smtpd_connects_total: 1,
      postfix_smtpd_disconnects_total: 3,
      'postfix_smtpd_connections_lost_total{after_stage="AUTH"}': 1,
      postfix_smtpd_sasl_authentication_failures_total: 7,
      'postfix_smtpd_messages_processed_total{sasl_username="user1"}': 2,
      'postfix_smtpd_messages_rejected_total{code="554"}': 1,
      [`postfix_smtpd_tls_connections_total{${cipher},trust="Anonymous"}`]: 1,
      [`postfix_smtp_tls_connections_total{${cipher},trust="Untrusted"}`]: 1,
      postfix_cleanup_messages_processed_total: 3,
      postfix_qmgr_messages_inserted_size_bytes_count: 3,
      postfix_qmgr_messages_inserted_size_bytes_sum: 22_838,
      postfix_qmgr_messages_removed_total: 2,
      'postfix_smtp_delivery_delay_seconds_count{stage="transmission"}': 3,
    });
  });

  test("counts what /metrics tells, under the same names", () => {
    // mtail's own bounds have a slip (7 for 8), and it tells who sent each message.
    const same = (name: string): boolean => !/_bucket|_lmtp_|_pipe_|sasl_username/.test(name);
    const theirs = [...figuresIn(counted())].filter(([name]) => same(name));
    const ours = figuresIn(ourMetrics());
    expect(theirs.length).toBeGreaterThan(20);
    expect(theirs.filter(([name, figure]) => ours.get(name) !== figure)).toEqual([
      ["postfix_smtpd_forward_confirmed_reverse_dns_errors_total", 0],
    ]);
  });
});

describe.skipIf(!real("mtail"))("the program of mtail in etc", () => {
  const program = join(import.meta.dirname, "..", "..", "..", "etc", "mtail");

  test.each([
    ["rsyslog's traditional stamps", (line: string) => line],
    ["stamps of RFC 3339", (line: string) => line.replace(/^.{15}/, "2026-11-29T12:01:15.679507+01:00")],
    ["stamps of RFC 3339 in UTC", (line: string) => line.replace(/^.{15}/, "2026-11-29T12:01:15Z")],
  ])("counts what /metrics tells, with %s", (_, stamped) => {
    const stampedFile = join(folder, "stamped.log");
    writeFileSync(stampedFile, readFileSync(file, "utf8").split("\n").map(stamped).join("\n"));
    const words = ["--progs", program, "--logs", stampedFile, "--one_shot", "--one_shot_format=prometheus"];
    const theirs = [...figuresIn(output("mtail", ...words))].filter(([name]) => !/_bucket/.test(name));
    const ours = figuresIn(ourMetrics());
    expect(theirs.length).toBeGreaterThan(25);
    expect(theirs.filter(([name, figure]) => ours.get(name) !== figure)).toEqual([]);
  });
});

describe.skipIf(!real("pflogsumm"))("pflogsumm", () => {
  test("adds our lines up", () => {
    const summary = output("pflogsumm", file);
    const totals = Object.fromEntries(
      [...summary.matchAll(/^ +(\d+k?) {2,3}(received|delivered|deferred|bounced|rejected)\b/gm)].map(
        ([, figure, what]) => [what, figure],
      ),
    );
    expect(totals).toEqual({ received: "2", delivered: "1", deferred: "1", bounced: "1", rejected: "4" });
    expect(summary).toContain("1   4.3.0 try later");
  });
});
