import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { entryOf, type LogEntry } from "../../../src/server/log/log.ts";
import {
  commitMetrics,
  type DomainReadings,
  domainLogins,
  domainMetrics,
  eventCounter,
  type GaugeReadings,
  gauges,
  logMetrics,
  openMetrics,
  processReadings,
  storeMetrics,
  toAll,
} from "../../../src/server/log/metrics.ts";
import { reply } from "../../../src/smtp/reply.ts";
import { pathOf, real } from "../../tools/real.ts";

const readings: GaugeReadings = {
  ...processReadings(1_790_000_000_000),
  build: () => [{ labels: ["0.1.0", "v20.19.0"], value: 1 }],
  queueMessages: () => [
    { labels: ["active"], value: 1 },
    { labels: ["deferred"], value: 2 },
  ],
  providerPauses: () => [],
  queueOldest: () => [{ labels: [], value: 12.5 }],
  certificate: () => [{ labels: [], value: 1_800_000_000 }],
  freeOctets: () => [{ labels: [], value: 1e9 }],
  freeInodes: () => [{ labels: [], value: Number.POSITIVE_INFINITY }],
  reserveOctets: () => [{ labels: [], value: 1e8 }],
  reserveInodes: () => [{ labels: [], value: 1000 }],
  healthy: () => [{ labels: [], value: 1 }],
  logLost: () => [{ labels: [], value: 0 }],
  loopDelay: () => [{ labels: [], value: 0.01 }],
  dkimKeys: () => [],
  sessions: () => [{ labels: ["submission"], value: 2 }],
  sshKeys: () => [],
  sshKeysWritten: () => [],
  logins: () => [{ labels: [], value: 100 }],
};

const at = { door: "submission", client: "unknown[192.0.2.7]" } as const;

function delivery(code: number, status: string): LogEntry {
  const shape = { id: "A1", to: "b@example.net", relay: "none", command: "" };
  return entryOf("delivery", { ...shape, delays: [0.5, 0, 2, 0.25], reply: reply(code, status, "text") });
}

/** The lines of the metrics whose name begins with `name`, after `entries` were counted. */
function shown(entries: readonly LogEntry[], name: string): readonly string[] {
  const metrics = openMetrics(readings);
  for (const entry of entries) metrics.count(entry);
  const lines = metrics.text().split("\n");
  return lines.filter((line) => line.startsWith(name));
}

