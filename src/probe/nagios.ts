/** Results for Nagios, Icinga and the like: one line, its figures behind a bar, a grade as exit status. */
import { type Grade, type ProbeResult, seconds, type Thresholds, urgency } from "./result.ts";

const names = ["OK", "WARNING", "CRITICAL", "UNKNOWN"] as const;

/** The grade of all `results` together; at least unknown where there are none, or this host had `trouble`. */
export function worst(results: readonly ProbeResult[], trouble?: string): Grade {
  const grades = results.map(({ grade }) => grade);
  if (results.length === 0 || trouble !== undefined) grades.push(3);
  return grades.reduce((one, other) => (urgency[other] > urgency[one] ? other : one));
}

/**
 * The status line, and for several routes a line for each behind it. `thresholds` are a route's, by its name; `trouble`
 * is what this host could not do, such as writing a file.
 */
export function nagiosText(
  results: readonly ProbeResult[],
  thresholds: (route: string) => Thresholds | undefined,
  trouble?: string,
): string {
  const figures = results.flatMap((result) =>
    figuresOf(result, thresholds(result.route), results.length > 1),
  );
  const text = results.length === 1 ? (results[0]?.words ?? "") : summary(results);
  const words = trouble === undefined ? text : `${text}; ${trouble.replaceAll("|", "/")}`;
  const status = `PROBE ${names[worst(results, trouble)]} - ${words}${figures.length === 0 ? "" : ` | ${figures.join(" ")}`}\n`;
  if (results.length < 2) return status;
  const lines = [...results]
    .sort((one, other) => urgency[other.grade] - urgency[one.grade])
    .map(({ route, grade, words: said }) => `${names[grade]}: ${route}: ${said}\n`);
  return `${status}${lines.join("")}`;
}

function summary(results: readonly ProbeResult[]): string {
  const bad = results.filter(({ grade }) => grade !== 0);
  if (results.length === 0) return "there is no route to probe";
  if (bad.length === 0) return `all ${results.length} routes are well, the slowest in ${slowest(results)}`;
  const first = [...bad].sort((one, other) => urgency[other.grade] - urgency[one.grade])[0];
  return `${bad.length} of ${results.length} routes: ${first ? `${first.route} ${first.words}` : ""}`;
}

function slowest(results: readonly ProbeResult[]): string {
  const times = results.flatMap(({ after }) => (after === undefined ? [] : [after]));
  return times.length === 0 ? "no time that is known yet" : seconds(Math.max(...times));
}

/** `'label'=value[unit];[warn];[crit];[min]`, seconds with a point whatever the locale. */
function figuresOf(
  result: ProbeResult,
  thresholds: Thresholds | undefined,
  named: boolean,
): readonly string[] {
  const label = (what: string): string => (named ? `'${result.route.replace(/['=|]/g, "_")} ${what}'` : what);
  const limits = thresholds ? `;${figure(thresholds.warn)};${figure(thresholds.crit)}` : ";;";
  const { submitted, after } = result;
  return [
    ...(after === undefined ? [] : [`${label("arrival")}=${figure(after)}s${limits};0`]),
    ...(submitted === undefined ? [] : [`${label("submission")}=${figure(submitted)}s;;;0`]),
  ];
}

const figure = (milliseconds: number): string => (milliseconds / 1000).toFixed(3);
