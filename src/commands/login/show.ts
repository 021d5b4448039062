/** `tpa-submit login show`: all that is known of one login. */
import { argument, command, flag, parseOptions } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";
import { config } from "../queue/options.ts";

export const showCommand = command({
  name: "login show",
  summary:
    "Show all that is known of a login: password lines, freeze, blocks, limits, last logins and refusals, mail.",
  options: { config, json: flag("--json", "Print it as one line of JSON.") },
  arguments: { login: argument("<login>", "Which one.") },
  examples: ["tpa-submit login show user1"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(showCommand, argv);
  if (!chosen) return exitStatus.ok;
  const { showLogin } = await import("./account.ts");
  return showLogin(chosen.arguments.login, chosen.options.config, chosen.options.json);
}
