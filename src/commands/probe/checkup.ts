/** `tpa-submit probe checkup`: a submission service as seen from outside. man/tpa-submit-probe-checkup.1 */
import { parseOptions, usageMistake } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { line } from "./checkup/options.ts";
import { asPlugin } from "./plugin.ts";

/** Returns 0 where nothing failed, 1 where something did; with --nagios 0 to 3. */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("CHECKUP", argv, checkup);
}

async function checkup(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  if (options.json && options.nagios) throw usageMistake(line.name, "--json and --nagios do not go together");
  const { checkService } = await import("./checkup/service.ts");
  return checkService(chosen.arguments.host, options);
}
