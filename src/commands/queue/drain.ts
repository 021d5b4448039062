/** `tpa-submit queue drain`: hands all that waits to the relay of another host, for planned work. */
import { command, flag, parseOptions, usageMistake, value } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { config, json, yes } from "./options.ts";

export const drainCommand = command({
  name: "queue drain",
  summary: "Take no more mail, and hand all that waits to the relay of another host, by ssh.",
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
    "tpa-submit queue drain --to mail2.example.org",
    'tpa-submit queue drain --to mail2.example.org --remote "sudo tpa-submit queue import -" --yes',
  ],
});

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(drainCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const { to, ...others } = options;
  if (to === undefined || !/^[\w.@:[\]][\w.@:[\]-]{0,254}$/.test(to))
    throw usageMistake(drainCommand.name, "--to: expected a host, such as mail2.example.org");
  const { readConfig } = await import("../../config/config-file.ts");
  const configuration = await readConfig(options.config);
  const { drain } = await import("./handing-over.ts");
  return drain(configuration, { to, ...others });
}
