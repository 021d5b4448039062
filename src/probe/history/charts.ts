/** The pictures of the page, as SVG: its colours come from the style sheet, its width from the page. */
import { type ProbeOutcome, type ProbeResult, seconds } from "../result.ts";
import { percentile, type TimeSlice } from "./statistics.ts";

/** The few kinds that a reader tells apart at a glance, each with a word and a colour of the style sheet. */
export const kinds = {
  inbox: "inbox",
  late: "late",
  spam: "spam",
  lost: "lost or too late",
  failed: "refused or returned",
  unseen: "not known",
} as const;

export type OutcomeKind = keyof typeof kinds;

const kindOfOutcome: Readonly<Record<ProbeOutcome, OutcomeKind | undefined>> = {
  inbox: "inbox",
  pending: undefined, // ends in another result
  delayed: undefined,
  late: "late",
  spam: "spam",
  overdue: "lost",
  lost: "lost",
  returned: "failed",
  refused: "failed",
  down: "failed",
  unseen: "unseen",
};

export const kindOf = ({ outcome }: ProbeResult): OutcomeKind | undefined => kindOfOutcome[outcome];

/** In the inbox after all. */
export const isGood = (kind: OutcomeKind): boolean => kind === "inbox" || kind === "late";

const order = Object.keys(kinds) as readonly OutcomeKind[];

/** How many there are of each kind that occurs, the good ones first. */
export function countsOf(results: readonly ProbeResult[]): readonly (readonly [OutcomeKind, number])[] {
  return order
    .map((kind) => [kind, results.filter((result) => kindOf(result) === kind).length] as const)
    .filter(([, count]) => count > 0);
}

/** The worst kind; undefined where no probe has ended. */
export function worstOf(results: readonly ProbeResult[]): OutcomeKind | undefined {
  const found = new Set(results.map(kindOf));
  return (["failed", "lost", "spam", "late", "unseen", "inbox"] as const).find((kind) => found.has(kind));
}

/** Width and height of every picture, in parts of a hundred; the style sheet stretches it but not its lines. */
const plane = 100;

/** Of the plane, for the marks of what went wrong. */
const markHeight = 6;
const top = 10;

/** Where a line across the picture may stand, in milliseconds, and the least distance between two. */
const levels = [100, 300, 1000, 3000, 10_000, 30_000, 60_000, 180_000, 600_000, 1_800_000, 3_600_000];
const apart = 14;

interface ChartPoint {
  readonly x: number;
  readonly median: number;
  readonly high: number;
}

/**
 * Time until arrival, by slices: a line for the median, an area up to the 95th percentile, a mark on top of each slice
 * in which something did not reach the inbox. The scale is logarithmic, to show a second and an hour.
 */
export function latencyChart(slices: readonly TimeSlice[], label: string): Markup {
  const step = plane / slices.length;
  const values = slices.map(({ results }) =>
    results.flatMap(({ after }) => (after === undefined ? [] : [Math.max(after, 1)])).sort((a, b) => a - b),
  );
  const all = values.flat();
  if (all.length === 0 && slices.every(({ results }) => results.length === 0)) {
    return html`<p class="none">Nothing was sent in these 7 days.</p>`;
  }
  const low = Math.min(...all, 1000) / 1.5;
  const high = Math.max(...all, 10_000) * 1.5;
  const yOf = (value: number): number =>
    top + (plane - top) * (1 - Math.log(value / low) / Math.log(high / low));
  const points = values.map((times, at): ChartPoint | undefined => {
    const [median, upper] = [percentile(times, 0.5), percentile(times, 0.95)];
    return median === undefined || upper === undefined
      ? undefined
      : { x: step * (at + 0.5), median, high: upper };
  });
  const lines = spread(
    levels.filter((level) => level > low && level < high).map((level) => ({ level, y: yOf(level) })),
  );
  return html`<div class="chart" role="img" aria-label="${label}">
<svg viewBox="0 0 ${plane} ${plane}" preserveAspectRatio="none">
${lines.map(({ y }) => html`<line class="grid" x1="0" x2="${plane}" y1="${y}" y2="${y}"/>`)}
${runsOf(points).map((run) => medianLine(run, yOf))}
${slices.flatMap((slice, at) => failureMark(slice, step * at, step))}
</svg>
${lines.map(({ level, y }) => html`<span class="y" style="--at: ${y / plane}">${seconds(level)}</span>`)}
<div class="x">${times(slices)}</div>
</div>`;
}

/** Without those too close to the one before. */
function spread<Line extends { readonly y: number }>(lines: readonly Line[]): readonly Line[] {
  const kept: Line[] = [];
  for (const line of lines) {
    const last = kept.at(-1);
    if (!last || last.y - line.y >= apart) kept.push(line);
  }
  return kept;
}

