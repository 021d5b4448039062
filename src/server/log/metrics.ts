/**
 * Counts the entries of the log for Prometheus; the server calls log() and nothing else. And every metric, a row each:
 * its name, its help, its labels, and which events it counts. The names with postfix_ are those of mtail's program and of
 * postfix_exporter, so that their dashboards go on working. No label has a login or an address in it.
 * man/tpa-submit-serve.8, METRICS, lists the rows; a test compares the two.
 */
import { hostOf, replyClassOf } from "../../smtp/known-replies/explain.ts";
import { providerOf } from "../../smtp/providers.ts";
import { isPositive } from "../../smtp/reply.ts";
import { deliveryStatus, type EventName, type FieldsOf, events as logEvents } from "./events.ts";
import type { LogEntry, LogSink } from "./log.ts";
import { expose, exposeHistogram, type HistogramSample, type Metric, type Sample } from "./prometheus.ts";

export interface Metrics {
  /** For logTo(), beside the sink of the log. */
  readonly count: LogSink;
  /** All metrics in Prometheus' text format (prometheus.ts, `expositionType`). */
  readonly text: () => string;
}

/** What a relay's metrics count besides. */
export interface RelayMetrics extends Metrics {
  /** A commit of the database that hosts share: of how much at a time, and how long it took. */
  readonly commit: (changes: number, seconds: number) => void;
}

/** The domains of a site, as they are when they are asked for. */
export interface DomainReadings {
  /** Their names; the metrics by domain are there where there are several. */
  readonly names: () => readonly string[];
  /** The one of a login, in any spelling: one of the names. */
  readonly of: (login: string) => string;
  /** Logins of each. */
  readonly logins: () => readonly Sample[];
}

/** The database that hosts share, as it is when it is asked for. */
export interface StoreReadings {
  /** Whether there is one; the metrics of it are there then. */
  readonly isUsed: () => boolean;
  readonly isThere: () => boolean;
  /** Logins that are frozen on this host only. */
  readonly frozenHere: () => number;
  /** Of each host: seconds since it was last heard of, and what it has to deliver. */
  readonly hosts: () => readonly { readonly name: string; readonly age: number; readonly waiting: number }[];
}

const noStore: StoreReadings = {
  isUsed: () => false,
  isThere: () => false,
  frozenHere: () => 0,
  hosts: () => [],
};

const oneDomain: DomainReadings = { names: () => [], of: () => "", logins: () => [] };

/** Begins at zero. `readings` gives the gauges, each time that the text is made. */
export function openMetrics(
  readings: GaugeReadings,
  domains: DomainReadings = oneDomain,
  store: StoreReadings = noStore,
): RelayMetrics {
  const events = startCounter(
    eventCounter,
    Object.keys(logEvents).map((name) => [name]),
  );
  const byDomain = startDomains(domains);
  const changes = startHistogram(commitMetrics.changes);
  const seconds = startHistogram(commitMetrics.seconds);
  const meters = logMetrics.map((row) => ({
    row,
    ...(row.type === "histogram" ? startHistogram(row) : startCounter(row, row.begun)),
  }));
  const names = Object.keys(gauges) as (keyof GaugeReadings)[];
  /** By event, what counts it: a few of all. */
  const counting = new Map<EventName, EventMeters>();
  const metersOf = (event: EventName): EventMeters => {
    const found = counting.get(event) ?? {
      once: { labels: [event], value: 1 },
      each: meters.flatMap(({ row, add }) => {
        const read = row.samplesOfEvents[event] as SamplesOfFields | undefined;
        return read === undefined ? [] : [{ read, add }];
      }),
    };
    counting.set(event, found);
    return found;
  };
  return {
    count: (entry) => {
      const { once, each } = metersOf(entry.event);
      events.add(once);
      for (const { read, add } of each) for (const sample of read(entry.fields)) add(sample);
      byDomain.count(entry);
    },
    text: () =>
      [
        ...names.map((name) => expose(gauges[name], readings[name]())),
        ...meters.map(({ text }) => text()),
        events.text(),
        byDomain.text(),
        ...(store.isUsed() ? [storeText(store), changes.text(), seconds.text()] : []),
      ].join(""),
    commit(count, took) {
      changes.add({ labels: [], value: count });
      seconds.add({ labels: [], value: took });
    },
  };
}

