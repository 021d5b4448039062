/** The usage of logins, from the file of a spool into the database and back, while no host works with either. */
import type { Database, Query } from "../../postgres/database.ts";
import { countsOf, day, hour } from "../submission/limits/sliding-window.ts";
import type { UsageEntry } from "../submission/limits/usage.ts";
import { formatEntry, formatKey, parseUsage } from "../submission/limits/usage-file.ts";
import { sharedKey } from "./secrets.ts";
import { addEntries } from "./settle.ts";
import { parseState } from "./usage-state.ts";

/** Entries that are written, or logins that are read, at a time. */
const atATime = 500;

/**
 * Takes over `text`, what SPOOL/usage has: the counts are added, all in one transaction, which `isFirst` begins: where it gives
 * false they came before. To whom logins have written is taken over with the key of the file, if the database has no digests by
 * another key yet; gives whether it was. Throws as a query does.
 */
export async function usageIntoDatabase(
  database: Database,
  text: string,
  isFirst: (query: Query) => Promise<boolean> = async () => true,
): Promise<boolean> {
  const content = parseUsage(text);
  if (!content) return false;
  const known = await takeKey(database, content.key);
  const entries = content.entries.map((entry) => (known ? entry : { ...entry, addresses: [] }));
  await database.transaction(async (query) => {
    if (!(await isFirst(query))) return;
    for (let at = 0; at < entries.length; at += atATime)
      await addEntries(query, entries.slice(at, at + atATime));
  });
  return known;
}

/** Whether digests by `key` are understood in the database from now on. */
async function takeKey(database: Database, key: Buffer): Promise<boolean> {
  if (key.equals(await sharedKey(database, "usage"))) return true;
  const rows = await database.query(
    "UPDATE secrets SET key = $1 WHERE name = 'usage' AND NOT EXISTS (SELECT FROM correspondents) RETURNING name",
    [key],
  );
  return rows.length > 0;
}

/** The same as SPOOL/usage has it, without what no longer counts at the time `now`. Throws as a query does. */
export async function* usageFromDatabase(database: Database, now: number): AsyncGenerator<string> {
  yield formatKey(await sharedKey(database, "usage"));
  let last = "";
  for (;;) {
    const rows = await database.query<{ login: string; state: string }>(
      `SELECT login, state FROM usage WHERE login > $1 ORDER BY login LIMIT ${atATime}`,
      [last],
    );
    for (const { login, state } of rows) {
      for (const entry of countedOf(login, state, now)) yield formatEntry(entry);
      const known = await database.query<{ day: number; digests: readonly string[] }>(
        "SELECT day, array_agg(digest ORDER BY digest) AS digests FROM correspondents WHERE login = $1 GROUP BY day ORDER BY day",
        [login],
      );
      for (const { day: last, digests } of known)
        yield formatEntry({ ...nothing, login, at: last * day, addresses: digests });
    }
    if (rows.length < atATime) return;
    last = rows.at(-1)?.login ?? "";
  }
}

const nothing = { messages: 0, recipients: 0, newRecipients: 0, addresses: [] };

function countedOf(login: string, state: string, now: number): readonly UsageEntry[] {
  const { messages, recipients, newRecipients } = parseState(state);
  const entry = (at: number, counted: Partial<UsageEntry>): UsageEntry => ({
    ...nothing,
    login,
    at,
    ...counted,
  });
  return [
    ...countsOf(messages, hour, now).map(({ at, count }) => entry(at, { messages: count })),
    ...countsOf(recipients, day, now).map(({ at, count }) => entry(at, { recipients: count })),
    ...countsOf(newRecipients, day, now).map(({ at, count }) => entry(at, { newRecipients: count })),
  ];
}
