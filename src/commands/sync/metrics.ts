/**
 * The metrics of sync, a row each, for node_exporter's textfile collector and for HTTP. A run that fails, or a new
 * process, goes on from what the file says. man/tpa-submit-sync.8, METRICS, lists the rows; a test compares.
 */
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { countBy, filesOf, type SyncReport } from "../../ldap/sync.ts";
import { findFile } from "../../ldap/synced-file.ts";
import { expose, type Metric, type Sample } from "../../server/log/prometheus.ts";

const gauge = (name: string, help: string, ...labels: readonly string[]): Metric => ({
  name: `tpa_submit_sync_${name}`,
  help,
  type: "gauge",
  labels,
});

export const metrics = {
  lastSuccess: gauge(
    "last_success_timestamp_seconds",
    "When the password file was last known to agree with the directory.",
  ),
  lastRun: gauge("last_run_timestamp_seconds", "When the directory was last asked."),
  success: gauge("last_run_success", "Whether that went well."),
  lastChange: gauge("last_change_timestamp_seconds", "When a file was last replaced."),
  duration: gauge("duration_seconds", "How long the last whole search took, files included."),
  entries: gauge("entries", "Entries that the filter found."),
  users: gauge("users", "Logins by scheme; who has two passwords counts twice.", "scheme"),
  excluded: gauge("excluded", "Entries that were left out, by reason.", "reason"),
} as const;

type MetricName = keyof typeof metrics;
type MetricValues = ReadonlyMap<MetricName, readonly Sample[]>;

/** What one domain's runs are told to. */
export interface RunMetrics {
  /** A run with a report, from `began` to `now`, in milliseconds since the epoch. */
  succeeded(report: SyncReport, began: number, now: number): Promise<void>;
  /** The directory has not changed since. The file is written once a minute for that. */
  unchanged(now: number): Promise<void>;
  failed(now: number): Promise<void>;
}

export interface SyncMetrics {
  of(domain: string): RunMetrics;
  /** From now on these domains are told of, and no others. With several, every sample has its domain as a label. */
  setDomains(domains: readonly string[]): void;
  text(): string;
  /** Whether the last run of each domain went well; true before the first. */
  healthy(): boolean;
}

const writeInterval = 60_000;

/** Keeps them in the file `path`, or in memory alone where that is "". The main domain comes first. */
export async function openMetrics(path: string, domains: readonly string[]): Promise<SyncMetrics> {
  const before = path === "" ? undefined : await findFile(path);
  const known = parse(before?.octets.toString() ?? "", domains[0] ?? "");
  let values = new Map<string, MetricValues>();
  let written = 0;
  let last: Promise<void> = Promise.resolve();

  function setDomains(names: readonly string[]): void {
    values = new Map(names.map((name) => [name, values.get(name) ?? known.get(name) ?? new Map()]));
  }

  function note(domain: string, changes: Iterable<readonly [MetricName, readonly Sample[]]>): void {
    const own = values.get(domain);
    if (own) values.set(domain, new Map([...own, ...changes])); // else its last run ended after it was taken away
  }

  /** One after the other: what is told last is what stays in the file. */
  function write(now: number): Promise<void> {
    written = now;
    if (path === "") return Promise.resolve();
    const mine = last.then(() => replaceFile(path, textOf(values), { mode: 0o644 }));
    last = mine.catch(() => undefined); // the caller gets the error
    return mine.catch((error: unknown) => {
      if (errorCode(error) === "") throw error;
      throw new Failure(
        exitStatus.cannotCreate,
        `sync.metrics-file: cannot write ${path}: ${errorText(error)}`,
      );
    });
  }

  setDomains(domains);
  return {
    setDomains,
    of: (domain) => ({
      async succeeded(report, began, now) {
        const changed = filesOf(report).some(({ result }) => result === "replaced");
        const reasons = countBy(report.exclusions.map(({ reason }) => reason));
        note(domain, [
          ["lastSuccess", just(now / 1000)],
          ["lastRun", just(now / 1000)],
          ["success", just(1)],
          ["duration", just((now - began) / 1000)],
          ["entries", just(report.entries)],
          ["users", labelled(report.schemes)],
          ["excluded", labelled(reasons)],
          ...(changed ? [["lastChange", just(now / 1000)] as const] : []),
        ]);
        await write(now);
      },
      async unchanged(now) {
        const wasWell = values.get(domain)?.get("success")?.[0]?.value === 1;
        note(domain, [
          ["lastSuccess", just(now / 1000)],
          ["lastRun", just(now / 1000)],
          ["success", just(1)],
        ]);
        if (now - written >= writeInterval || !wasWell) await write(now);
      },
      async failed(now) {
        note(domain, [
          ["lastRun", just(now / 1000)],
          ["success", just(0)],
        ]);
        await write(now);
      },
    }),
    text: () => textOf(values),
    healthy: () => [...values.values()].every((own) => own.get("success")?.[0]?.value !== 0),
  };
}

const just = (value: number): readonly Sample[] => [{ labels: [], value }];

const labelled = (counts: ReadonlyMap<string, number>): readonly Sample[] =>
  [...counts].map(([label, value]) => ({ labels: [label], value }));

function textOf(values: ReadonlyMap<string, MetricValues>): string {
  const names = Object.keys(metrics) as MetricName[];
  const [only] = values.values();
  if (only !== undefined && values.size === 1)
    return names.map((name) => expose(metrics[name], only.get(name) ?? [])).join("");
  return names
    .map((name) => {
      const metric = metrics[name];
      const samples = [...values].flatMap(([domain, own]) =>
        (own.get(name) ?? []).map(({ labels, value }) => ({ labels: [domain, ...labels], value })),
      );
      return expose({ ...metric, labels: ["domain", ...metric.labels] }, samples);
    })
    .join("");
}

/** Reads what {@link textOf} wrote, by domain; without one it is that of `main`. Anything else in the file is ignored. */
function parse(text: string, main: string): ReadonlyMap<string, MetricValues> {
  const found = new Map<string, Map<MetricName, Sample[]>>();
  const samples = text.matchAll(
    /^([a-z_]+)(?:\{(?:domain="([^"\\]*)",?)?(?:[a-z]+="([^"\\]*)")?\})? (\S+)$/gm,
  );
  for (const [, name = "", domain = main, label, value] of samples) {
    const key = (Object.keys(metrics) as MetricName[]).find((one) => metrics[one].name === name);
    if (key === undefined || !Number.isFinite(Number(value))) continue;
    const own = found.get(domain) ?? new Map<MetricName, Sample[]>();
    const sample = { labels: label === undefined ? [] : [label], value: Number(value) };
    own.set(key, [...(own.get(key) ?? []), sample]);
    found.set(domain, own);
  }
  return found;
}