describe("openMetrics()", () => {
  test("shows what is never labelled as 0 from the start, and what is labelled not at all", () => {
    expect(shown([], "postfix_smtpd_connects_total")).toEqual(["postfix_smtpd_connects_total 0"]);
    expect(shown([], "tpa_submit_auth_attempts_total")).toEqual([]);
  });

  test("shows as 0 what an alert is to hear of the first time: increase() does not see a series begin", () => {
    expect(shown([], "tpa_submit_log_events_total")).toContain('tpa_submit_log_events_total{event="bug"} 0');
    expect(shown([], "tpa_submit_rejections_total")).toContain(
      'tpa_submit_rejections_total{stage="MAIL",code="452"} 0',
    );
  });

  test("counts sessions with next hops by what TLS had to be and what came of it", () => {
    const relay = "mx.example.net[192.0.2.1]:25";
    const tls = { relay, protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", bits: 256 };
    const entries = [
      entryOf("tls-outbound", { ...tls, policy: "opportunistic", trust: "Untrusted" }),
      entryOf("tls-outbound", { ...tls, policy: "dane", trust: "Verified" }),
      entryOf("tls-outbound", { ...tls, policy: "dane", trust: "Verified" }),
      entryOf("clear-outbound", { relay }),
      entryOf("tls-policy-failed", { relay, policy: "verified", reason: "not listed" }),
    ];
    expect(shown(entries, "tpa_submit_outbound_sessions_total")).toEqual([
      'tpa_submit_outbound_sessions_total{policy="opportunistic",result="untrusted"} 1',
      'tpa_submit_outbound_sessions_total{policy="dane",result="verified"} 2',
      'tpa_submit_outbound_sessions_total{policy="opportunistic",result="clear"} 1',
      'tpa_submit_outbound_sessions_total{policy="verified",result="failed"} 1',
    ]);
  });

  test("counts each entry of the log where it belongs", () => {
    const note = { ...at, mechanism: "PLAIN", login: "user1", reason: "wrong" };
    const entries = [
      entryOf("auth-failed", note),
      entryOf("auth-failed", note),
      entryOf("auth-unavailable", note),
      entryOf("auth-accepted", note),
    ];
    expect(shown(entries, "tpa_submit_auth_attempts_total")).toEqual([
      'tpa_submit_auth_attempts_total{mechanism="PLAIN",result="refused"} 2',
      'tpa_submit_auth_attempts_total{mechanism="PLAIN",result="unavailable"} 1',
      'tpa_submit_auth_attempts_total{mechanism="PLAIN",result="accepted"} 1',
    ]);
    expect(shown(entries, "postfix_smtpd_sasl")).toEqual([
      "postfix_smtpd_sasl_authentication_failures_total 3",
    ]);
    expect(shown(entries, "tpa_submit_log_events_total")).toContain(
      'tpa_submit_log_events_total{event="auth-failed"} 2',
    );
  });

  test("tells deliveries apart by outcome and status code", () => {
    const entries = [delivery(250, "2.0.0"), delivery(451, "4.4.1"), delivery(550, "5.1.1")];
    expect(shown(entries, "postfix_smtp_")).toEqual(
      expect.arrayContaining([
        'postfix_smtp_messages_processed_total{status="sent"} 1',
        'postfix_smtp_messages_processed_total{status="deferred"} 1',
        'postfix_smtp_messages_processed_total{status="bounced"} 1',
        'postfix_smtp_deferred_messages_by_dsn_total{dsn="4.4.1"} 1',
        'postfix_smtp_bounced_messages_by_dsn_total{dsn="5.1.1"} 1',
      ]),
    );
  });

  describe("by provider", () => {
    const gmail = "alt1.gmail-smtp-in.l.google.com[192.0.2.1]:25";
    const taken = (relay: string, seconds: number, tls?: string): LogEntry =>
      entryOf("delivery", {
        ...{ id: "A1", to: "b@example.net", relay, command: "end of DATA", reply: reply(250, "2.0.0", "ok") },
        ...{ delays: [seconds, 0, 0, 0], ...(tls !== undefined && { tls }) },
      });
    const refused = (relay: string, code: number, status: string, text: string): LogEntry =>
      entryOf("delivery", {
        ...{ id: "A1", to: "b@example.net", relay, command: "RCPT TO", delays: [0, 0, 0, 0] },
        reply: reply(code, status, text),
      });
    const entries = [
      taken(gmail, 5, "Untrusted TLSv1.3"),
      taken("mx.example.net[192.0.2.2]:25", 700),
      refused(gmail, 421, "4.7.28", "an unusual rate of unsolicited mail - gsmtp"),
      refused("none", 451, "4.0.0", "host mx00.t-online.de[192.0.2.3] refused to talk to me: 554 (NOWL)"),
      refused("none", 451, "4.4.1", "connect to mx1.riseup.net[192.0.2.4]:25: Connection refused"),
      refused("mx.example.net[192.0.2.2]:25", 550, "5.7.1", "words that nobody knows"),
    ];

    test.each([
      [
        "tpa_submit_provider_deliveries_total",
        ['{provider="Gmail",status="sent"} 1', '{provider="other",status="sent"} 1'],
        ['{provider="Gmail",status="deferred"} 1', '{provider="Telekom",status="deferred"} 1'],
        ['{provider="Riseup",status="deferred"} 1', '{provider="other",status="bounced"} 1'],
      ],
      [
        "tpa_submit_provider_refusals_total",
        ['{provider="Gmail",class="rate"} 1', '{provider="Telekom",class="reputation"} 1'],
        ['{provider="Riseup",class="no-answer"} 1', '{provider="other",class="unknown"} 1'],
      ],
      [
        "tpa_submit_provider_tls_total",
        ['{provider="Gmail",tls="untrusted"} 1', '{provider="other",tls="clear"} 1'],
      ],
    ])("%s", (name, ...lines) => {
      expect(shown(entries, name)).toEqual(lines.flat().map((line) => `${name}${line}`));
    });

    test("tpa_submit_provider_delay_seconds", () => {
      const lines = shown(entries, "tpa_submit_provider_delay_seconds");
      expect(lines).toContain('tpa_submit_provider_delay_seconds_bucket{provider="Gmail",le="1"} 0');
      expect(lines).toContain('tpa_submit_provider_delay_seconds_bucket{provider="Gmail",le="10"} 1');
      expect(lines).toContain('tpa_submit_provider_delay_seconds_bucket{provider="other",le="600"} 0');
      expect(lines).toContain('tpa_submit_provider_delay_seconds_count{provider="other"} 1');
    });

    test("has no series for each host that calls itself something", () => {
      const many = Array.from({ length: 1000 }, (_, index) =>
        taken(`mx${index}.example.net[192.0.2.2]:25`, 1),
      );
      expect(shown(many, "tpa_submit_provider_deliveries_total")).toHaveLength(1);
    });
  });

  test("counts a histogram's observation in every bucket that is large enough", () => {
    const lines = shown(
      [delivery(250, "2.0.0"), delivery(250, "2.0.0")],
      "postfix_smtp_delivery_delay_seconds",
    );
    expect(lines.filter((line) => line.includes('stage="connection_setup"'))).toEqual([
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="0.001"} 0',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="0.01"} 0',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="0.1"} 0',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="1"} 0',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="10"} 2',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="100"} 2',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="1000"} 2',
      'postfix_smtp_delivery_delay_seconds_bucket{stage="connection_setup",le="+Inf"} 2',
      'postfix_smtp_delivery_delay_seconds_sum{stage="connection_setup"} 4',
      'postfix_smtp_delivery_delay_seconds_count{stage="connection_setup"} 2',
    ]);
  });

  test("asks the gauges anew each time", () => {
    let age = 1;
    const metrics = openMetrics({ ...readings, queueOldest: () => [{ labels: [], value: age }] });
    expect(metrics.text()).toContain("\ntpa_submit_queue_oldest_message_age_seconds 1\n");
    age = 60;
    expect(metrics.text()).toContain("\ntpa_submit_queue_oldest_message_age_seconds 60\n");
  });

  test("cannot be filled by next hops that make up status codes", () => {
    const entries = Array.from({ length: 1500 }, (_, index) => delivery(550, `5.${index}.1`));
    const lines = shown(entries, "postfix_smtp_bounced_messages_by_dsn_total");
    expect(lines.length).toBe(501);
    expect(lines.at(-1)).toBe('postfix_smtp_bounced_messages_by_dsn_total{dsn="other"} 1000');
  });

  test("escapes what stands in a label", () => {
    expect(
      shown([entryOf("connection-lost", { ...at, stage: 'a"b\\c' })], "postfix_smtpd_connections_lost"),
    ).toEqual(['postfix_smtpd_connections_lost_total{after_stage="a\\"b\\\\c"} 1']);
  });
});

