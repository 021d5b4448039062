/** What reports say, as metrics for a file that node_exporter reads. man/tpa-submit-probe-reports.1, METRICS, has the rows. */
import type { ReportSummary } from "../../../probe/reports/summary.ts";
import { expose, type Metric, type Sample } from "../../../server/log/prometheus.ts";

const gauge = (name: string, help: string, ...labels: readonly string[]): Metric => ({
  name: `tpa_submit_reports_${name}`,
  help,
  type: "gauge",
  labels,
});

export const reportMetrics = {
  read: gauge("read", "Reports of the days that are told of.", "kind"),
  refused: gauge("refused", "Reports that the last run could not read."),
  newest: gauge("newest_timestamp_seconds", "When the newest report ended."),
  own: gauge("own_messages", "Messages from our addresses, by what DMARC said of them.", "result"),
  receivers: gauge(
    "messages",
    "Messages in our name, by receiver and by what DMARC said of them.",
    "receiver",
    "result",
  ),
  sessions: gauge(
    "tls_sessions",
    "TLS sessions with our servers, by who sent and how they ended.",
    "sender",
    "result",
  ),
  failures: gauge("tls_failures", "TLS sessions with our servers that failed, by reason.", "type"),
} as const;

export function metricsText({ dmarc, tls, newest }: ReportSummary, refused: number): string {
  const passed = ({ messages, passed: good }: { readonly messages: number; readonly passed: number }) =>
    [
      ["passed", good],
      ["failed", messages - good],
    ] as const;
  const types = new Map<string, number>();
  for (const { type, sessions } of tls.failures) types.set(type, (types.get(type) ?? 0) + sessions);
  const sample = (value: number, ...labels: readonly string[]): Sample => ({ labels, value });
  return [
    expose(reportMetrics.read, [sample(dmarc.reports, "dmarc"), sample(tls.reports, "tls")]),
    expose(reportMetrics.refused, [sample(refused)]),
    expose(reportMetrics.newest, newest === undefined ? [] : [sample(newest / 1000)]),
    expose(
      reportMetrics.own,
      passed(dmarc.own).map(([result, count]) => sample(count, result)),
    ),
    expose(
      reportMetrics.receivers,
      dmarc.receivers.flatMap((one) => passed(one).map(([result, count]) => sample(count, one.name, result))),
    ),
    expose(
      reportMetrics.sessions,
      tls.senders.flatMap(({ name, sessions, failed }) => [
        sample(sessions - failed, name, "succeeded"),
        sample(failed, name, "failed"),
      ]),
    ),
    expose(
      reportMetrics.failures,
      Array.from(types, ([type, count]) => sample(count, type)),
    ),
  ].join("");
}
