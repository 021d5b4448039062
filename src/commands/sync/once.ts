/** One run, and what it tells. */
import { print } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus } from "../../failure.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { type Report, synchronise } from "../../ldap/sync.ts";
import { openFigures } from "./metrics.ts";
import type { Options } from "./options.ts";
import { asJson, changesText, exclusionsText, summary } from "./output.ts";
import { readTask, refuseAlarms } from "./task.ts";

/** Returns 0; what went wrong is thrown, and has been noted in the metrics by then. */
export async function runOnce(config: Config, options: Options): Promise<number> {
  const figures = await openFigures(options.dryRun ? "" : config.sync["metrics-file"]);
  const began = Date.now();
  let report: Report;
  try {
    report = await bring(config, options, began);
  } catch (error) {
    await figures.failed(Date.now()).catch((second: unknown) => {
      process.stderr.write(`tpa-submit sync: ${errorText(second)}\n`); // the first is thrown, below
    });
    throw error;
  }
  await figures.succeeded(report, began, Date.now());
  return exitStatus.ok;
}

async function bring(config: Config, options: Options, began: number): Promise<Report> {
  const { access, task } = await readTask(config, options);
  const report = await withDirectory(access, new AbortController().signal, (directory) =>
    synchronise(directory, task, began),
  );
  if (options.json) print(`${asJson(report)}\n`);
  else if (options.dryRun) print(changesText(report));
  if (options.verbose && !options.json) process.stderr.write(exclusionsText(report));
  refuseAlarms(report);
  if (!options.quiet) process.stderr.write(summary(report));
  return report;
}