test("toAll() passes an entry on to every sink", () => {
  const seen: string[] = [];
  toAll(
    ({ event }) => seen.push(`one ${event}`),
    ({ event }) => seen.push(`two ${event}`),
  )(entryOf("removed", { id: "A1" }));
  expect(seen).toEqual(["one removed", "two removed"]);
});

describe("the metrics by domain", () => {
  let names: readonly string[] = [];
  const domains: DomainReadings = {
    names: () => names,
    of: (login) => (login.toLowerCase().endsWith("@example.net") ? "example.net" : "example.org"),
    logins: () => [
      { labels: ["example.org"], value: 2 },
      { labels: ["example.net"], value: 3 },
    ],
  };
  const metrics = openMetrics(readings, domains);
  const logins = ["user1", "User1@Example.NET", "guess@example.com"];
  const count = (): void => {
    for (const login of logins) {
      metrics.count(entryOf("auth-failed", { ...at, mechanism: "PLAIN", login, reason: "unknown user" }));
      metrics.count(entryOf("client", { ...at, id: "A1", mechanism: "PLAIN", login }));
    }
  };
  const samples = (): readonly string[] =>
    metrics
      .text()
      .split("\n")
      .filter((line) => line.includes("_domain_") && !line.startsWith("#"));

  test("are not there where there is one domain", () => {
    expect(openMetrics(readings).text()).not.toContain("_domain_");
    names = ["example.org"];
    count();
    expect(metrics.text()).not.toContain("_domain_");
  });

  test("have no other label than our domains, whatever people type", () => {
    names = ["example.org", "example.net"];
    count();
    expect(samples()).toEqual([
      'tpa_submit_domain_logins{domain="example.org"} 2',
      'tpa_submit_domain_logins{domain="example.net"} 3',
      'tpa_submit_domain_auth_attempts_total{domain="example.org",result="refused"} 2',
      'tpa_submit_domain_auth_attempts_total{domain="example.net",result="refused"} 1',
      'tpa_submit_domain_messages_total{domain="example.org"} 2',
      'tpa_submit_domain_messages_total{domain="example.net"} 1',
    ]);
  });

  test("lose a domain that is gone", () => {
    names = ["example.org", "example.com"];
    expect(samples().filter((line) => line.includes("example.net"))).toEqual([]);
  });
});

