/** `tpa-submit dkim list`: every key with its state, its age and what the DNS says of it. */
import { command, flag, parseOptions } from "../../cli/options.ts";
import type { Column } from "../../cli/table.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus } from "../../failure.ts";
import type { Published } from "../../smtp/dkim/record.ts";
import type { KeyOnDisk } from "./folder.ts";
import { config, domain } from "./options.ts";

export const listCommand = command({
  name: "dkim list",
  summary: "List the keys of all domains, or of one, with what the DNS says of each.",
  options: {
    config,
    offline: flag("--offline", "Do not ask the DNS."),
    json: flag("--json", "Print a line of JSON for each key."),
  },
  arguments: { domain: { ...domain, help: "Whose keys; without it those of all." } },
  examples: ["tpa-submit dkim list", "tpa-submit dkim list example.org --json"],
});

const columns: readonly Column[] = [
  { title: "DOMAIN", least: 8 },
  { title: "SELECTOR", least: 8 },
  { title: "KEY" },
  { title: "STATE" },
  { title: "AGE", align: "right" },
  { title: "DNS", least: 8 },
];

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(listCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { config: file, offline, json } = chosen.options;
  const { readConfig } = await import("../../config/config-file.ts");
  const { tableLines, widthOf } = await import("../../cli/table.ts");
  const { printAll } = await import("../queue/output.ts");
  const { allKeysOnDisk, domainOrOwn, keyFolder, keysOnDisk } = await import("./folder.ts");
  const { publishedOf } = await import("./published.ts");
  const configuration = await readConfig(file);
  const { domain: given } = chosen.arguments;
  const name = given === undefined ? undefined : domainOrOwn(given, configuration);
  const keys =
    name === undefined
      ? await allKeysOnDisk(configuration, file)
      : await keysOnDisk(keyFolder(configuration, file, name), name);
  const published = offline ? [] : await publishedOf(keys, configuration);
  const rows = await rowsOf(keys, published, configuration, Date.now(), json);
  if (json) await printAll(eachOf(rows.map((row) => `${JSON.stringify(row)}\n`)));
  else {
    const cells = rows.map((row) => Object.values(row).map(String));
    await printAll(tableLines(columns, eachOf(cells), widthOf(process.stdout)));
  }
  return exitStatus.ok;
}

/** A row for each key, in the order of the columns. */
async function rowsOf(
  keys: readonly KeyOnDisk[],
  published: readonly Published[],
  configuration: Config,
  now: number,
  forPrograms: boolean,
): Promise<readonly Readonly<Record<string, string | number>>[]> {
  const { ageText, time } = await import("../queue/output.ts");
  const { mayGoAt } = await import("./plan.ts");
  return keys.map((key, at) => {
    const { domain: name, selector, kind, state, made, key: own } = key;
    const found = published[at];
    const until = mayGoAt(key, configuration);
    if (forPrograms) {
      return {
        domain: name,
        selector,
        kind,
        state: state.name,
        made: time(made),
        ...(until !== undefined && { recordUntil: time(until) }),
        ...(found && { dns: found.state }),
      };
    }
    return {
      domain: name,
      selector,
      key: kind === "rsa" ? `rsa ${own.asymmetricKeyDetails?.modulusLength ?? ""}` : kind,
      state: until === undefined ? state.name : `retired, record until ${time(until).slice(0, 10)}`,
      age: ageText(now - made),
      dns: found === undefined ? "not asked" : found.state === "published" ? "published" : found.words,
    };
  });
}

async function* eachOf<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}