function storeText({ isThere, frozenHere, hosts }: StoreReadings): string {
  const all = hosts();
  const of = (read: (host: (typeof all)[number]) => number) =>
    all.map((host) => ({ labels: [host.name], value: read(host) }));
  return [
    expose(storeMetrics.up, [{ labels: [], value: isThere() ? 1 : 0 }]),
    expose(storeMetrics.frozenHere, [{ labels: [], value: frozenHere() }]),
    expose(
      storeMetrics.seen,
      of(({ age }) => age),
    ),
    expose(
      storeMetrics.waiting,
      of(({ waiting }) => waiting),
    ),
  ].join("");
}

/** Counts by domain, while there are several. What a domain had that is gone goes with it. */
function startDomains({ names, of, logins }: DomainReadings): Metrics {
  const series = domainMetrics.map((row) => ({
    row,
    ...startSeries(row, (labels) => ({ labels, value: 0 })),
  }));
  const isOurs = ({ labels: [domain = ""] }: Sample): boolean => names().includes(domain);
  return {
    count({ event, fields }) {
      if (names().length < 2) return;
      for (const { row, stateFor } of series) {
        const read = row.samplesOfEvents[event] as SamplesOfFields | undefined;
        for (const { labels, value } of read?.(fields) ?? []) {
          const [login = "", ...others] = labels;
          stateFor([of(login), ...others]).value += value;
        }
      }
    },
    text: () =>
      names().length < 2
        ? ""
        : [
            expose(domainLogins, logins().filter(isOurs)),
            ...series.map(({ row, all }) => expose(row, all().filter(isOurs))),
          ].join(""),
  };
}

/** Passes an entry on to each of `sinks`. */
export const toAll =
  (...sinks: readonly LogSink[]): LogSink =>
  (entry) => {
    for (const sink of sinks) sink(entry);
  };

/** What this process uses: three of the {@link GaugeReadings}. `started` is in milliseconds since the epoch. */
export function processReadings(started: number): Pick<GaugeReadings, "started" | "processor" | "memory"> {
  const single = (value: number): readonly Sample[] => [{ labels: [], value }];
  return {
    started: () => single(started / 1000),
    processor: () => {
      const { user, system } = process.cpuUsage();
      return single((user + system) / 1e6);
    },
    memory: () => single(process.memoryUsage.rss()),
  };
}

type SamplesOfFields = (fields: LogEntry["fields"]) => readonly Sample[];

interface Meter {
  readonly add: (sample: Sample) => void;
  readonly text: () => string;
}

/** What counts one event. */
interface EventMeters {
  /** That it happened. */
  readonly once: Sample;
  readonly each: readonly { readonly read: SamplesOfFields; readonly add: Meter["add"] }[];
}

/**
 * Sets of labels that one metric may have. Next hops choose some of the values, such as status codes; our choice,
 * so that none of them can fill the memory of the relay and of Prometheus.
 */
const mostSeries = 500;

/** Each set of labels has a `State`; what would be one too many is counted under "other". */
function startSeries<State>(row: Metric, fresh: (labels: readonly string[]) => State) {
  const states = new Map<string, State>();
  const stateFor = (labels: readonly string[]): State => {
    const key = labels.length === 1 ? (labels[0] ?? "") : labels.join("\n"); // no field of an entry has a line end
    const known = states.get(key);
    if (known !== undefined) return known;
    if (states.size >= mostSeries && !labels.every((label) => label === "other")) {
      return stateFor(labels.map(() => "other"));
    }
    const state = fresh(labels);
    states.set(key, state);
    return state;
  };
  if (row.labels.length === 0) stateFor([]); // known to be 0, not unknown
  return { stateFor, all: () => [...states.values()] };
}

/** Those in `begun` are known to be 0 from the start. */
function startCounter(row: Metric, begun: readonly (readonly string[])[] = []): Meter {
  const series = startSeries(row, (labels) => ({ labels, value: 0 }));
  for (const labels of begun) series.stateFor(labels);
  return {
    add: ({ labels, value }) => {
      series.stateFor(labels).value += value;
    },
    text: () => expose(row, series.all()),
  };
}

