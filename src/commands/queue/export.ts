/**
 * `tpa-submit queue export`: messages out of the queue, which keeps them. Into a folder: ID.eml is the message, octet by
 * octet, ID.json its envelope. To standard output: one message as it is, or several as a mailbox.
 */
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { command, parseOptions, usageMistake, value } from "../../cli/options.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { QueryApi } from "../../server/control/protocol.ts";
import type { MessageWithOctets } from "./connection.ts";
import { all, config, filterOf, filters, ids, idsOf } from "./options.ts";
import { jsonOf, newCounts, plural, printOctets, say, time } from "./output.ts";

export const exportCommand = command({
  name: "queue export",
  summary: "Copy messages out of the queue, in which they stay: into a folder, or to standard output.",
  options: {
    config,
    ...filters,
    all,
    to: value(
      "-o, --to <folder>",
      "Write ID.eml and ID.json there for each; without it an mbox goes to standard output.",
    ),
  },
  arguments: { ids },
  examples: [
    "tpa-submit queue export 65D3997B8000 > message.mbox",
    "tpa-submit queue export --user user1 --to /root/evidence",
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(exportCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const wanted = await idsOf(exportCommand.name, chosen.arguments.ids);
  const { readConfig } = await import("../../config/config-file.ts");
  const { connectToQuery } = await import("./connection.ts");
  const configuration = await readConfig(options.config);
  const filter = filterOf(options, configuration.domain);
  const some = wanted.length > 0 || Object.keys(filter).length > 0;
  if (some === options.all) {
    throw usageMistake(exportCommand.name, "which messages? Give queue IDs and filters, or --all");
  }
  const { api, close } = await connectToQuery(configuration);
  const counts = newCounts();
  const found = counts.of(api({ verb: "list", ...(wanted.length > 0 ? { ids: wanted } : {}), filter }));
  const { to } = options;
  if (to === undefined) await printOctets(mailbox(api, found));
  else await intoFolder(to, api, found);
  await close();
  return counts.unknown() ? exitStatus.noInput : exitStatus.ok;
}

type Found = AsyncIterable<{ readonly id: string }>;

async function intoFolder(folder: string, api: QueryApi, found: Found): Promise<void> {
  let count = 0;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for await (const message of messages(api, found)) {
      const { about, history } = message;
      const noted = history.map((one) => ("leftOut" in one ? one : { ...one, at: time(one.at) }));
      const envelope = {
        ...jsonOf(about),
        ...("envelope" in about ? { envelope: about.envelope } : {}),
        history: noted,
      };
      const mode = 0o600; // people's mail
      await writeFile(join(folder, `${about.id}.json`), `${JSON.stringify(envelope, undefined, 2)}\n`, {
        mode,
      });
      await pipeline(message.octets, createWriteStream(join(folder, `${about.id}.eml`), { mode }));
      count++;
    }
  } catch (error) {
    if (error instanceof Failure || errorCode(error) === "") throw error;
    throw new Failure(exitStatus.cannotCreate, `${folder}: cannot be written: ${errorText(error)}`);
  }
  say(`${plural(count, "message")} in ${folder}`);
}

async function* messages(api: QueryApi, found: Found): AsyncGenerator<MessageWithOctets> {
  const { readMessage } = await import("./connection.ts");
  for await (const { id } of found) {
    const message = await readMessage(api, id, true);
    if (message) yield message;
    else say(`${id}: left the queue meanwhile`);
  }
}

/** RFC 4155's format, in its "mboxrd" kind: a line that looks like a beginning gets one more ">" in front. */
async function* mailbox(api: QueryApi, found: Found): AsyncGenerator<Buffer> {
  for await (const { about, octets } of messages(api, found)) {
    if (about.status === "damaged") {
      say(`${about.id}: damaged, left out`);
      continue;
    }
    const { sender, accepted } = about.envelope;
    const date = new Date(accepted)
      .toUTCString()
      .replace(/^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/, "$1 $3 $2 $5 $4");
    yield Buffer.from(`From ${sender === "" ? "MAILER-DAEMON" : sender.replace(/\s/g, "?")} ${date}\n`);
    yield* quoted(octets);
    yield Buffer.from("\n");
  }
}

async function* quoted(octets: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = "";
  for await (const piece of octets) {
    const lines = (rest + piece.toString("latin1")).split("\r\n");
    rest = lines.pop() ?? "";
    if (lines.length > 0) yield Buffer.from(lines.map((text) => `${quote(text)}\n`).join(""), "latin1");
  }
  if (rest !== "") yield Buffer.from(`${quote(rest)}\n`, "latin1");
}

const quote = (text: string): string => text.replace(/^>*From /, ">$&");
