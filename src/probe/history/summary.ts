/** The history for people at a terminal: for each route a line for the last day, week and month. Pure. */
import { type ProbeResult, seconds } from "../result.ts";
import { groupBy, slices, statisticsOf, type TimeSlice } from "./statistics.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** Each with the number of its slices: two hours, half a day, two days. Our choice: a line has 80 characters. */
const spans = [
  { name: "day", length: day, count: 12 },
  { name: "week", length: 7 * day, count: 14 },
  { name: "month", length: 30 * day, count: 15 },
] as const;

/** Characters of a route's name. */
const widest = 21;

/** The lines, with their ends; `results` oldest first. */
export function summaryText(results: readonly ProbeResult[], now: number): string {
  const month = results.filter(({ at }) => at > now - 30 * day && at <= now);
  if (month.length === 0) return "Nothing was probed in the last 30 days.\n";
  const routes = groupBy(month, ({ route }) => route);
  const wide = Math.min(widest, Math.max(...routes.map(([route]) => route.length), "ROUTE".length));
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
        shareLine(slices(own, now - length, now, count)),
      ];
      return `${(at === 0 ? shortened(route) : "").padEnd(wide)}  ${name.padEnd(5)}  ${cells.join("  ")}`;
    }),
  );
  const key = [
    "A column is 2 hours, 12 hours, 2 days; its height is the share that reached the",
    "inbox: a full block is all of it, a blank is a time without probes.",
  ].join("\n");
  return `${[heading, ...lines.map((text) => text.trimEnd()), "", key].join("\n")}\n`;
}

const time = (milliseconds: number | undefined): string =>
  milliseconds === undefined ? "-" : seconds(milliseconds);

/** Rounded down: 99.96 % is not all. */
export const percent = (share: number): string =>
  share === 1 ? "100 %" : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;

const steps = "▁▂▃▄▅▆▇█";

/** A character for each slice: its height is the share that reached the inbox, a blank is one without probes. */
export function shareLine(parts: readonly TimeSlice[]): string {
  return parts
    .map(({ results }) => {
      const { success } = statisticsOf(results);
      return success === undefined ? " " : (steps[Math.floor(success * (steps.length - 1))] ?? "");
    })
    .join("");
}

const shortened = (route: string): string =>
  route.length > widest ? `${route.slice(0, widest - 1)}…` : route;