function startHistogram(row: LogMetric): Meter {
  const series = startSeries(row, (labels) => ({
    labels,
    sum: 0,
    count: 0,
    /** By bound, those that are above the one before. */
    buckets: row.bounds.map(() => 0),
  }));
  return {
    add: ({ labels, value }) => {
      const state = series.stateFor(labels);
      state.sum += value;
      state.count += 1;
      const index = row.bounds.findIndex((bound) => value <= bound);
      if (index !== -1) state.buckets[index] = (state.buckets[index] ?? 0) + 1;
    },
    text: () => exposeHistogram(row, row.bounds, series.all().map(cumulative)),
  };
}

function cumulative({
  buckets,
  ...state
}: Omit<HistogramSample, "atMost"> & { readonly buckets: readonly number[] }): HistogramSample {
  let sum = 0;
  return {
    ...state,
    atMost: buckets.map((count) => {
      sum += count;
      return sum;
    }),
  };
}

/** What an entry adds to a metric, for the events that do. */
export type EventSamples = { readonly [Name in EventName]?: (fields: FieldsOf<Name>) => readonly Sample[] };

/** A metric that grows with the log. */
export interface LogMetric extends Metric {
  readonly samplesOfEvents: EventSamples;
  /** Upper bounds of the buckets; of a histogram only. */
  readonly bounds: readonly number[];
  /** Sets of labels of which an alert wants to hear the first time: increase() does not see a series begin with 1. */
  readonly begun: readonly (readonly string[])[];
}

/** Hosts whose provider is kept. Our choice: more than most relays write to in an hour. */
const mostHosts = 1_000;
const labelsOfRelays = new Map<string, string>();

/** The provider by name where the table has it, so that there are only so many. */
function providerLabel({ reply, relay }: FieldsOf<"delivery">): string {
  const known = relay === "none" ? undefined : labelsOfRelays.get(relay);
  if (known !== undefined) return known;
  const label = providerOf(hostOf(reply, relay))?.name ?? "other";
  if (relay === "none") return label; // then the reply tells the host
  if (labelsOfRelays.size >= mostHosts) labelsOfRelays.clear();
  labelsOfRelays.set(relay, label);
  return label;
}

/** `verified` for "Verified TLSv1.3". */
const tlsLabel = (tls: string | undefined): string => tls?.split(" ", 1)[0]?.toLowerCase() ?? "clear";

const nothing: readonly Sample[] = [];
const unlabelled: readonly Sample[] = [{ labels: [], value: 1 }];

const one = (...labels: readonly string[]): readonly Sample[] =>
  labels.length === 0 ? unlabelled : [{ labels, value: 1 }];

/** By stage, in the order of the delays. */
const stages = ["before_queue_manager", "queue_manager", "connection_setup", "transmission"].map((stage) => [
  stage,
]);

const tls = ["trust", "protocol", "cipher", "secret_bits", "algorithm_bits"] as const;
const powersOfTen = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => Number(`1e${from + index}`));

