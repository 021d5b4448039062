/** `tpa-submit ssh authorized-keys`: what sshd asks for each connection (AuthorizedKeysCommand, sshd_config(5)). */
import { readFile } from "node:fs/promises";
import { argument, command, parseOptions, value } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { readConfig } from "../../config/config-file.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { authorizedLine, parseKeyFile } from "../../ssh/key-file.ts";

export const line = command({
  name: "ssh authorized-keys",
  summary: "Print who may send by which key, for AuthorizedKeysCommand of sshd.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/tpa-submit/tpa-submit.toml"),
  },
  arguments: {
    user: argument("<user>", "The account that is to be logged in to, %u."),
    key: argument("[key]", "The key that the client offers, %k; without it all keys are printed."),
    type: argument("[type]", "Its type, %t."),
  },
  examples: ["tpa-submit ssh authorized-keys submit", "tpa-submit ssh authorized-keys %u %k %t"],
});

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { user, key, type } = chosen.arguments;
  const { ssh, listen } = await readConfig(chosen.options.config);
  if (ssh.keys === "" || user !== ssh.account) return exitStatus.ok; // some other account, of which we know nothing
  if (listen.local === "") {
    throw new Failure(
      exitStatus.config,
      `${chosen.options.config}: ssh.keys needs listen.local, where the mail goes`,
    );
  }
  const text = await readFile(ssh.keys, "utf8").catch((error: unknown) => {
    throw new Failure(exitStatus.noInput, `${ssh.keys}: cannot be read: ${errorText(error)}`);
  });
  const wanted = parseKeyFile(text).filter(
    (one) => (key === undefined || one.key === key) && (type === undefined || one.type === type),
  );
  const forced = { program: plain(process.argv[1] ?? ""), socket: plain(listen.local) };
  print(wanted.map((one) => authorizedLine(one, forced)).join(""));
  return exitStatus.ok;
}

/** As it may stand in a command of authorized_keys. Throws a Failure where a shell would read more in it. */
function plain(path: string): string {
  if (/^\/[\w./+@-]+$/.test(path)) return path;
  throw new Failure(exitStatus.config, `${path}: expected a path without blanks and quotes, for sshd's sake`);
}
