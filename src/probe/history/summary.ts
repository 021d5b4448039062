/** The history for people at a terminal: for each route a line for the last day, week and month. Pure. */
import { type ProbeResult, seconds } from "../result.ts";
import { groupBy, percentile, slices, statisticsOf, type TimeSlice } from "./statistics.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** Each with the number of its slices: an hour, a quarter of a day, a day. */
const spans = [
  { name: "day", length: day, count: 24 },
  { name: "week", length: 7 * day, count: 28 },
  { name: "month", length: 30 * day, count: 30 },
] as const;

/** The lines, with their ends; `results` oldest first. */
export function summaryText(results: readonly ProbeResult[], now: number): string {
  const month = results.filter(({ at }) => at > now - 30 * day && at <= now);
  if (month.length === 0) return "Nothing was probed in the last 30 days.\n";
  const routes = groupBy(month, ({ route }) => route);
  const wide = Math.max(...routes.map(([route]) => route.length), "ROUTE".length);
  const heading = `${"ROUTE".padEnd(wide)}  LAST   PROBES    INBOX   MEDIAN     95 %  COURSE`;
  const lines = routes.flatMap(([route, own]) =>
    spans.map(({ name, length, count }, at) => {
      const within = own.filter((result) => result.at > now - length);
      const { probes, success, median, percentile95 } = statisticsOf(within);
      const cells = [
        String(probes).padStart(6),
        (success === undefined ? "-" : percent(success)).padStart(7),
        time(median).padStart(7),
        time(percentile95).padStart(7),
        sparkline(slices(own, now - length, now, count)),
      ];
      return `${(at === 0 ? route : "").padEnd(wide)}  ${name.padEnd(5)}  ${cells.join("  ")}`;
    }),
  );
  const key =
    "A column is an hour, six hours, a day: higher is slower, × is mail that did not reach the inbox.";
  return `${[heading, ...lines.map((text) => text.trimEnd()), "", key].join("\n")}\n`;
}

const time = (milliseconds: number | undefined): string =>
  milliseconds === undefined ? "-" : seconds(milliseconds);

/** Rounded down: 99.96 % is not all. */
export const percent = (share: number): string =>
  share === 1 ? "100 %" : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;

const steps = "▁▂▃▄▅▆▇█";

/**
 * A character for each slice: its height is the median time until arrival, relative to the slowest slice; `×` is a
 * slice in which something did not reach the inbox, a blank is one without probes.
 */
export function sparkline(parts: readonly TimeSlice[]): string {
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
