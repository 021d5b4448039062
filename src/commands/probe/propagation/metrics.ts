/** The figures of a run for node_exporter's textfile collector. man/tpa-submit-probe-propagation.1, METRICS; a test compares. */
import type { Judgement } from "../../../probe/propagation/judgement.ts";
import { expose, type Metric } from "../../../server/log/prometheus.ts";
import { publish } from "../given-file.ts";

const gauge = (name: string, help: string, ...labels: readonly string[]): Metric => ({
  name: `tpa_submit_propagation_${name}`,
  help,
  type: "gauge",
  labels,
});

export const metrics = {
  success: gauge("success", "Whether the last change of a password was graded ok."),
  seconds: gauge("seconds", "How long the new password took to work, the old one to end.", "password"),
  lastRun: gauge("last_run_timestamp_seconds", "When it was last tried."),
} as const;

/** `now` in milliseconds since the epoch. Throws a Failure where the file cannot be written. */
export async function writeMetrics(
  file: string,
  { grade, newWorks, oldEnds }: Judgement,
  now: number,
): Promise<void> {
  const times = [
    ["new", newWorks],
    ["old", oldEnds],
  ] as const;
  const text = [
    expose(metrics.success, [{ labels: [], value: Number(grade === 0) }]),
    expose(
      metrics.seconds,
      times.flatMap(([label, time]) => (time === undefined ? [] : [{ labels: [label], value: time / 1000 }])),
    ),
    expose(metrics.lastRun, [{ labels: [], value: now / 1000 }]),
  ].join("");
  await publish(file, text, "--prometheus");
}
