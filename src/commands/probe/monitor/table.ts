/** The results for people: a line for each route, coloured by grade where the terminal takes colour. */
import { colourFor } from "../../../cli/terminal.ts";
import { type Result, seconds } from "../../../probe/result.ts";

const colours = ["green", "yellow", "red", "magenta"] as const;

/** The lines, with their ends. */
export async function resultTable(results: readonly Result[]): Promise<string> {
  const paint = await colourFor(process.stdout);
  const rows = results.map((result) => ({
    cells: [
      result.route,
      result.outcome,
      result.submitted === undefined ? "-" : seconds(result.submitted),
      result.after === undefined ? "-" : seconds(result.after),
      result.words,
    ],
    colour: colours[result.grade],
  }));
  const titles = ["ROUTE", "OUTCOME", "SUBMITTED", "ARRIVED", ""];
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...rows.map(({ cells }) => (cells[at] ?? "").length)),
  );
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  return [lineOf(titles), ...rows.map(({ cells, colour }) => paint(colour, lineOf(cells)))]
    .map((text) => `${text}\n`)
    .join("");
}
