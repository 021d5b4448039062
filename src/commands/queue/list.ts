/** `tpa-submit queue list`: which messages there are. */
import { command, type OptionsOf, oneOf, parsed, parseOptions } from "../../cli/options.ts";
import { tableLines, widthOf } from "../../cli/table.ts";
import { readConfig } from "../../config/config-file.ts";
import { exitStatus } from "../../failure.ts";
import type { Listed, Queued, Unreadable } from "../../server/control/order.ts";
import { jsonOf } from "./json.ts";
import { mailqLines } from "./mailq.ts";
import { config, filterOf, filters, ids, idsOf, json } from "./options.ts";
import { print, say } from "./print.ts";
import { reachWindow } from "./reach.ts";
import { columns, plural, rowOf } from "./rows.ts";

export const line = command({
  name: "queue list",
  summary: "Tell which messages there are, oldest first: all, or those that fit.",
  options: {
    config,
    ...filters,
    json,
    format: parsed(
      "--format <form>",
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
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const wanted = await idsOf(line.name, chosen.arguments.ids);
  const configuration = await readConfig(options.config);
  const { desk, close } = await reachWindow(configuration);
  const counts = newCounts();
  const filter = filterOf(options, configuration.domain);
  const found = desk({ word: "list", ...(wanted.length > 0 ? { ids: wanted } : {}), filter });
  await print(linesOf(counts.of(found), options));
  await close();
  if (options.format === "table" && !options.json) say(counts.text());
  return counts.unknown() ? exitStatus.noInput : exitStatus.ok;
}

/** In the form that `options` ask for. */
async function* linesOf(
  messages: AsyncIterable<Queued | Unreadable>,
  { json: asJson, format }: Pick<OptionsOf<typeof line.options>, "json" | "format">,
): AsyncGenerator<string> {
  if (asJson || format === "json") {
    for await (const message of messages) yield `${JSON.stringify(jsonOf(message))}\n`;
  } else if (format === "mailq") yield* mailqLines(messages);
  else {
    const width = widthOf(process.stdout);
    yield* tableLines(columns, rowsOf(messages, width !== undefined), width);
  }
}

async function* rowsOf(
  messages: AsyncIterable<Queued | Unreadable>,
  brief: boolean,
): AsyncGenerator<readonly string[]> {
  const now = Date.now();
  for await (const message of messages) yield rowOf(message, now, brief);
}

/** Counts what passes, and says of each ID that is not in the queue that it is not. */
export function newCounts() {
  let messages = 0;
  let recipients = 0;
  let unknown = 0;
  return {
    async *of(found: AsyncIterable<Listed>): AsyncGenerator<Queued | Unreadable> {
      for await (const one of found) {
        if (one.status === "unknown") {
          unknown++;
          say(`${one.id}: not in the queue`);
          continue;
        }
        messages++;
        if ("envelope" in one)
          recipients += one.envelope.recipients.filter(({ state }) => state === "waiting").length;
        yield one;
      }
    },
    messages: () => messages,
    unknown: () => unknown > 0,
    text: () =>
      messages === 0
        ? "no messages"
        : `${plural(messages, "message")} for ${plural(recipients, "recipient")}`,
  };
}
