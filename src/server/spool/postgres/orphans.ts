/** Messages that no host has, for a process that does nothing but change them: a command, where no relay is at work anywhere. */
import type { Database } from "../../../postgres/database.ts";
import { endLeases, mustStand } from "./lease.ts";

/** How long a host is silent before a command ends its lease: it may have been the database that was away. Our choice. */
const silentFor = "30 seconds";

/** Takes those of `ids`. Throws as a query does. */
export const claimOrphans = (database: Database, lease: number, ids: readonly string[]): Promise<void> =>
  database.transaction(async (query) => {
    await mustStand(query, lease);
    await endLeases(query, `number <> $1 AND until < now() - interval '${silentFor}'`, [lease]);
    await query(
      `UPDATE messages m SET lease = $1 WHERE id = ANY($2::text[]) AND (lease IS NULL
         OR EXISTS (SELECT FROM leases l WHERE l.number = m.lease AND l.ended))`,
      [lease, ids],
    );
  });
