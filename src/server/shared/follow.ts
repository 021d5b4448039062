/**
 * Follows what other hosts change in a table: a look each second or so, from which no row is missed. Each row has the number of
 * the transaction that wrote it, and a look begins at the oldest transaction that was still open at the look before: a row that
 * is committed later has that number or a higher one. Rows may come twice.
 */
import { errorCode } from "../../failure.ts";
import type { Database } from "../../postgres/database.ts";
import { logBug } from "../log/log.ts";

/** Statements say `changed >= $1::xid8`. The first look is at all there is. */
export const fromTheStart = "0";

/** What a look found, and where the next one begins: `pg_snapshot_xmin(pg_current_snapshot())::text` of its statement. */
export interface TableLook<Row> {
  readonly next: string;
  readonly rows: readonly Row[];
}

/** A column for {@link lookIn}: the snapshot's first open transaction, in a row that is there in any case. */
const snapshot = "(SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS next)";

/** Rows of `table` that were written from the transaction `since` on. `columns` must have one named `key` that is never NULL. */
export async function lookIn<Row extends object>(
  { query }: Pick<Database, "query">,
  { table, columns, where = "true" }: { table: string; columns: string; where?: string },
  since: string,
  values: readonly unknown[] = [],
): Promise<TableLook<Row>> {
  const found = await query<Row & { readonly next: string; readonly key: string | null }>(
    `SELECT s.next, t.* FROM ${snapshot} s LEFT JOIN (SELECT ${columns} FROM ${table}
      WHERE changed >= $1::xid8 AND ${where}) t ON true`,
    [since, ...values],
  );
  return { next: found[0]?.next ?? since, rows: found.filter(({ key }) => key !== null) };
}

export interface Follower {
  /** Looks now. Throws as a query does. */
  look(): Promise<void>;
  /** Looks each `every` milliseconds, and when there is a new connection. */
  begin(every: number): void;
  close(): Promise<void>;
}

/** `lookFrom` looks for what came from there on, and gives where the next look begins. It may come to rows that it had before. */
export function newFollower(
  database: Pick<Database, "listen" | "isThere">,
  what: string,
  lookFrom: (since: string) => Promise<string>,
): Follower {
  let since = fromTheStart;
  /** Counts the connections: what was begun before a new one must not set `since`. */
  let times = 0;
  let looking: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopListening: () => void = () => undefined;

  async function lookOnce(): Promise<void> {
    const time = times;
    const next = await lookFrom(since);
    if (time === times) since = next;
  }

  function look(): Promise<void> {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  function lookQuietly(): void {
    if (!database.isThere()) return; // whoever lost the connection has said so
    look().catch((error: unknown) => {
      if (errorCode(error) === "") logBug(what, error);
    });
  }

  return {
    look,
    begin(every) {
      timer = setInterval(lookQuietly, every).unref();
      // A standby that took over may number its transactions from a little before those that we saw.
      stopListening = database.listen("tpa_shared", (payload) => {
        if (payload !== "") return;
        times++;
        since = fromTheStart;
        lookQuietly();
      });
    },
    async close() {
      clearInterval(timer);
      stopListening();
      await looking?.catch(() => undefined);
    },
  };
}
