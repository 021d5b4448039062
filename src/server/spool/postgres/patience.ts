/** What deliveries ask of a database that is away waits for it: a failover is a pause of seconds, and no trouble of the message. */
import { type Database, DatabaseAway } from "../../../postgres/database.ts";

/** Milliseconds; our choice. After them the message is tried again later, as where a disk is full. */
const deliveryPatience = 30_000;

/**
 * Milliseconds for which a client waits. Our choice: longer than a failover, and shorter than the patience of any mail program,
 * RFC 5321 section 4.5.3.2.6 having ten minutes.
 */
export const promisePatience = 10_000;

/** Does `work`, again where the database was away and has come back within `longest` milliseconds. */
export async function patiently<Result>(
  database: Database,
  work: () => Promise<Result>,
  longest = deliveryPatience,
): Promise<Result> {
  const begun = performance.now();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DatabaseAway)) throw error;
      const left = longest - (performance.now() - begun);
      if (left <= 0 || !(await database.there(left))) throw error;
    }
  }
}
