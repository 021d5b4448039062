/** `tpa-submit sync`: the accounts of the directory into the password file. man/tpa-submit-sync.8 */
import { parseOptions, usageMistake } from "../cli/options.ts";
import { line, type SyncOptions } from "./sync/options.ts";

/** Runs the command; the exit statuses are in the manual. */
export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(line, argv)?.options;
  if (options === undefined) return 0;
  refuseContradictions(options);
  const { readConfig } = await import("../config/config-file.ts");
  const config = await readConfig(options.config);
  if (options.explain !== undefined) {
    return (await import("./sync/explain.ts")).explainPerson(config, options.explain, options.json);
  }
  if (options.watch) return (await import("./sync/watch.ts")).watchDirectory(config, options);
  return (await import("./sync/run.ts")).runOnce(config, options);
}

/** Options that do not go together, in pairs. Allowing something once makes no sense for ever. */
const pairs: readonly (readonly [keyof SyncOptions, keyof SyncOptions])[] = [
  ["watch", "once"],
  ["watch", "dryRun"],
  ["watch", "json"],
  ["watch", "explain"],
  ["explain", "dryRun"],
  ["watch", "allowShrink"],
  ["watch", "allowEmpty"],
  ["watch", "allowPartial"],
  ["watch", "allowReferral"],
  ["watch", "allowAnonymous"],
];

function refuseContradictions(options: SyncOptions): void {
  const given = (key: keyof SyncOptions): boolean => options[key] !== undefined && options[key] !== false;
  const pair = pairs.find((both) => both.every(given));
  if (pair === undefined) return;
  const flags = pair.map((key) => line.options[key].flags.replace(/^-\w, | <.*/g, ""));
  throw usageMistake(line.name, `${flags.join(" and ")} do not go together`);
}
