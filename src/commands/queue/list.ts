/** `tpa-submit queue list`: which messages there are. */
import { command, type OptionsOf, oneOf, parsed, parseOptions } from "../../cli/options.ts";
import { tableLines, widthOf } from "../../cli/table.ts";
import { exitStatus } from "../../failure.ts";
import type { DamagedMessage, QueuedMessage } from "../../server/control/protocol.ts";
import { config, filterOf, filters, ids, idsOf, json } from "./options.ts";
import { columnsFor, isSharedQueue, jsonOf, mailqLines, newCounts, printAll, rowOf, say } from "./output.ts";

export const listCommand = command({
  name: "queue list",
  summary: "List messages, oldest first: all, or those that match.",
  options: {
    config,
    ...filters,
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
  const { connectToQuery } = await import("./connection.ts");
  const configuration = await readConfig(options.config);
  const { api, close } = await connectToQuery(configuration);
  const counts = newCounts();
  const filter = filterOf(options, configuration.domain);
  const found = api({ verb: "list", ...(wanted.length > 0 ? { ids: wanted } : {}), filter });
  const isTable = options.format === "table" && !options.json;
  const isShared = isTable && (await isSharedQueue(api));
  await printAll(linesOf(counts.of(found), options, isShared));
  await close();
  if (isTable) say(counts.text());
  return counts.unknown() ? exitStatus.noInput : exitStatus.ok;
}

/** In the format of the options. */
async function* linesOf(
  messages: AsyncIterable<QueuedMessage | DamagedMessage>,
  { json: asJson, format }: Pick<OptionsOf<typeof listCommand.options>, "json" | "format">,
  isShared: boolean,
): AsyncGenerator<string> {
  if (asJson || format === "json") {
    for await (const message of messages) yield `${JSON.stringify(jsonOf(message))}\n`;
  } else if (format === "mailq") yield* mailqLines(messages);
  else {
    const width = widthOf(process.stdout);
    yield* tableLines(columnsFor(isShared), rowsOf(messages, width !== undefined), width);
  }
}

async function* rowsOf(
  messages: AsyncIterable<QueuedMessage | DamagedMessage>,
  brief: boolean,
): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for await (const message of messages) yield rowOf(message, now, brief);
}
