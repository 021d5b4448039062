/** `tpa-submit status`: is it well? One screen. man/tpa-submit-status.8 */
import { command, flag, parseOptions, usageMistake } from "../cli/options.ts";
import { exitStatus } from "../failure.ts";
import { config } from "./queue/options.ts";

export const statusCommand = command({
  name: "status",
  summary: "Tell whether the relay is well, on one screen.",
  options: {
    config,
    watch: flag("-w, --watch", "Show it anew every five seconds, until Ctrl-C."),
    json: flag("--json", "Print it as one line of JSON."),
    nagios: flag("--nagios", "Print one line for Nagios; its status is the exit status."),
  },
  arguments: {},
  examples: ["tpa-submit status", "tpa-submit status --watch"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(statusCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { watch, json, nagios } = options;
  if ([watch, json, nagios].filter(Boolean).length > 1) {
    throw usageMistake(statusCommand.name, "--watch, --json and --nagios exclude each other");
  }
  const { showStatus } = await import("./status/show.ts");
  return showStatus(options);
}
