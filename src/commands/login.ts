/** `tpa-submit login`: all about a login in one place, and what can be done to it. man/tpa-submit-login.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";

export const subcommands: Readonly<Record<string, Subcommand>> = {
  show: {
    summary: "Show all that is known of a login, and why it is not let in.",
    load: () => import("./login/show.ts"),
    line: async () => (await import("./login/show.ts")).showCommand,
  },
  list: {
    summary: "List logins by what they sent, or by trouble.",
    load: () => import("./login/list.ts"),
    line: async () => (await import("./login/list.ts")).listCommand,
  },
  freeze: {
    summary: "Shut a login out, with its sessions and all that it has queued.",
    load: async () => ({ run: (await import("./queue/freeze.ts")).freeze }),
    line: async () => (await import("./queue/freeze.ts")).freezeCommand,
  },
  thaw: {
    summary: "Let a frozen login in again, and its messages go on.",
    load: async () => ({ run: (await import("./queue/freeze.ts")).thaw }),
    line: async () => (await import("./queue/freeze.ts")).thawCommand,
  },
  unblock: {
    summary: "Forget the wrong passwords of a login, or from an address.",
    load: () => import("./login/unblock.ts"),
    line: async () => (await import("./login/unblock.ts")).unblockCommand,
  },
};

export const group: CommandGroup = {
  name: "login",
  summary: "See all about a login, shut it out, let it in.",
  subcommands,
  default: "list",
  manual: "tpa-submit-login(8)",
};

export function run(argv: readonly string[]): Promise<number> {
  return runSubcommand(group, argv);
}