function runsOf(points: readonly (ChartPoint | undefined)[]): readonly (readonly ChartPoint[])[] {
  const runs: ChartPoint[][] = [[]];
  for (const point of points) {
    if (point) runs.at(-1)?.push(point);
    else if ((runs.at(-1)?.length ?? 0) > 0) runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

function medianLine(run: readonly ChartPoint[], yOf: (value: number) => number): Markup {
  const only = run.length === 1 ? run[0] : undefined;
  if (only) return html`<path class="point" d="M${only.x.toFixed(1)},${yOf(only.median).toFixed(1)} h0.01"/>`;
  const path = (points: readonly (readonly [number, number])[]): string =>
    points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" L");
  const medians = run.map(({ x, median }) => [x, yOf(median)] as const);
  const highs = run.map(({ x, high }) => [x, yOf(high)] as const);
  return html`<path class="band" d="M${path(medians)} L${path([...highs].reverse())} Z"/><path class="line" d="M${path(medians)}"/>`;
}

function failureMark({ from, results }: TimeSlice, x: number, step: number): readonly Markup[] {
  const bad = results.filter((result) => !isGood(kindOf(result) ?? "inbox"));
  const worst = worstOf(bad);
  if (worst === undefined) return [];
  const words = `${moment(from)}: ${bad.length} ${kinds[worst]}`;
  return [
    html`<rect class="${worst}" x="${x}" y="0" width="${step * 0.85}" height="${markHeight}"><title>${words}</title></rect>`,
  ];
}

/** Three times along the bottom. */
function times(slices: readonly TimeSlice[]): readonly Markup[] {
  const [first, second] = slices;
  if (!first || !second) return [];
  const span = (second.from - first.from) * slices.length;
  return [0, 0.5, 1].map((share) => html`<span>${moment(first.from + span * share).slice(5)}</span>`);
}

/** A column for each slice, its parts as high as their shares; a single failure stays visible. */
export function calendarStrip(parts: readonly TimeSlice[], label: string): Markup {
  const step = plane / parts.length;
  return html`<svg class="strip" viewBox="0 0 ${plane} ${plane}" preserveAspectRatio="none" role="img" aria-label="${label}">
${parts.map(({ from, results }, at) => column(results, moment(from).slice(0, 10), step * at + step * 0.06, step * 0.88))}
</svg>`;
}

function column(results: readonly ProbeResult[], day: string, x: number, columnWidth: number): Markup {
  const counts = countsOf(results);
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  const good = counts.reduce((sum, [kind, count]) => (isGood(kind) ? sum + count : sum), 0);
  const words = all === 0 ? "nothing was sent" : `${good} of ${all} reached the inbox`;
  if (all === 0) return part("empty", 0, plane);
  const bad = counts.slice(1).map(([kind, count]) => [kind, Math.max((count / all) * plane, 12)] as const);
  let y = plane;
  const [first] = counts;
  return html`${first ? part(first[0], 0, plane) : ""}${bad.reverse().map(([kind, high]) => {
    y -= high;
    return part(kind, y, high);
  })}`;

  function part(kind: OutcomeKind | "empty", y: number, high: number): Markup {
    return html`<rect class="${kind}" x="${x}" y="${y}" width="${columnWidth}" height="${high}"><title>${day}: ${words}</title></rect>`;
  }
}

/** A bar in parts as wide as their shares; none is too thin to be seen, at the cost of the widest. */
export function placementBar(counts: readonly (readonly [OutcomeKind, number])[]): Markup {
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  const shares = counts.map(([, count]) => Math.max((count / all) * plane, 0.8));
  const excess = shares.reduce((sum, share) => sum + share, 0) - plane;
  const widest = shares.indexOf(Math.max(...shares));
  let x = 0;
  const parts = counts.map(([kind, count], at) => {
    const share = (shares[at] ?? 0) - (at === widest ? excess : 0);
    const part = html`<rect class="${kind}" x="${x}" y="0" width="${share}" height="${plane}"><title>${kinds[kind]}: ${count}</title></rect>`;
    x += share;
    return part;
  });
  const label = counts.map(([kind, count]) => `${kinds[kind]}: ${count}`).join(", ");
  return html`<svg class="bar" viewBox="0 0 ${plane} ${plane}" preserveAspectRatio="none" role="img" aria-label="${label}">${parts}</svg>`;
}

/** `2026-11-22 14:05`, UTC. */
export const moment = (at: number): string => new Date(at).toISOString().slice(0, 16).replace("T", " ");

/** HTML by template: what is put in is text and is escaped, unless it is markup itself. */
export interface Markup {
  readonly markup: string;
}

type MarkupPart = string | number | Markup | readonly Markup[];

/** A template of HTML or SVG. */
export function html(strings: TemplateStringsArray, ...parts: readonly MarkupPart[]): Markup {
  return { markup: strings.map((text, at) => `${text}${written(parts[at] ?? "")}`).join("") };
}

function written(part: MarkupPart): string {
  if (typeof part === "number") return String(Math.round(part * 100) / 100);
  if (typeof part === "string") return escaped(part);
  return "markup" in part ? part.markup : part.map(({ markup }) => markup).join("");
}

const names: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => names[character] ?? "");
