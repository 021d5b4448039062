/** `tpa-submit spool`: what is done to the spool as a whole. man/tpa-submit-spool.8 */
import { type CommandGroup, runSubcommand, type Subcommand } from "../cli/subcommands.ts";

export const subcommands: Readonly<Record<string, Subcommand>> = {
  downgrade: {
    summary: "Make files of what is in the journal, for the version before.",
    load: () => import("./spool/downgrade.ts"),
    line: async () => (await import("./spool/downgrade.ts")).downgradeCommand,
  },
};

export const group: CommandGroup = {
  name: "spool",
  summary: "Change the spool as a whole, while no relay runs.",
  subcommands,
  manual: "tpa-submit-spool(8)",
};

export function run(argv: readonly string[]): Promise<number> {
  return runSubcommand(group, argv);
}
