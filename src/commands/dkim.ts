/** `tpa-submit dkim`: the keys that sign what leaves, from the first to the last day of each. man/tpa-submit-dkim.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";

export const subcommands: Readonly<Record<string, Subcommand>> = {
  list: {
    summary: "List the keys, and what the DNS says of each.",
    load: () => import("./dkim/list.ts"),
    line: async () => (await import("./dkim/list.ts")).listCommand,
  },
  new: {
    summary: "Make the next keys of a domain; they do not sign yet.",
    load: () => import("./dkim/new.ts"),
    line: async () => (await import("./dkim/new.ts")).newCommand,
  },
  publish: {
    summary: "Print the records that the DNS must have.",
    load: () => import("./dkim/publish.ts"),
    line: async () => (await import("./dkim/publish.ts")).publishCommand,
  },
  rotate: {
    summary: "Let the new keys sign in place of the old ones, if the DNS has them.",
    load: () => import("./dkim/rotate.ts"),
    line: async () => (await import("./dkim/rotate.ts")).rotateCommand,
  },
  retire: {
    summary: "Delete old keys whose mail has arrived, and tell which records may go.",
    load: () => import("./dkim/retire.ts"),
    line: async () => (await import("./dkim/retire.ts")).retireCommand,
  },
};

export const group: CommandGroup = {
  name: "dkim",
  summary: "Make, publish, rotate and retire the keys that sign mail.",
  subcommands,
  default: "list",
  manual: "tpa-submit-dkim(8)",
};

export function run(argv: readonly string[]): Promise<number> {
  return runSubcommand(group, argv);
}
