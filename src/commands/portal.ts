/** `tpa-submit portal`: the web pages of the people who send. man/tpa-submit-portal.8 */
import { command, parseOptions, value } from "../cli/options.ts";
import { exitStatus } from "../failure.ts";

export const portalCommand = command({
  name: "portal",
  summary:
    "Serve the pages where people get a password and see their mail. Runs in the foreground until SIGTERM.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
  },
  arguments: {},
  examples: ["tpa-submit portal", "tpa-submit portal --config /etc/tpa-submit/tpa-submit.toml"],
});

/** Returns when it was told to stop and has stopped. */
export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(portalCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { runPortal } = await import("./portal/run.ts");
  return runPortal(chosen.options.config);
}