export const logMetrics: readonly LogMetric[] = [
  counter("postfix_smtpd_connects_total", "Connections from clients.", [], { connect: () => one() }),
  counter("postfix_smtpd_disconnects_total", "Ends of connections from clients.", [], {
    disconnect: () => one(),
  }),
  counter("postfix_smtpd_connections_lost_total", "Connections that clients dropped.", ["after_stage"], {
    "connection-lost": ({ stage }) => one(stage),
  }),
  counter("postfix_smtpd_messages_processed_total", "Messages accepted from clients.", [], {
    client: () => one(),
  }),
  counter("postfix_smtpd_messages_rejected_total", "Recipients refused, by reply code.", ["code"], {
    reject: ({ stage, reply }) => (stage === "RCPT" ? one(String(reply.code)) : nothing),
  }),
  counter("postfix_smtpd_sasl_authentication_failures_total", "Logins that did not succeed.", [], {
    "auth-failed": () => one(),
    "auth-unavailable": () => one(),
  }),
  counter("postfix_smtpd_tls_connections_total", "TLS connections from clients.", tls, {
    "tls-inbound": ({ protocol, cipher, bits }) =>
      one("Anonymous", protocol, cipher, String(bits), String(bits)),
  }),
  counter("postfix_cleanup_messages_processed_total", "Messages with a queue file.", [], {
    "message-id": () => one(),
  }),
  counter("postfix_cleanup_messages_rejected_total", "Messages refused once they had a queue file.", [], {
    reject: ({ id }) => (id === undefined ? nothing : one()),
  }),
  histogram(
    "postfix_qmgr_messages_inserted_recipients",
    "Recipients of a message in the queue.",
    [],
    [1, 2, 4, 8, 16, 32, 64, 128],
    { queued: ({ recipients }) => [{ labels: [], value: recipients }] },
  ),
  histogram(
    "postfix_qmgr_messages_inserted_size_bytes",
    "Size of a message in the queue.",
    [],
    powersOfTen(3, 9),
    { queued: ({ size }) => [{ labels: [], value: size }] },
  ),
  counter("postfix_qmgr_messages_removed_total", "Messages that are done with.", [], {
    removed: () => one(),
  }),
  counter("postfix_qmgr_messages_expired_total", "Messages given up after the spool's lifetime.", [], {
    expired: () => one(),
  }),
  histogram(
    "postfix_smtp_delivery_delay_seconds",
    "Time that a delivery took, by stage.",
    ["stage"],
    powersOfTen(-3, 3),
    {
      delivery: ({ delays }) => delays.map((value, index) => ({ labels: stages[index] ?? [], value })),
    },
  ),
  counter("postfix_smtp_messages_processed_total", "Deliveries, one per recipient, by outcome.", ["status"], {
    delivery: ({ reply }) => one(deliveryStatus(reply)),
  }),
  counter("postfix_smtp_deferred_messages_by_dsn_total", "Deliveries to be tried again.", ["dsn"], {
    delivery: ({ reply }) => (deliveryStatus(reply) === "deferred" ? one(reply.status) : nothing),
  }),
  counter("postfix_smtp_bounced_messages_by_dsn_total", "Deliveries refused for good.", ["dsn"], {
    delivery: ({ reply }) => (deliveryStatus(reply) === "bounced" ? one(reply.status) : nothing),
  }),
  counter("postfix_smtp_tls_connections_total", "TLS connections to next hops.", tls, {
    "tls-outbound": ({ trust, protocol, cipher, bits }) =>
      one(trust, protocol, cipher, String(bits), String(bits)),
  }),
  counter(
    "tpa_submit_dkim_signatures_total",
    "DKIM signatures made, by the signing domain and the algorithm.",
    ["domain", "algorithm"],
    { "dkim-signed": ({ domain, algorithm }) => one(domain, algorithm) },
  ),
  counter(
    "tpa_submit_dkim_unsigned_total",
    "Messages sent without a DKIM signature although there are keys, by the reason.",
    ["reason"],
    { "dkim-unsigned": ({ reason }) => one(reason) },
  ),
  counter(
    "tpa_submit_outbound_sessions_total",
    "Sessions with next hops, by what TLS had to be and what came of it.",
    ["policy", "result"],
    {
      "tls-outbound": ({ policy, trust }) => one(policy, trust.toLowerCase()),
      "clear-outbound": () => one("opportunistic", "clear"),
      "tls-policy-failed": ({ policy }) => one(policy, "failed"),
    },
  ),
  counter(
    "tpa_submit_provider_deliveries_total",
    "Deliveries, one per recipient, by whose host took or refused them, and by outcome.",
    ["provider", "status"],
    { delivery: (fields) => one(providerLabel(fields), deliveryStatus(fields.reply)) },
  ),
  counter(
    "tpa_submit_provider_refusals_total",
    "Deliveries deferred or bounced, by whose host it was, and by what its words mean.",
    ["provider", "class"],
    {
      delivery: (fields) =>
        isPositive(fields.reply)
          ? nothing
          : one(providerLabel(fields), replyClassOf(fields.reply, fields.relay)),
    },
  ),
  counter(
    "tpa_submit_provider_tls_total",
    "Deliveries that were taken, by whose host it was, and by how the session was secured.",
    ["provider", "tls"],
    {
      delivery: (fields) =>
        isPositive(fields.reply) ? one(providerLabel(fields), tlsLabel(fields.tls)) : nothing,
    },
  ),
  histogram(
    "tpa_submit_provider_delay_seconds",
    "Time from when a message was accepted until a provider's host took it.",
    ["provider"],
    [1, 10, 60, 600, 3600, 14_400, 86_400],
    {
      delivery: (fields) => {
        if (!isPositive(fields.reply)) return nothing;
        const delay = fields.delays.reduce((sum, part) => sum + part, 0);
        return [{ labels: [providerLabel(fields)], value: delay }];
      },
    },
  ),
  counter(
    "tpa_submit_reused_sessions_total",
    "Deliveries, one per recipient, in sessions that had been used before.",
    [],
    { delivery: ({ use }) => (use === undefined ? nothing : one()) },
  ),
  counter(
    "tpa_submit_destination_pauses_total",
    "Pauses of destinations that could not be reached or sent us away.",
    [],
    { "destination-paused": () => one() },
  ),
  counter(
    "tpa_submit_provider_pauses_total",
    "Pauses of all destinations of a provider that asked us to slow down.",
    ["provider"],
    { "provider-paused": ({ provider }) => one(provider) },
  ),
  counter("postfix_bounce_non_delivery_notification_total", "Messages returned to their senders.", [], {
    "failure-report": () => one(),
  }),
  counter("tpa_submit_tls_reports_total", "TLS reports to other domains, by how they left.", ["way"], {
    "tls-report": ({ way }) => one(way),
    "tls-report-failed": () => one("failed"),
  }),
  counter("tpa_submit_auth_attempts_total", "Logins, by how they ended.", ["mechanism", "result"], {
    "auth-accepted": ({ mechanism }) => one(mechanism, "accepted"),
    "auth-failed": ({ mechanism }) => one(mechanism, "refused"),
    "auth-unavailable": ({ mechanism }) => one(mechanism, "unavailable"),
  }),
  counter(
    "tpa_submit_milter_messages_total",
    "Messages told to a filter, by what it said of them; away: it could not be asked.",
    ["milter", "verdict"],
    {
      milter: ({ milter, verdict }) => one(milter, verdict),
      "milter-away": ({ milter }) => one(milter, "away"),
    },
  ),
  histogram(
    "tpa_submit_milter_seconds",
    "Time that a filter took for a message.",
    ["milter"],
    [0.01, 0.1, 0.5, 1, 5, 10, 30, 120],
    {
      milter: ({ milter, seconds }) => [{ labels: [milter], value: seconds }],
      "milter-away": ({ milter, seconds }) => [{ labels: [milter], value: seconds }],
    },
  ),
  counter(
    "tpa_submit_rejections_total",
    "Commands refused, by stage and reply code.",
    ["stage", "code"],
    { reject: ({ stage, reply }) => one(stage, String(reply.code)) },
    ["MAIL", "DATA", "BDAT", "END-OF-MESSAGE"].flatMap((stage) => [
      [stage, "451"],
      [stage, "452"],
    ]),
  ),
];

