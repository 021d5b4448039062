/** `tpa-submit queue list`: which messages there are. */
import { command, type OptionsOf, oneOf, parsed, parseOptions } from "../../cli/options.ts";
import { newTable, type Table, widthOf } from "../../cli/table.ts";
import { exitStatus } from "../../failure.ts";
import type { DamagedMessage, QueuedMessage } from "../../server/control/protocol.ts";
import { config, filterOf, filters, host, hostFilterOf, ids, idsOf, json } from "./options.ts";
import { columnsFor, countText, isSharedQueue, mailqLines, newCounts, printAll, say } from "./output.ts";
import { cellEnd, type ListedRow, type RowForm, rowMaker } from "./rows.ts";

export const listCommand = command({
  name: "queue list",
  summary: "List messages, oldest first: all, or those that match.",
  options: {
    config,
    ...filters,
    host,
    json,
    format: parsed(
      "--format <format>",
      "table, json, or mailq: as Postfix's mailq.",
      oneOf("table", "json", "mailq"),
      "table",
    ),
  },
  arguments: { ids },
  examples: [
    "tpa-submit queue list",
    "tpa-submit queue list --user user1 --older-than 4h",
    "tpa-submit queue list --domain example.net --error greylist",
    "tpa-submit queue list --status held --json",
    "tpa-submit queue list --format mailq",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(listCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const wanted = await idsOf(listCommand.name, chosen.arguments.ids);
  const { readConfig } = await import("../../config/config-file.ts");
  const configuration = await readConfig(options.config);
  const filter = {
    ...filterOf(options, configuration.domain),
    ...hostFilterOf(listCommand.name, options.host, configuration),
  };
  const form = formOf(options);
  let messages = 0;
  let recipients = 0;
  async function* counted(
    batches: AsyncIterable<readonly ListedRow[]>,
  ): AsyncGenerator<readonly ListedRow[]> {
    for await (const rows of batches) {
      messages += rows.length;
      for (const row of rows) recipients += row.recipients;
      yield rows;
    }
  }
  const counts = newCounts();
  if (wanted.length === 0 && configuration.spool.store === "") {
    const { rowsOfQueue } = await import("./asking.ts");
    const table = newTable(columnsFor(false), widthOf(process.stdout));
    const rows = rowsOfQueue(configuration, filter, form, () => table.layout());
    await printAll(linesOf(counted(rows), form, table));
  } else {
    const { connectToQuery } = await import("./connection.ts");
    const { api, close } = await connectToQuery(configuration);
    try {
      const found = counts.of(api({ verb: "list", ...(wanted.length > 0 ? { ids: wanted } : {}), filter }));
      const isShared = form.as === "table" && (await isSharedQueue(api));
      const table = newTable(columnsFor(isShared), widthOf(process.stdout));
      await printAll(linesOf(counted(rowsOf(found, form)), form, table));
    } finally {
      await close();
    }
  }
  if (form.as === "table") say(countText(messages, recipients));
  return counts.unknown() ? exitStatus.noInput : exitStatus.ok;
}

function formOf({
  json: asJson,
  format,
}: Pick<OptionsOf<typeof listCommand.options>, "json" | "format">): RowForm {
  if (asJson || format === "json") return { as: "json" };
  return format === "mailq" ? { as: "mailq" } : { as: "table", brief: widthOf(process.stdout) !== undefined };
}

async function* linesOf(
  batches: AsyncIterable<readonly ListedRow[]>,
  { as }: RowForm,
  table: Table,
): AsyncGenerator<string> {
  if (as === "mailq") return yield* mailqLines(batches);
  if (as === "json") {
    for await (const rows of batches) yield rows.map(({ text }) => `${text}\n`).join("");
    return;
  }
  for await (const rows of batches) yield linesIn(table, rows);
  yield table.end();
}

/** Rows that were made before the table was settled are cells. */
function linesIn(table: Table, rows: readonly ListedRow[]): string {
  let lines = "";
  for (const { text } of rows) lines += text.endsWith("\n") ? text : table.lines([text.split(cellEnd)]);
  return lines;
}

async function* rowsOf(
  messages: AsyncIterable<QueuedMessage | DamagedMessage>,
  form: RowForm,
): AsyncGenerator<readonly ListedRow[]> {
  const rowOf = rowMaker(form, Date.now());
  for await (const message of messages) yield [rowOf(message)];
}
