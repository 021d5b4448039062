/** Statistics of a history, for one route or provider and one span of time: pure. */
import type { ProbeOutcome, ProbeResult } from "../result.ts";

export interface Statistics {
  /** Probes that have ended; those still on their way are not counted. */
  readonly probes: number;
  /** Of these, in the inbox, late or not, between 0 and 1; absent where there were none. */
  readonly success?: number;
  /** Milliseconds until arrival, of those that arrived; absent where none did. */
  readonly median?: number;
  readonly percentile95?: number;
  /** How many there were of each outcome; only outcomes that occur. */
  readonly outcomes: Partial<Readonly<Record<ProbeOutcome, number>>>;
}

const successes: readonly ProbeOutcome[] = ["inbox", "late"];

export function statisticsOf(results: readonly ProbeResult[]): Statistics {
  const ended = results.filter(({ outcome }) => outcome !== "pending");
  const times = ended.flatMap(({ after }) => (after === undefined ? [] : [after])).sort((a, b) => a - b);
  const counts: Partial<Record<ProbeOutcome, number>> = {};
  for (const { outcome } of ended) counts[outcome] = (counts[outcome] ?? 0) + 1;
  const arrived = ended.filter(({ outcome }) => successes.includes(outcome)).length;
  const [median, percentile95] = [percentile(times, 0.5), percentile(times, 0.95)];
  return {
    probes: ended.length,
    ...(ended.length > 0 && { success: arrived / ended.length }),
    ...(median !== undefined && { median }),
    ...(percentile95 !== undefined && { percentile95 }),
    outcomes: counts,
  };
}

/** The smallest of `sorted` that `share` of them are not above (nearest rank); undefined where there are none. */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export interface TimeSlice {
  /** When it begins, in milliseconds since the epoch. */
  readonly from: number;
  readonly results: readonly ProbeResult[];
}

/** `results` in `count` equal slices of the time from `from` to `to`; what is outside is left out. */
export function slices(
  results: readonly ProbeResult[],
  from: number,
  to: number,
  count: number,
): readonly TimeSlice[] {
  const width = (to - from) / count;
  const parts: ProbeResult[][] = Array.from({ length: count }, () => []);
  for (const result of results) parts[Math.floor((result.at - from) / width)]?.push(result);
  return parts.map((part, number) => ({ from: from + number * width, results: part }));
}

/** Results by what `key` gives, in the order of the keys. */
export function groupBy(
  results: readonly ProbeResult[],
  key: (result: ProbeResult) => string,
): readonly (readonly [string, readonly ProbeResult[]])[] {
  const groups = new Map<string, ProbeResult[]>();
  for (const result of results) {
    const group = groups.get(key(result));
    if (group) group.push(result);
    else groups.set(key(result), [result]);
  }
  return [...groups].sort(([one], [other]) => (one < other ? -1 : 1));
}
