/** `tpa-submit ssh`: mail by SSH keys, without a password on the client. man/tpa-submit-ssh.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";

export const subcommands: Readonly<Record<string, Subcommand>> = {
  "authorized-keys": {
    summary: "Print who may send by which key, for AuthorizedKeysCommand of sshd.",
    load: () => import("./ssh/authorized-keys.ts"),
    line: async () => (await import("./ssh/authorized-keys.ts")).line,
  },
  submit: {
    summary: "Take mail of the login whose key sshd has checked: the forced command.",
    load: () => import("./ssh/submit.ts"),
    line: async () => (await import("./ssh/submit.ts")).line,
  },
};

export const group: CommandGroup = {
  name: "ssh",
  summary: "Let people send by their SSH keys, without a password.",
  subcommands,
  manual: "tpa-submit-ssh(8)",
};

export const run = (argv: readonly string[]): Promise<number> => runSubcommand(group, argv);
