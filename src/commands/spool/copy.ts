/** `tpa-submit spool copy`: all messages of a spool into another one, from files to the database of several hosts or back. */
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { config, json } from "../queue/options.ts";

export const copyCommand = command({
  name: "spool copy",
  summary:
    "Copy all messages, frozen logins and what counts for limits into another spool, and verify each, while no relay runs.",
  options: { config, dryRun: flag("-n, --dry-run", "Only tell what is there."), json },
  arguments: {
    from: argument("<from>", '"files", the folder of spool.directory; "store", its database; or a folder.'),
    to: argument("<to>", "The same."),
  },
  examples: ["tpa-submit spool copy --dry-run files store", "tpa-submit spool copy store /srv/spool"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(copyCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { options, arguments: places } = chosen;
  const { readConfig } = await import("../../config/config-file.ts");
  const configuration = await readConfig(options.config);
  const { copySpool } = await import("./copying.ts");
  return copySpool(configuration, { ...places, dryRun: options.dryRun, json: options.json });
}
