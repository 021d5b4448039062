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

export interface SyncMetrics {
  /** A run with a report, from `began` to `now`, in milliseconds since the epoch. */
  succeeded(report: SyncReport, began: number, now: number): Promise<void>;
  /** The directory has not changed since. The file is written once a minute for that. */
  unchanged(now: number): Promise<void>;
  failed(now: number): Promise<void>;
  text(): string;
  /** Whether the last run went well; true before the first. */
  healthy(): boolean;
}

const writeInterval = 60_000;

/** Keeps them in the file `path`, or in memory alone where that is "". */
export async function openMetrics(path: string): Promise<SyncMetrics> {
  const before = path === "" ? undefined : await findFile(path);
  let values: MetricValues = before === undefined ? new Map() : parse(before.octets.toString());
  let written = 0;

  async function update(
    changes: Iterable<readonly [MetricName, readonly Sample[]]>,
    now: number,
  ): Promise<void> {
    values = new Map([...values, ...changes]);
    written = now;
    if (path === "") return;
    try {
      await replaceFile(path, textOf(values), { mode: 0o644 });
    } catch (error) {
      if (errorCode(error) === "") throw error;
      throw new Failure(
        exitStatus.cannotCreate,
        `sync.metrics-file: cannot write ${path}: ${errorText(error)}`,
      );
    }
  }

  return {
    async succeeded(report, began, now) {
      const changed = filesOf(report).some(({ result }) => result === "replaced");
      const reasons = countBy(report.exclusions.map(({ reason }) => reason));
      await update(
        [
          ["lastSuccess", just(now / 1000)],
          ["lastRun", just(now / 1000)],
          ["success", just(1)],
          ["duration", just((now - began) / 1000)],
          ["entries", just(report.entries)],
          ["users", labelled(report.schemes)],
          ["excluded", labelled(reasons)],
          ...(changed ? [["lastChange", just(now / 1000)] as const] : []),
        ],
        now,
      );
    },
    async unchanged(now) {
      const changes = [
        ["lastSuccess", just(now / 1000)],
        ["lastRun", just(now / 1000)],
        ["success", just(1)],
      ] as const;
      if (now - written >= writeInterval || values.get("success")?.[0]?.value !== 1)
        await update(changes, now);
      else values = new Map([...values, ...changes]);
    },
    failed: (now) =>
      update(
        [
          ["lastRun", just(now / 1000)],
          ["success", just(0)],
        ],
        now,
      ),
    text: () => textOf(values),
    healthy: () => values.get("success")?.[0]?.value !== 0,
  };
}

const just = (value: number): readonly Sample[] => [{ labels: [], value }];

const labelled = (counts: ReadonlyMap<string, number>): readonly Sample[] =>
  [...counts].map(([label, value]) => ({ labels: [label], value }));

function textOf(values: MetricValues): string {
  const names = Object.keys(metrics) as MetricName[];
  return names.map((name) => expose(metrics[name], values.get(name) ?? [])).join("");
}

/** Reads what {@link textOf} wrote; anything else in the file is ignored. */
function parse(text: string): MetricValues {
  const values = new Map<MetricName, Sample[]>();
  for (const [, name = "", label, value] of text.matchAll(/^([a-z_]+)(?:\{\w+="([^"\\]*)"\})? (\S+)$/gm)) {
    const key = (Object.keys(metrics) as MetricName[]).find((one) => metrics[one].name === name);
    if (key === undefined || !Number.isFinite(Number(value))) continue;
    const sample = { labels: label === undefined ? [] : [label], value: Number(value) };
    values.set(key, [...(values.get(key) ?? []), sample]);
  }
  return values;
}