/** Only where there are several domains. The events give a login, which is counted as its domain. */
export const domainMetrics: readonly LogMetric[] = [
  counter(
    "tpa_submit_domain_auth_attempts_total",
    "Logins of a domain, by how they ended.",
    ["domain", "result"],
    {
      "auth-accepted": ({ login }) => one(login, "accepted"),
      "auth-failed": ({ login }) => one(login, "refused"),
      "auth-unavailable": ({ login }) => one(login, "unavailable"),
    },
  ),
  counter("tpa_submit_domain_messages_total", "Messages accepted from a domain's logins.", ["domain"], {
    client: ({ login }) => one(login),
  }),
  counter(
    "tpa_submit_domain_rejections_total",
    "Commands of a domain's logins that were refused, by reply code.",
    ["domain", "code"],
    { reject: ({ login, reply }) => (login === undefined ? [] : one(login, String(reply.code))) },
  ),
];

/** Only where there are several domains. */
export const domainLogins = metric(
  "gauge",
  "tpa_submit_domain_logins",
  "Logins in a domain's password file; 0 while none could be read.",
  ["domain"],
);

/** Only where hosts share a database. */
export const storeMetrics = {
  up: metric("gauge", "tpa_submit_store_up", "1 while the database answers, 0 while it is away.", []),
  frozenHere: metric(
    "gauge",
    "tpa_submit_store_frozen_here",
    "Logins that are frozen on this host, and of which the others do not know yet.",
    [],
  ),
  seen: metric(
    "gauge",
    "tpa_submit_store_host_age_seconds",
    "Time since a host of the database was last heard of.",
    ["host"],
  ),
  waiting: metric(
    "gauge",
    "tpa_submit_store_host_messages",
    "Messages that are a host's to deliver; it has them while it is heard of.",
    ["host"],
  ),
};

