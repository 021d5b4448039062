/** `tpa-submit queue summary`: what waits, by destination, sender or login and by age, as qshape(1) has it. */

import { command, oneOf, parsed, parseOptions } from "../../cli/options.ts";
import { visible } from "../../cli/output.ts";
import { type Column, tableLines, widthOf } from "../../cli/table.ts";
import { exitStatus } from "../../failure.ts";
import { config, filterOf, filters, host, hostFilterOf, json } from "./options.ts";
import { ageText, printAll, say } from "./output.ts";
import type { By, SummaryEntry } from "./rows.ts";

export const summaryCommand = command({
  name: "queue summary",
  summary:
    "Count recipients who still wait by the domain of their address, or messages by sender or login, in columns of age: up to 5, 10, 20 … minutes.",
  options: {
    config,
    ...filters,
    host,
    by: parsed("--by <what>", "domain, sender or login.", oneOf("domain", "sender", "login"), "domain"),
    json,
  },
  arguments: {},
  examples: ["tpa-submit queue summary", "tpa-submit queue summary --by login --status deferred"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(summaryCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { readConfig } = await import("../../config/config-file.ts");
  const { providerPauses, rowsOfQueue } = await import("./asking.ts");
  const configuration = await readConfig(options.config);
  const tally = newTally(Date.now());
  const filter = {
    ...filterOf(options, configuration.domain),
    ...hostFilterOf(summaryCommand.name, options.host, configuration),
  };
  for await (const rows of rowsOfQueue(configuration, filter, { as: "summary", by: options.by })) {
    for (const { text } of rows) if (text !== "") tally.add(JSON.parse(text) as SummaryEntry);
  }
  await printAll(
    options.json
      ? asJson(tally.rows(), options.by)
      : tableLines(columns, cells(tally.rows()), widthOf(process.stdout)),
  );
  if (options.json) return exitStatus.ok;
  for (const { provider, until, reason } of await providerPauses(configuration))
    say(`Nothing goes to hosts of ${provider} for ${ageText(until - Date.now())}: ${visible(reason)}`);
  return exitStatus.ok;
}

/** The last minute of each column but the last, which has no end: each is twice as long as the one before. */
const edges = [5, 10, 20, 40, 80, 160, 320, 640, 1280] as const;

export const columns: readonly Column[] = [
  { title: "", align: "right", least: 10 },
  ...["T", ...edges.map(String), `${edges[edges.length - 1] ?? ""}+`].map((title) => ({
    title,
    align: "right" as const,
  })),
];

export interface AgeCount {
  readonly name: string;
  readonly total: number;
  /** One for each column of age. */
  readonly ages: readonly number[];
}

/** Counts messages as they come; `now` is in milliseconds since the epoch. */
export function newTally(now: number) {
  const counts = new Map<string, number[]>();
  const all = edges.map(() => 0).concat(0);

  function count(name: string, column: number): void {
    const ages = counts.get(name) ?? edges.map(() => 0).concat(0);
    counts.set(name, ages);
    for (const one of [ages, all]) one[column] = (one[column] ?? 0) + 1;
  }

  return {
    add([accepted, names]: SummaryEntry): void {
      const minutes = (now - accepted) / 60_000;
      const edge = edges.findIndex((end) => minutes < end);
      for (const name of names) count(name, edge < 0 ? edges.length : edge);
    },
    /** All together, then the largest first. */
    rows(): readonly AgeCount[] {
      const rows = Array.from(counts, ([name, ages]) => countOf(name, ages));
      rows.sort((one, other) => other.total - one.total || (one.name < other.name ? -1 : 1));
      return [countOf("TOTAL", all), ...rows];
    },
  };
}

const countOf = (name: string, ages: readonly number[]): AgeCount => ({
  name,
  total: ages.reduce((sum, one) => sum + one, 0),
  ages,
});

export async function* cells(rows: readonly AgeCount[]): AsyncGenerator<readonly string[]> {
  for (const { name, total, ages } of rows) yield [name, String(total), ...ages.map(String)];
}

async function* asJson(rows: readonly AgeCount[], by: By): AsyncGenerator<string> {
  for (const { name, total, ages } of rows.slice(1)) {
    const byAge = Object.fromEntries(
      ages.map((count, at) => [edges[at] ?? `${edges[edges.length - 1] ?? ""}+`, count]),
    );
    yield `${JSON.stringify({ [by]: name, total, minutes: byAge })}\n`;
  }
}
