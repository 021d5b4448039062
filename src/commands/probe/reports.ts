/** `tpa-submit probe reports`: what receivers report of our mail and our TLS. man/tpa-submit-probe-reports.1 */
import { parseOptions, usageMistake } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { exitStatus } from "../../failure.ts";
import { asPlugin } from "./plugin.ts";
import { line } from "./reports/options.ts";

/**
 * Returns 0 for whatever the reports say, and with --nagios the grade; 65 where all that was there is unreadable, 75 where
 * not all could be read.
 */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("REPORTS", argv, reports);
}

async function reports(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  if (options.json && options.nagios) throw usageMistake(line.name, "--json and --nagios do not go together");
  if (options.warn < options.crit) throw usageMistake(line.name, "expected --crit <= --warn");
  const { readAndTell } = await import("./reports/round.ts");
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  try {
    const { text, status } = await readAndTell(chosen.arguments.places ?? [], options, stop.signal);
    print(text);
    return status;
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}
