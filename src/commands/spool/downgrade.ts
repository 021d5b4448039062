/** `tpa-submit spool downgrade`: the way back to a spool without a journal, which the version before can read. */
import { command, flag, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { readConfig } from "../../config/config-file.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { downgradeSpool } from "../../server/spool/downgrade.ts";
import { becomeOwner } from "../queue/connection.ts";
import { config } from "../queue/options.ts";
import { plural, say } from "../queue/output.ts";

export const downgradeCommand = command({
  name: "spool downgrade",
  summary:
    "Move every message of the journal to a file of its own and give the spool format 2, while no relay runs.",
  options: { config, json: flag("--json", "Print JSON.") },
  arguments: {},
  examples: ["tpa-submit spool downgrade"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(downgradeCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { spool } = await readConfig(options.config);
  const { directory } = spool;
  await becomeOwner(directory);
  const moved = await downgradeSpool(directory, Date.now).catch((error: unknown) => {
    const code = errorCode(error);
    if (!/^E[A-Z0-9]+$/.test(code)) throw error; // a Failure, or a bug
    const status = code === "EACCES" || code === "EPERM" ? exitStatus.noPermission : exitStatus.ioError;
    const hint = "; nothing is lost, run it again when that is mended";
    throw new Failure(status, `${directory}: it cannot be downgraded: ${errorText(error)}${hint}`);
  });
  if (options.json) print(`${JSON.stringify({ moved, format: 2 })}\n`);
  else print(`${plural(moved, "message")} moved out of the journal; the spool has format 2\n`);
  if (spool.journal)
    say(
      'the next start of this version makes a journal again, unless the configuration has "journal = false"',
    );
  return exitStatus.ok;
}
