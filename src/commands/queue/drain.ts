/** `tpa-submit queue drain`: hands all that waits to the relay of another host, for planned work. */
import { command, flag, parseOptions, usageMistake, value } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { config, json, yes } from "./options.ts";

export const drainCommand = command({
  name: "queue drain",
  summary:
    "Take no more mail, and hand all that waits to the relay of another host, by ssh, or to those that share the database.",
  options: {
    config,
    to: value(
      "--to <host>",
      "The other host, as ssh knows it: mail2.example.org, or root@mail2.example.org.",
    ),
    keepListening: flag("--keep-listening", "Go on taking mail."),
    remote: value("--remote <command>", "What is run there.", "tpa-submit queue import -"),
    yes,
    json,
  },
  arguments: {},
  examples: [
    "tpa-submit queue drain",
    "tpa-submit queue drain --to mail2.example.org",
    'tpa-submit queue drain --to mail2.example.org --remote "sudo tpa-submit queue import -" --yes',
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(drainCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { to, ...others } = options;
  const { readConfig } = await import("../../config/config-file.ts");
  if (to === undefined) {
    const shared = await readConfig(options.config);
    if (shared.spool.store !== "") {
      const { handOver } = await import("./handing-over.ts");
      return handOver(shared, others);
    }
  }
  if (to === undefined || !/^[\w.@:[\]][\w.@:[\]-]{0,254}$/.test(to))
    throw usageMistake(drainCommand.name, "--to: expected a host, such as mail2.example.org");
  const configuration = await readConfig(options.config);
  if (configuration.spool.store !== "")
    throw usageMistake(drainCommand.name, "--to: the other hosts share this one's database; leave it out");
  const { drain } = await import("./handing-over.ts");
  return drain(configuration, { to, ...others });
}
