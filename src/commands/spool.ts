/** `tpa-submit spool`: what is done to the spool as a whole. man/tpa-submit-spool.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";

export const subcommands: Readonly<Record<string, Subcommand>> = {
  downgrade: {
    summary: "Make files of what is in the journal, for the version before.",
    load: () => import("./spool/downgrade.ts"),
    line: async () => (await import("./spool/downgrade.ts")).downgradeCommand,
  },
  migrate: {
    summary: "Bring the database of several hosts to this version.",
    load: () => import("./spool/migrate.ts"),
    line: async () => (await import("./spool/migrate.ts")).migrateCommand,
  },
  copy: {
    summary: "Copy all messages from files to a database, or back.",
    load: () => import("./spool/copy.ts"),
    line: async () => (await import("./spool/copy.ts")).copyCommand,
  },
};

export const group: CommandGroup = {
  name: "spool",
  summary: "Change the spool as a whole: its format, its tables, or where it is.",
  subcommands,
  manual: "tpa-submit-spool(8)",
};

export function run(argv: readonly string[]): Promise<number> {
  return runSubcommand(group, argv);
}
