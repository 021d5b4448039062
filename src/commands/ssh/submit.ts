/** `tpa-submit ssh submit`: the forced command. sshd has checked the key, and authorized-keys has said whose it is. */
import { command, parseOptions, value } from "../../cli/options.ts";
import { exitStatus } from "../../failure.ts";

export const line = command({
  name: "ssh submit",
  summary: "Take mail of the login whose key sshd has checked: the forced command.",
  options: {
    login: value("--login <name>", "Who sends."),
    socket: value("--socket <path>", "The relay's local listener.", "/run/tpa-submit/local"),
  },
  arguments: {},
  examples: ["tpa-submit ssh submit --login user1 --socket /run/tpa-submit/local"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { submit } = await import("./session.ts");
  return submit(chosen.options, process.env);
}
