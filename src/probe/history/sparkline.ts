/** A course of time in one line of characters. */
import type { Slice } from "./statistics.ts";
import { percentile } from "./statistics.ts";

const steps = "▁▂▃▄▅▆▇█";

/**
 * A character for each slice: the height is the median time until arrival, against the slowest slice; `×` is a slice in which
 * something did not reach the inbox, a blank one without probes.
 */
export function sparkline(parts: readonly Slice[]): string {
  const heights = parts.map(({ results }) => {
    const ended = results.filter(({ outcome }) => outcome !== "pending");
    if (ended.length === 0) return undefined;
    if (ended.some(({ outcome }) => outcome !== "inbox" && outcome !== "late")) return Number.NaN;
    const times = ended.flatMap(({ after }) => (after === undefined ? [] : [after]));
    return (
      percentile(
        times.sort((a, b) => a - b),
        0.5,
      ) ?? 0
    );
  });
  const highest = Math.max(
    ...heights.map((height) => (height === undefined || Number.isNaN(height) ? 0 : height)),
  );
  return heights
    .map((height) => {
      if (height === undefined) return " ";
      if (Number.isNaN(height)) return "×";
      return steps[highest === 0 ? 0 : Math.round((height / highest) * (steps.length - 1))] ?? "";
    })
    .join("");
}
