/** `tpa-submit probe`: talks to a mail server as swaks does, and shows more. man/tpa-submit-probe.1 */
import { print } from "../cli/output.ts";
import type { Subcommand } from "../cli/subcommands.ts";
import { exitStatus } from "../failure.ts";

/** Subcommands, each with options, a manual and exit statuses of its own. */
export const subcommands: Readonly<Record<string, Subcommand>> = {
  monitor: {
    summary: "Send a message by each route of a file, and tell whether and when it arrives.",
    load: () => import("./probe/monitor.ts"),
    line: async () => (await import("./probe/monitor.ts")).line,
  },
  checkup: {
    summary: "Look at a submission service from outside, and say what is not well.",
    load: () => import("./probe/checkup.ts"),
    line: async () => (await import("./probe/checkup/options.ts")).line,
  },
  propagation: {
    summary: "Change a test account's password in the directory, and time how long it takes to work.",
    load: () => import("./probe/propagation.ts"),
    line: async () => (await import("./probe/propagation/options.ts")).line,
  },
  reports: {
    summary: "Read the DMARC and TLS reports that receivers send, and tell what they say.",
    load: () => import("./probe/reports.ts"),
    line: async () => (await import("./probe/reports/options.ts")).line,
  },
  report: {
    summary: "Tell what the history of the monitor says, also as a page.",
    load: () => import("./probe/report.ts"),
    line: async () => (await import("./probe/report.ts")).line,
  },
};

/** Runs the command; the exit statuses are swaks' (src/probe/exit-status.ts). */
export async function run(argv: readonly string[]): Promise<number> {
  const [first = "", ...rest] = argv;
  const word = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  if (word) return (await word.load()).run(rest);
  // Alone, as people ask: all the options are not needed for that.
  if (first === "--version" && rest.length === 0) {
    print(`${(await import("./probe/version.ts")).versionText}\n`);
    return exitStatus.ok;
  }
  return (await import("./probe/command-line.ts")).run(argv);
}
