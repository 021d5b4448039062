/**
 * The steps from an empty database to the one that this program works with, in order: each is done once, in a transaction of
 * its own. What is in one of them stays as it is for ever.
 */
import { errorCode, exitStatus, Failure } from "../failure.ts";
import { type Database, once, type Query } from "./database.ts";
import { spool } from "./migrations/0001-spool.ts";
import { shared } from "./migrations/0002-shared.ts";
import { operators } from "./migrations/0003-operators.ts";

export interface Migration {
  readonly number: number;
  readonly name: string;
  /** Statements, without BEGIN and COMMIT. */
  readonly sql: string;
}

export const migrations: readonly Migration[] = [
  { number: 1, name: "the queue and its hosts", sql: spool },
  { number: 2, name: "what hosts know together", sql: shared },
  { number: 3, name: "what operators ask, and what came from other spools", sql: operators },
];

/** What this program works with. */
export const format = migrations.length;

/** Two do not migrate at the same time: an advisory lock of this number. */
const lock = 0x74_70_61; // "tpa"

const undefinedTable = "42P01";

/** What the database has; 0 where it has nothing of ours. Throws as a query does. */
export async function formatOf(query: Query): Promise<number> {
  try {
    const [row] = await query<{ version: number }>("SELECT version FROM tpa_format");
    return row?.version ?? 0;
  } catch (error) {
    if (errorCode(error) === undefinedTable) return 0;
    throw error;
  }
}

/** Throws a Failure of one line where the database is not what this program works with. */
export async function checkFormat(database: Database): Promise<void> {
  const found = await formatOf(database.query);
  if (found === format) return;
  const what =
    found === 0
      ? "the database has no tables of tpa-submit"
      : `the database has format ${String(found)}, this program works with ${String(format)}`;
  const advice =
    found < format
      ? "run tpa-submit spool migrate"
      : "a later version of the program has changed it: install that one here as well";
  throw new Failure(exitStatus.config, `${what}; ${advice}`);
}

/** Does what is left to do, and gives it. Throws a Failure where the database is of a later version. */
export async function migrate(database: Database): Promise<readonly Migration[]> {
  if ((await formatOf(database.query)) > format) await checkFormat(database);
  const done: Migration[] = [];
  for (const migration of migrations) {
    const isDone = await database.transaction(async (query) => {
      await query("SELECT pg_advisory_xact_lock($1)", [lock]);
      const [there] = await query<{ is: boolean }>("SELECT to_regclass('tpa_format') IS NOT NULL AS is");
      if (there?.is === true && (await formatOf(query)) >= migration.number) return false;
      for (const statement of statementsOf(migration.sql)) await query(once + statement);
      await query("UPDATE tpa_format SET version = $1", [migration.number]);
      return true;
    });
    if (isDone) done.push(migration);
  }
  return done;
}

/** A statement ends with ";" at the end of a line. */
const statementsOf = (sql: string): readonly string[] =>
  sql
    .split(/;[ \t]*\n/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
