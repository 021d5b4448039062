/**
 * Rows under headings, written while they come. On a terminal they fit its width; into a pipe they are complete, since
 * whoever reads there cuts for himself.
 */
import { visible } from "./output.ts";

export interface Column {
  readonly title: string;
  /** Characters below which it is not narrowed; a column without it is never narrowed. */
  readonly least?: number;
  readonly align?: "right";
  /** Left out on a terminal where otherwise the others would have too little room; the lowest number goes first. */
  readonly yields?: number;
}

/** Characters in a line of `stream` where that is a terminal, 80 where it does not tell; undefined for a pipe or file. */
export const widthOf = ({ isTTY, columns }: { isTTY?: boolean; columns?: number }): number | undefined =>
  isTTY === true ? columns || 80 : undefined;

/** Rows that are seen before the widths are settled. */
const sample = 200;
const gap = "  ";

/** The lines of the table, with their line ends; `width` is that of the terminal, undefined for a pipe. */
export async function* tableLines(
  columns: readonly Column[],
  rows: AsyncIterable<readonly string[]>,
  width: number | undefined,
): AsyncGenerator<string> {
  const table = newTable(columns, width);
  for await (const row of rows) {
    const text = table.lines([row.map(visible)]);
    if (text !== "") yield text;
  }
  const text = table.end();
  if (text !== "") yield text;
}

/** How wide the columns are, 0 for one that is left out; `width` is that of the terminal. */
export interface TableLayout {
  readonly columns: readonly Column[];
  readonly widths: readonly number[];
  readonly width: number | undefined;
}

/** The line of `row`, whose cells are as a terminal may show them, with its line end. */
export const lineIn = ({ columns, widths, width }: TableLayout, row: readonly string[]): string =>
  line(columns, row, widths, width);

/** A table whose rows come many at a time. */
export interface Table {
  /** Undefined until it is settled. */
  layout(): TableLayout | undefined;
  /** The lines that are settled with `rows`, whose cells are as a terminal may show them. */
  lines(rows: readonly (readonly string[])[]): string;
  /** Those that are left. */
  end(): string;
}

export function newTable(columns: readonly Column[], width: number | undefined): Table {
  let first: readonly (readonly string[])[] | undefined = [];
  let layout: TableLayout = { columns, widths: [], width };
  const linesOf = (rows: readonly (readonly string[])[]): string =>
    rows.reduce((text, row) => text + lineIn(layout, row), "");

  function settle(seen: readonly (readonly string[])[]): string {
    first = undefined;
    layout = { columns, widths: widthsFor(columns, seen.slice(0, sample), width), width };
    return linesOf([columns.map(({ title }) => title), ...seen]);
  }

  return {
    layout: () => (first === undefined ? layout : undefined),
    lines(rows) {
      if (first === undefined) return linesOf(rows);
      first = [...first, ...rows];
      return first.length < sample ? "" : settle(first);
    },
    end: () => (first === undefined || first.length === 0 ? "" : settle(first)),
  };
}

/**
 * As wide as what stands there; where that is too much, columns that yield have no width at all, and then the widest is
 * narrowed until it fits.
 */
function widthsFor(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): readonly number[] {
  const widths = columns.map(({ title }, at) =>
    rows.reduce((most, row) => Math.max(most, charactersOf(row[at] ?? "").length), title.length),
  );
  const least = columns.map(({ least: narrowest }, at) => Math.min(narrowest ?? Infinity, widths[at] ?? 0));
  const yielding = [...columns.entries()]
    .filter(([, { yields }]) => yields !== undefined)
    .sort(([, one], [, other]) => (one.yields ?? 0) - (other.yields ?? 0));
  for (const [at] of yielding) {
    if (taken(least) > width) {
      widths[at] = 0;
      least[at] = 0;
    }
  }
  while (taken(widths) > width) {
    const spare = widths.map((one, at) => one - (least[at] ?? 0));
    const at = spare.indexOf(Math.max(...spare));
    if ((spare[at] ?? 0) <= 0) break;
    widths[at] = (widths[at] ?? 0) - 1;
  }
  return widths;
}

/** With the gaps between those that have a width. */
const taken = (widths: readonly number[]): number =>
  widths.reduce((sum, one) => sum + (one === 0 ? 0 : one + gap.length), -gap.length);

function line(
  columns: readonly Column[],
  row: readonly string[],
  widths: readonly number[],
  width: number | undefined,
): string {
  let whole = "";
  let before = "";
  for (let at = 0; at < columns.length; at++) {
    const room = widths[at] ?? 0;
    if (room === 0) continue;
    const text = row[at] ?? "";
    const characters = charactersOf(text);
    const isLonger = width !== undefined && characters.length > room;
    const shown = isLonger ? `${firstOf(characters, room - 1)}…` : text;
    const blank = isLonger ? "" : " ".repeat(Math.max(0, room - characters.length));
    whole += before + (columns[at]?.align === "right" ? blank + shown : shown + blank);
    before = gap;
  }
  const line = whole.trimEnd();
  return `${width === undefined ? line : firstOf(charactersOf(line), width)}\n`;
}

/** The characters, of which some are two in a string: what has none of these is a string already. */
const charactersOf = (text: string): string | readonly string[] =>
  /[\ud800-\udfff]/.test(text) ? Array.from(text) : text;

const firstOf = (characters: string | readonly string[], count: number): string =>
  typeof characters === "string" ? characters.slice(0, count) : characters.slice(0, count).join("");
