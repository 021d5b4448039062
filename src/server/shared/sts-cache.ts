/** The MTA-STS policies in the database that hosts share: what one of them fetched, the others need not fetch, and hold to. */
import type { Database } from "../../postgres/database.ts";
import {
  type CachedPolicy,
  cachedPolicy,
  type StsCache,
  type UnreadablePolicy,
} from "../delivery/tls/mta-sts.ts";
import { lookIn, newFollower } from "./follow.ts";

export interface SharedStsCache extends StsCache {
  latest(domain: string): CachedPolicy | undefined;
  /** Looks what others have fetched. Throws as a query does. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds between two looks. Our choice: mail to a domain that is new to this host may fetch its policy once more. */
const every = 5_000;

const keep = `
  INSERT INTO sts (domain, id, fetched, used, text) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (domain) DO UPDATE SET id = excluded.id, fetched = excluded.fetched, used = excluded.used,
    text = excluded.text, changed = excluded.changed
  WHERE sts.fetched <= excluded.fetched OR sts.id <> excluded.id`; // the clock of the other host may be ahead

interface PolicyRow {
  readonly domain: string;
  readonly id: string;
  readonly fetched: number;
  readonly used: number;
  readonly text: string;
}

/** Throws as a query does. */
export async function openSharedStsCache(database: Database): Promise<SharedStsCache> {
  const latest = new Map<string, CachedPolicy>();

  const follower = newFollower(database, "MTA-STS policies of other hosts", async (since) => {
    const columns = "domain AS key, domain, id, fetched, used, text";
    const { next, rows } = await lookIn<PolicyRow>(database, { table: "sts", columns }, since);
    for (const row of rows) {
      const kept = cachedPolicy({ ...row });
      if (kept) latest.set(row.domain, kept);
    }
    return next;
  });
  await follower.look();
  follower.begin(every);

  return {
    async all() {
      const rows = await database.query<PolicyRow>("SELECT domain, id, fetched, used, text FROM sts");
      return rows.map(
        (row): CachedPolicy | UnreadablePolicy =>
          cachedPolicy({ ...row }) ?? { domain: row.domain, trouble: "it is damaged" },
      );
    },
    async keep(kept, text) {
      const { domain, id, fetched, used } = kept;
      await database.query(keep, [domain, id, fetched, used, text]);
      latest.set(domain, kept);
    },
    async drop(domain, fetched) {
      if ((latest.get(domain)?.fetched ?? 0) <= fetched) latest.delete(domain);
      await database.query("DELETE FROM sts WHERE domain = $1 AND fetched <= $2", [domain, fetched]);
    },
    latest: (domain) => latest.get(domain),
    look: () => follower.look(),
    close: () => follower.close(),
  };
}