test("no metric is declared twice, and none has a person or an address for a label", () => {
  const rows = [
    ...logMetrics,
    eventCounter,
    ...Object.values(gauges),
    ...domainMetrics,
    domainLogins,
    ...Object.values(storeMetrics),
    ...Object.values(commitMetrics),
  ];
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  for (const { labels } of rows)
    expect(labels.join()).not.toMatch(/user|login|address|client|sender|recipient/);
});

describe.skipIf(!real("promtool"))("promtool", () => {
  test("finds nothing to complain about", () => {
    const names = ["example.org", "example.net"];
    const logins = () => names.map((name) => ({ labels: [name], value: 1 }));
    const metrics = openMetrics(readings, { names: () => names, of: () => "example.net", logins });
    metrics.count(delivery(550, "5.1.1"));
    metrics.count(entryOf("connection-lost", { ...at, stage: 'a"b\\c' }));
    const input = metrics.text();
    const said = execFileSync(pathOf("promtool") ?? "", ["check", "metrics"], { input, encoding: "utf8" });
    expect(said).toBe("");
  });
});

describe("the database that hosts share", () => {
  const store = {
    isUsed: () => true,
    isThere: () => true,
    frozenHere: () => 2,
    hosts: () => [
      { name: "mail1.example.org", age: 0.5, waiting: 3 },
      { name: "mail2.example.org", age: Number.POSITIVE_INFINITY, waiting: 0 },
    ],
  };
  const linesOf = (text: string): readonly string[] =>
    text.split("\n").filter((line) => line.startsWith("tpa_submit_store"));

  test("is told of where there is one", () => {
    const metrics = openMetrics(readings, undefined, store);
    metrics.commit(3, 0.004);
    metrics.commit(1, 0.2);
    const lines = linesOf(metrics.text());
    expect(lines).toEqual(
      expect.arrayContaining([
        "tpa_submit_store_up 1",
        "tpa_submit_store_frozen_here 2",
        'tpa_submit_store_host_age_seconds{host="mail1.example.org"} 0.5',
        'tpa_submit_store_host_age_seconds{host="mail2.example.org"} +Inf',
        'tpa_submit_store_host_messages{host="mail1.example.org"} 3',
        'tpa_submit_store_commit_changes_bucket{le="1"} 1',
        'tpa_submit_store_commit_changes_bucket{le="4"} 2',
        "tpa_submit_store_commit_changes_sum 4",
        'tpa_submit_store_commit_seconds_bucket{le="0.005"} 1',
        "tpa_submit_store_commit_seconds_count 2",
      ]),
    );
  });

  test("is not where there is none", () => {
    expect(linesOf(openMetrics(readings).text())).toEqual([]);
  });
});
