/** `tpa-submit queue import`: takes the messages of a dead host's spool, or of an export, into this relay. */
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { config, json } from "./options.ts";

export const importCommand = command({
  name: "queue import",
  summary: "Take over what waits in a dead host's spool, or in a folder of queue export.",
  options: {
    config,
    dryRun: flag("-n, --dry-run", "Only tell what is there."),
    json,
  },
  arguments: { folder: argument("<folder>", 'The spool or the folder; "-" is for queue drain.') },
  examples: ["tpa-submit queue import --dry-run /srv/rescued", "tpa-submit queue import /srv/rescued"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(importCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  const { folder } = chosen.arguments;
  const { readConfig } = await import("../../config/config-file.ts");
  const configuration = await readConfig(options.config);
  const { lookInto, takeFrom, takeFromDrain } = await import("./taking.ts");
  if (folder === "-") return takeFromDrain(configuration);
  return options.dryRun
    ? lookInto(folder, configuration, options.json)
    : takeFrom(folder, configuration, options.json);
}
