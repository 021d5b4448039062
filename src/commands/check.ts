/** `tpa-submit check`: everything that the relay needs, in one report. man/tpa-submit-check.8 */
import { parseOptions } from "../cli/options.ts";
import { exitStatus } from "../failure.ts";
import { line } from "./check/options.ts";
import { asPlugin } from "./probe/plugin.ts";

/** Returns 0 where nothing failed, else the status of what failed first; with --nagios 0 to 3. */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("CHECK", argv, check);
}

async function check(argv: readonly string[]): Promise<number> {
  const options = parseOptions(line, argv)?.options;
  if (!options) return exitStatus.ok;
  return (await import("./check/run.ts")).runCheck(options);
}
