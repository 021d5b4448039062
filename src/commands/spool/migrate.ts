/** `tpa-submit spool migrate`: the database of several hosts gets the tables that this version works with. */
import { command, flag, parseOptions } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus } from "../../failure.ts";
import { becomeOwnerIfThere } from "../queue/connection.ts";
import { config } from "../queue/options.ts";
import { openStore, storeFailure } from "./database.ts";

export const migrateCommand = command({
  name: "spool migrate",
  summary:
    "Bring the database of spool.store to the tables of this version. Relays of the version before may go on meanwhile.",
  options: {
    config,
    check: flag("--check", "Only tell what there is to do."),
    json: flag("--json", "Print JSON."),
  },
  arguments: {},
  examples: ["tpa-submit spool migrate --check", "tpa-submit spool migrate"],
});

/** What was done, or with `--check` would be. */
export interface MigrationReport {
  /** `spool.store` */
  readonly database: string;
  /** Its format, before and now; 0 where it has no tables of ours. */
  readonly before: number;
  readonly now: number;
  readonly steps: readonly string[];
}

export async function run(argv: readonly string[]): Promise<number> {
  const options = parseOptions(migrateCommand, argv)?.options;
  if (!options) return exitStatus.ok;
  const configuration = await readConfig(options.config);
  await becomeOwnerIfThere(configuration.spool.directory); // as whom the database may know us by the socket
  const report = await migrateStore(configuration, options.check);
  if (options.json) print(`${JSON.stringify(report)}\n`);
  else for (const line of reportLines(report, options.check)) print(`${line}\n`);
  return options.check && report.steps.length > 0 ? exitStatus.temporary : exitStatus.ok;
}

/** Throws a Failure where the database is not there, refuses, or is of a later version. */
export async function migrateStore(configuration: Config, isCheck: boolean): Promise<MigrationReport> {
  const database = await openStore(configuration);
  const { checkFormat, format, formatOf, migrate, migrations } = await import("../../postgres/migrations.ts");
  try {
    const before = await formatOf(database.query);
    if (before > format) await checkFormat(database);
    const steps = isCheck ? migrations.slice(before) : await migrate(database);
    return {
      database: configuration.spool.store,
      before,
      now: isCheck ? before : format,
      steps: steps.map(({ name }) => name),
    };
  } catch (error) {
    throw storeFailure(error);
  } finally {
    await database.close();
  }
}

export function* reportLines(
  { database, before, now, steps }: MigrationReport,
  isCheck: boolean,
): Generator<string> {
  if (steps.length === 0) {
    yield `${database}: has format ${now}, nothing to do`;
    return;
  }
  const had = before === 0 ? "has no tables of tpa-submit" : `has format ${before}`;
  yield `${database}: ${had}${isCheck ? ", and needs" : ""}`;
  for (const [index, name] of steps.entries()) yield `  ${before + index + 1} ${name}`;
  yield isCheck ? "tpa-submit spool migrate makes them" : `${database}: has format ${now} now`;
}
