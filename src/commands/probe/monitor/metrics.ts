/**
 * The monitor's metrics for Prometheus, one row each: for a file that node_exporter reads, and for --listen, which adds
 * counters and a histogram. man/tpa-submit-probe-monitor.1, METRICS, lists the rows; a test compares.
 */
import { outcomes, type ProbeResult } from "../../../probe/result.ts";
import {
  expose,
  exposeHistogram,
  type HistogramSample,
  type Metric,
  type Sample,
} from "../../../server/log/prometheus.ts";

const gauge = (name: string, help: string, ...labels: readonly string[]): Metric => ({
  name: `tpa_submit_probe_${name}`,
  help,
  type: "gauge",
  labels: ["target", ...labels],
});

/** In the file, and with --listen. */
export const gauges = {
  success: gauge("success", "Whether the last probe of the route stands well: graded ok."),
  grade: gauge("grade", "How the route stands: 0 ok, 1 warning, 2 critical, 3 unknown."),
  outcome: gauge("outcome", "1 for what became of the last probe, 0 for what else there is.", "outcome"),
  arrival: gauge("arrival_seconds", "How long the last message took that arrived."),
  submission: gauge(
    "submission_seconds",
    "How long the submission server took for the last message it accepted.",
  ),
  lastSuccess: gauge(
    "last_success_timestamp_seconds",
    "When the last message was sent that reached the inbox.",
  ),
  lastRun: gauge("last_run_timestamp_seconds", "When the route was last probed."),
} as const;

/** With --listen only: what counts on from the start of the program. */
export const counted = {
  outcomes: {
    name: "tpa_submit_probe_outcomes_total",
    help: "Probes that have come to their end, by outcome.",
    type: "counter",
    labels: ["target", "outcome"],
  },
  duration: {
    name: "tpa_submit_probe_delivery_duration_seconds",
    help: "How long messages took that arrived.",
    type: "histogram",
    labels: ["target"],
  },
} as const satisfies Readonly<Record<string, Metric>>;

/** From "at once" to "greylisted twice". */
const bounds = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];

export interface MonitorMetrics {
  /** The state of a route, and what has come to its end. `now` in milliseconds since the epoch. */
  note(state: ProbeResult, ended: readonly ProbeResult[], now: number): void;
  /** What the history knows of the time before this program, the oldest first. */
  readonly remember: (result: ProbeResult) => void;
  /** The gauges. */
  file(): string;
  /** Everything. */
  page(): string;
}

interface RouteMetrics {
  state?: ProbeResult;
  arrived?: ProbeResult;
  submitted?: ProbeResult;
  success?: ProbeResult;
  run?: number;
  /** Of the histogram. */
  readonly atMost: number[];
  sum: number;
  count: number;
  readonly counts: Map<string, number>;
}

export function newMonitorMetrics(): MonitorMetrics {
  const targets = new Map<string, RouteMetrics>();

  function targetOf(route: string): RouteMetrics {
    const target = targets.get(route) ?? {
      atMost: bounds.map(() => 0),
      sum: 0,
      count: 0,
      counts: new Map<string, number>(),
    };
    targets.set(route, target);
    return target;
  }

  function learn(result: ProbeResult): void {
    const target = targetOf(result.route);
    if (result.after !== undefined) target.arrived = result;
    if (result.submitted !== undefined) target.submitted = result;
    if (result.outcome === "inbox" || result.outcome === "late") target.success = result;
  }

  const samples = (value: (target: RouteMetrics) => number | undefined): readonly Sample[] =>
    [...targets].flatMap(([route, target]) => {
      const figure = value(target);
      return figure === undefined ? [] : [{ labels: [route], value: figure }];
    });

  function file(): string {
    const seconds = (milliseconds: number | undefined): number | undefined =>
      milliseconds === undefined ? undefined : milliseconds / 1000;
    const known = [...targets].flatMap(([route, { state }]) => (state ? [{ route, state }] : []));
    const states = known.flatMap(({ route, state }) =>
      Object.keys(outcomes).map((outcome) => ({
        labels: [route, outcome],
        value: state.outcome === outcome ? 1 : 0,
      })),
    );
    return [
      expose(
        gauges.success,
        samples(({ state }) => state && Number(state.grade === 0)),
      ),
      expose(
        gauges.grade,
        samples(({ state }) => state?.grade),
      ),
      expose(gauges.outcome, states),
      expose(
        gauges.arrival,
        samples(({ arrived }) => seconds(arrived?.after)),
      ),
      expose(
        gauges.submission,
        samples(({ submitted }) => seconds(submitted?.submitted)),
      ),
      expose(
        gauges.lastSuccess,
        samples(({ success }) => seconds(success?.at)),
      ),
      expose(
        gauges.lastRun,
        samples(({ run }) => seconds(run)),
      ),
    ].join("");
  }

  return {
    note(state, ended, now) {
      const target = targetOf(state.route);
      target.state = state;
      target.run = now;
      for (const result of ended) {
        learn(result);
        target.counts.set(result.outcome, (target.counts.get(result.outcome) ?? 0) + 1);
        if (result.after !== undefined) observe(target, result.after / 1000);
      }
    },
    remember: learn,
    file,
    page() {
      const totals = [...targets].flatMap(([route, { counts }]) =>
        Array.from(counts, ([outcome, value]) => ({ labels: [route, outcome], value })),
      );
      const distributions = Array.from(
        targets,
        ([route, { sum, count, atMost }]): HistogramSample => ({
          labels: [route],
          sum,
          count,
          atMost,
        }),
      );
      return `${file()}${expose(counted.outcomes, totals)}${exposeHistogram(counted.duration, bounds, distributions)}`;
    },
  };
}

function observe(target: RouteMetrics, time: number): void {
  target.sum += time;
  target.count++;
  for (const [place, bound] of bounds.entries())
    if (time <= bound) target.atMost[place] = (target.atMost[place] ?? 0) + 1;
}
