/** `tpa-submit init`: from a bare host to a relay that can be started. man/tpa-submit-init.8 */
import { parseOptions } from "../cli/options.ts";
import { exitStatus } from "../failure.ts";
import { line } from "./init/options.ts";

/** Returns 0, also where the check at the end finds something to do. */
export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(line, argv)?.options;
  if (!options) return exitStatus.ok;
  return (await import("./init/run.ts")).setUp(options);
}
