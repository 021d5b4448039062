/**
 * Counts the entries of the log, and tells the figures to Prometheus. The server calls log() and nothing else.
 */
import { type Distribution, expose, exposeHistogram, type Metric, type Sample } from "./exposition.ts";
import { type Counted, counted, gauges, logged, type Readings } from "./figures.ts";
import type { Entry, Sink } from "./log.ts";

export interface Metrics {
  /** For logTo(), beside the sink of the log. */
  readonly count: Sink;
  /** All metrics in Prometheus' text format (exposition.ts, `expositionType`). */
  readonly text: () => string;
}

/** Begins at zero. `readings` is asked for the gauges each time that the text is wanted. */
export function openMetrics(readings: Readings): Metrics {
  const events = startCounter(logged);
  const meters = counted.map((row) => ({
    row,
    ...(row.type === "histogram" ? startHistogram(row) : startCounter(row)),
  }));
  const names = Object.keys(gauges) as (keyof Readings)[];
  return {
    count: (entry) => {
      events.add({ labels: [entry.event], value: 1 });
      for (const { row, add } of meters) for (const sample of samplesOf(row, entry)) add(sample);
    },
    text: () =>
      [
        ...names.map((name) => expose(gauges[name], readings[name]())),
        ...meters.map(({ text }) => text()),
        events.text(),
      ].join(""),
  };
}

/** Passes an entry on to each of `sinks`. */
export const toAll =
  (...sinks: readonly Sink[]): Sink =>
  (entry) => {
    for (const sink of sinks) sink(entry);
  };

/** What this process takes from the machine: three of the {@link Readings}. `started` is in milliseconds since the epoch. */
export function processReadings(started: number): Pick<Readings, "started" | "processor" | "memory"> {
  const just = (value: number): readonly Sample[] => [{ labels: [], value }];
  return {
    started: () => just(started / 1000),
    processor: () => {
      const { user, system } = process.cpuUsage();
      return just((user + system) / 1e6);
    },
    memory: () => just(process.memoryUsage.rss()),
  };
}

function samplesOf({ of }: Counted, { event, fields }: Entry): readonly Sample[] {
  const read = of[event] as ((fields: Entry["fields"]) => readonly Sample[]) | undefined;
  return read?.(fields) ?? [];
}

interface Meter {
  readonly add: (sample: Sample) => void;
  readonly text: () => string;
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
    const key = JSON.stringify(labels);
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

function startCounter(row: Metric): Meter {
  const series = startSeries(row, (labels) => ({ labels, value: 0 }));
  return {
    add: ({ labels, value }) => {
      series.stateFor(labels).value += value;
    },
    text: () => expose(row, series.all()),
  };
}

function startHistogram(row: Counted): Meter {
  const series = startSeries(row, (labels) => ({
    labels,
    sum: 0,
    count: 0,
    atMost: row.bounds.map(() => 0),
  }));
  return {
    add: ({ labels, value }) => {
      const state = series.stateFor(labels);
      state.sum += value;
      state.count += 1;
      state.atMost = state.atMost.map((count, index) => count + (value <= (row.bounds[index] ?? 0) ? 1 : 0));
    },
    text: () => exposeHistogram(row, row.bounds, series.all() satisfies readonly Distribution[]),
  };
}
