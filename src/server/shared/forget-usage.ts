/**
 * Forgets in the database what no limit counts any more, and addresses that a login has not written to for long. Each host does
 * it now and then; it is the same whoever does it, and however often.
 */
import type { Database, Query } from "../../postgres/database.ts";
import { dayOf, mostAddresses, rememberedDays } from "../submission/limits/usage.ts";
import { isOver, parseState } from "./usage-state.ts";

/** Logins whose rows are locked at a time: mail of theirs waits meanwhile, for milliseconds. */
const atATime = 100;

/** Throws as a query does. */
export async function forgetUsage(
  database: Pick<Database, "transaction">,
  now: number,
  most: number = mostAddresses,
): Promise<void> {
  let last = "";
  for (;;) {
    const after = last;
    const logins = await database.transaction((query) => forgetSome(query, after, now, most));
    last = logins.at(-1) ?? "";
    if (logins.length < atATime) return;
  }
}

/** The next logins behind `after`, whose rows are locked as those who promise messages lock them. */
async function forgetSome(
  query: Query,
  after: string,
  now: number,
  most: number,
): Promise<readonly string[]> {
  const rows = await query<{ login: string; state: string }>(
    `SELECT login, state FROM usage WHERE login > $1 ORDER BY login LIMIT ${atATime} FOR UPDATE`,
    [after],
  );
  const logins = rows.map(({ login }) => login);
  if (logins.length === 0) return [];
  await query("DELETE FROM correspondents WHERE login = ANY($1::text[]) AND day < $2", [
    logins,
    dayOf(now) - rememberedDays,
  ]);
  await query(
    `DELETE FROM correspondents USING (
       SELECT login, digest, row_number() OVER (PARTITION BY login ORDER BY day DESC, digest) AS place
       FROM correspondents WHERE login = ANY($1::text[])
     ) AS ranked
     WHERE correspondents.login = ranked.login AND correspondents.digest = ranked.digest AND ranked.place > $2`,
    [logins, most],
  );
  await query(
    `DELETE FROM usage WHERE login = ANY($1::text[])
       AND NOT EXISTS (SELECT FROM correspondents WHERE correspondents.login = usage.login)`,
    [rows.filter(({ state }) => isOver(parseState(state), now)).map(({ login }) => login)],
  );
  return logins;
}