/** Likewise. */
export const commitMetrics = {
  changes: histogram(
    "tpa_submit_store_commit_changes",
    "Promises, records and removals in one commit of the database.",
    [],
    [1, 2, 4, 8, 16, 32, 64, 128],
    {},
  ),
  seconds: histogram(
    "tpa_submit_store_commit_seconds",
    "Time that a commit of the database took, with what was written for it.",
    [],
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    {},
  ),
};

/** Counts every entry by the name of its event. */
export const eventCounter = metric(
  "counter",
  "tpa_submit_log_events_total",
  "Events, by the names that tpa-submit-serve(8) lists.",
  ["event"],
);

/** Measured when somebody asks. */
export const gauges = {
  logLost: metric(
    "counter",
    "tpa_submit_log_lines_lost_total",
    "Lines of the log that could not be written.",
    [],
  ),
  build: metric("gauge", "tpa_submit_build_info", "What runs.", ["version", "node"]),
  started: metric("gauge", "process_start_time_seconds", "When the process began, since the epoch.", []),
  processor: metric("counter", "process_cpu_seconds_total", "Processor time used, user and system.", []),
  memory: metric("gauge", "process_resident_memory_bytes", "Memory in use.", []),
  loopDelay: metric(
    "gauge",
    "tpa_submit_event_loop_delay_seconds",
    "The longest time in the last minute or two for which everybody waited.",
    [],
  ),
  sessions: metric("gauge", "tpa_submit_sessions", "Open connections, by listener.", ["door"]),
  queueMessages: metric(
    "gauge",
    "tpa_submit_queue_messages",
    "Messages in the spool, by state: waiting, or held.",
    ["state"],
  ),
  queueOldest: metric(
    "gauge",
    "tpa_submit_queue_oldest_message_age_seconds",
    "Time since the oldest message in the spool that is not held was accepted; 0 when there is none.",
    [],
  ),
  providerPauses: metric(
    "gauge",
    "tpa_submit_provider_pause_seconds",
    "Time until the pause of a provider ends, by what its words meant.",
    ["provider", "class"],
  ),
  freeOctets: metric(
    "gauge",
    "tpa_submit_spool_free_bytes",
    "Room for the relay on the spool's file system.",
    [],
  ),
  freeInodes: metric(
    "gauge",
    "tpa_submit_spool_free_inodes",
    "Inodes for the relay on the spool's file system; +Inf where it makes them as it needs them.",
    [],
  ),
  reserveOctets: metric(
    "gauge",
    "tpa_submit_spool_reserve_bytes",
    "The room below which no message is taken, spool.reserve.",
    [],
  ),
  reserveInodes: metric(
    "gauge",
    "tpa_submit_spool_reserve_inodes",
    "The inodes below which no message is taken, spool.reserve-inodes.",
    [],
  ),
  healthy: metric("gauge", "tpa_submit_healthy", "1 where /healthz says ok, 0 where it does not.", []),
  certificate: metric(
    "gauge",
    "tpa_submit_tls_certificate_not_after_timestamp_seconds",
    "When the certificate ends, since the epoch.",
    [],
  ),
  dkimKeys: metric(
    "gauge",
    "tpa_submit_dkim_key_made_timestamp_seconds",
    "When each DKIM key that signs was made, since the epoch.",
    ["domain", "selector", "algorithm"],
  ),
  logins: metric("gauge", "tpa_submit_logins", "Logins in the password file.", []),
  sshKeys: metric("gauge", "tpa_submit_ssh_keys", "Keys that let people send by SSH, in ssh.keys.", []),
  sshKeysWritten: metric(
    "gauge",
    "tpa_submit_ssh_keys_written_timestamp_seconds",
    "When the file of these keys was written, since the epoch.",
    [],
  ),
} as const;

/** The present values of the gauges; labels in the order of the row. */
export type GaugeReadings = { readonly [Name in keyof typeof gauges]: () => readonly Sample[] };

function counter(
  name: string,
  help: string,
  labels: readonly string[],
  of: EventSamples,
  begun: LogMetric["begun"] = [],
): LogMetric {
  return { ...metric("counter", name, help, labels), samplesOfEvents: of, bounds: [], begun };
}

function histogram(
  name: string,
  help: string,
  labels: readonly string[],
  bounds: readonly number[],
  of: EventSamples,
): LogMetric {
  return { ...metric("histogram", name, help, labels), samplesOfEvents: of, bounds, begun: [] };
}

function metric(type: Metric["type"], name: string, help: string, labels: readonly string[]): Metric {
  return { name, help, type, labels };
}
