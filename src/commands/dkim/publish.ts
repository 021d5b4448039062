/** `tpa-submit dkim publish`: the TXT records of keys, as lines of a zone file or as JSON. */
import { command, flag, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { callOf, config, domain } from "./options.ts";

export const publishCommand = command({
  name: "dkim publish",
  summary:
    "Print the records of the keys that wait for them, else of those that sign, as lines of a zone file. Nothing is changed.",
  options: {
    config,
    all: flag("-a, --all", "Of all keys, those that sign no more included."),
    json: flag("--json", "Print a line of JSON for each record."),
  },
  arguments: { domain },
  examples: ["tpa-submit dkim publish example.org", "tpa-submit dkim publish --json"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(publishCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file, all, json } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { domainOrOwn, keyFolder, keysOnDisk } = await import("./folder.ts");
  const { recordName, recordText, stringsOf, zoneLine } = await import("../../smtp/dkim/record.ts");
  const configuration = await readConfig(file);
  const name = domainOrOwn(chosen.arguments.domain, configuration);
  const keys = await keysOnDisk(keyFolder(configuration, file, name), name);
  const waiting = keys.filter(({ state }) => state.name === "new");
  const shown = all
    ? keys
    : waiting.length > 0
      ? waiting
      : keys.filter(({ state }) => state.name === "active");
  if (shown.length === 0)
    throw new Failure(
      exitStatus.unavailable,
      `${name} has no keys: ${callOf(`dkim new ${name}`, file)} makes them`,
    );
  for (const { selector, kind, key, state } of shown) {
    const record = recordName(selector, name);
    const text = recordText(kind, key);
    print(
      json
        ? `${JSON.stringify({ domain: name, selector, kind, state: state.name, name: record, text, strings: stringsOf(text) })}\n`
        : `${zoneLine(record, text)}\n`,
    );
  }
  if (!json && waiting.length > 0)
    print(`; when every name server has them: ${callOf(`dkim rotate ${name}`, file)}\n`);
  return exitStatus.ok;
}
