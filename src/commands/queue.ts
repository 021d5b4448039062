/** `tpa-submit queue`: what waits, and everything that can be done about it. man/tpa-submit-queue.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";
import type { ActionName } from "../server/control/protocol.ts";

const changeSubcommand = (act: ActionName, summary: string): Subcommand => ({
  summary,
  load: async () => {
    const { change } = await import("./queue/change.ts");
    return { run: (argv) => change(act, argv) };
  },
  line: async () => (await import("./queue/change.ts")).actionCommands[act],
});

export const subcommands: Readonly<Record<string, Subcommand>> = {
  list: {
    summary: "List messages.",
    load: () => import("./queue/list.ts"),
    line: async () => (await import("./queue/list.ts")).listCommand,
  },
  show: {
    summary: "Show messages: envelope, history, header, and on request the body.",
    load: () => import("./queue/show.ts"),
    line: async () => (await import("./queue/show.ts")).showCommand,
  },
  summary: {
    summary: "Count what waits by destination and age, or by sender or login.",
    load: () => import("./queue/summary.ts"),
    line: async () => (await import("./queue/summary.ts")).summaryCommand,
  },
  hold: changeSubcommand("hold", "Put messages aside: not tried, and not given up."),
  release: changeSubcommand("release", "Let held messages go on."),
  retry: changeSubcommand("retry", "Try messages now."),
  bounce: changeSubcommand("bounce", "Give messages up and tell their senders."),
  drop: changeSubcommand("drop", "Remove messages, and tell nobody."),
  redirect: changeSubcommand("redirect", "Send messages through another relay."),
  export: {
    summary: "Copy messages out of the queue.",
    load: () => import("./queue/export.ts"),
    line: async () => (await import("./queue/export.ts")).exportCommand,
  },
  import: {
    summary: "Take over what waits in a dead host's spool.",
    load: () => import("./queue/import.ts"),
    line: async () => (await import("./queue/import.ts")).importCommand,
  },
  drain: {
    summary: "Hand all that waits to another host.",
    load: () => import("./queue/drain.ts"),
    line: async () => (await import("./queue/drain.ts")).drainCommand,
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
  verify: {
    summary: "Look for damage in the spool, and repair it.",
    load: () => import("./queue/verify.ts"),
    line: async () => (await import("./queue/verify.ts")).verifyCommand,
  },
};

export const group: CommandGroup = {
  name: "queue",
  summary: "See what waits to be delivered, and steer it.",
  subcommands,
  default: "list",
  manual: "tpa-submit-queue(8)",
};

export function run(argv: readonly string[]): Promise<number> {
  return runSubcommand(group, argv);
}
