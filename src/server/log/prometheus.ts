/** Prometheus' text format, version 0.0.4: what a metric is, and how it is written. */

/** The Content-Type of the text. */
export const expositionType = "text/plain; version=0.0.4; charset=utf-8";

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** The names of its labels, in the order in which samples give their values. */
  readonly labels: readonly string[];
}

/** One value; `labels` are values, in the order of the metric's names. */
export interface Sample {
  readonly labels: readonly string[];
  readonly value: number;
}

/** What was observed under one set of labels. */
export interface HistogramSample {
  readonly labels: readonly string[];
  readonly sum: number;
  readonly count: number;
  /** How many observations were at most the bound of the same place. */
  readonly atMost: readonly number[];
}

/** A counter or gauge with its samples. */
export function expose(metric: Metric, samples: readonly Sample[]): string {
  const lines = samples.map(({ labels, value }) => line(metric.name, metric.labels, labels, value));
  return `${head(metric)}${lines.join("")}`;
}

/** A histogram; `bounds` are the upper bounds of its buckets, without the last, infinite one. */
export function exposeHistogram(
  metric: Metric,
  bounds: readonly number[],
  distributions: readonly HistogramSample[],
): string {
  const { name, labels: names } = metric;
  const lines = distributions.flatMap(({ labels, sum, count, atMost }) => [
    ...bounds.map((bound, index) =>
      line(`${name}_bucket`, [...names, "le"], [...labels, String(bound)], atMost[index] ?? 0),
    ),
    line(`${name}_bucket`, [...names, "le"], [...labels, "+Inf"], count),
    line(`${name}_sum`, names, labels, sum),
    line(`${name}_count`, names, labels, count),
  ]);
  return `${head(metric)}${lines.join("")}`;
}

function head({ name, help, type }: Metric): string {
  return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n`;
}

function line(name: string, names: readonly string[], values: readonly string[], given: number): string {
  const labels = names.map(
    (label, index) => `${label}="${escaped(values[index] ?? "").replaceAll('"', '\\"')}"`,
  );
  const value = given === Infinity ? "+Inf" : String(given);
  return `${name}${labels.length === 0 ? "" : `{${labels.join(",")}}`} ${value}\n`;
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
