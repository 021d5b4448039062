/** The database that several hosts share: whether the relay can use it, and how safe a promise in it is. */
import type { Config } from "../../config/settings.ts";
import type { Database } from "../../postgres/database.ts";
import { openStore, storeFailure } from "../spool/database.ts";
import { type Look, orFailures } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";

export const store: Look = async ({ config, now }) => {
  if (config.spool.store === "") return [];
  return orFailures(async () => {
    const database = await openStore(config);
    try {
      return judgeStore(await factsOf(database, config, now));
    } catch (error) {
      throw storeFailure(error);
    } finally {
      await database.close();
    }
  });
};

/** What the database says. */
export interface StoreFacts {
  /** `15.14 (Debian 15.14-0+deb12u1)` */
  readonly server: string;
  /** Of the tables: that of the database, 0 where it has none of ours, and that of this program. */
  readonly format: { readonly found: number; readonly wanted: number };
  /** `TLSv1.3`; undefined where the connection is in the clear. */
  readonly tls: string | undefined;
  /** The connection leaves this host. */
  readonly isRemote: boolean;
  /** Tables on which the user lacks a right. */
  readonly closed: readonly string[];
  readonly fsync: string;
  readonly synchronousCommit: string;
  readonly synchronousStandbys: string;
  /** Seconds that a commit of this user has waited for a standby; 0 where none waits. */
  readonly waiting: number;
  /** Names of the standbys that confirm a commit; undefined where the user may not know. */
  readonly confirming: readonly string[] | undefined;
  readonly connections: { readonly used: number; readonly most: number };
  /** Milliseconds that its clock is ahead of this host's. */
  readonly ahead: number;
  /** Of this host; undefined where it has none yet. */
  readonly mark: string | undefined;
  /** Marks that other hosts have, by name. */
  readonly otherMarks: ReadonlyMap<string, string>;
  /** `host-mark`, where it is set. */
  readonly wantedMark: string;
}

interface ServerRow {
  readonly server: string;
  readonly tls: string | null;
  readonly remote: boolean;
  readonly fsync: string;
  readonly synchronous_commit: string;
  readonly synchronous_standbys: string;
  readonly waiting: number;
  readonly may_know: boolean;
  readonly used: number;
  readonly most: number;
  readonly clock: number;
}

const serverQuery = `SELECT current_setting('server_version') AS server,
  (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls,
  inet_client_addr() IS NOT NULL AND NOT inet_client_addr() <<= '127.0.0.0/8' AND inet_client_addr() <> '::1' AS remote,
  current_setting('fsync') AS fsync,
  current_setting('synchronous_commit') AS synchronous_commit,
  current_setting('synchronous_standby_names') AS synchronous_standbys,
  (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 FROM pg_stat_activity
    WHERE wait_event = 'SyncRep') AS waiting,
  pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS may_know,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
  extract(epoch FROM clock_timestamp()) * 1000::float8 AS clock`;

const closedQuery = `SELECT relname AS name FROM pg_class
  WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'
    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
      AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
  ORDER BY relname`;

async function factsOf(
  database: Database,
  { hostname, spool }: Config,
  now: () => number,
): Promise<StoreFacts> {
  const { format, formatOf } = await import("../../postgres/migrations.ts");
  const before = now();
  const [row] = await database.query<ServerRow>(serverQuery);
  const after = now();
  if (row === undefined) throw new Error("the database says nothing of itself");
  const found = await formatOf(database.query);
  const closed = await database.query<{ readonly name: string }>(closedQuery);
  const confirming = row.may_know
    ? await database.query<{ readonly name: string }>(
        "SELECT application_name AS name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum') ORDER BY 1",
      )
    : undefined;
  const marks =
    found === 0
      ? []
      : await database.query<{ readonly name: string; readonly mark: string }>(
          "SELECT name, mark FROM hosts",
        );
  return {
    server: row.server,
    format: { found, wanted: format },
    tls: row.tls ?? undefined,
    isRemote: row.remote,
    closed: closed.map(({ name }) => name),
    fsync: row.fsync,
    synchronousCommit: row.synchronous_commit,
    synchronousStandbys: row.synchronous_standbys,
    waiting: row.waiting,
    confirming: confirming?.map(({ name }) => name),
    connections: { used: row.used, most: row.most },
    ahead: Number(row.clock) - (before + after) / 2,
    mark: marks.find(({ name }) => name === hostname)?.mark,
    otherMarks: new Map(marks.filter(({ name }) => name !== hostname).map(({ name, mark }) => [mark, name])),
    wantedMark: spool["host-mark"],
  };
}

/** What is to be said of it. Pure. */
export function judgeStore(facts: StoreFacts): readonly Judgement[] {
  return [
    fine("", `answers: PostgreSQL ${facts.server}`),
    judgeTls(facts),
    ...judgeTables(facts),
    ...judgeSafety(facts),
    judgeConnections(facts),
    judgeClock(facts),
    ...judgeMark(facts),
  ];
}

function judgeTls({ tls, isRemote }: StoreFacts): Judgement {
  if (tls !== undefined) return fine("", `${tls}, with a certificate that was verified`);
  return isRemote
    ? fail("", "the connection is in the clear", 'Take "sslmode=disable" out of spool.store.')
    : fine("", "the connection does not leave this host");
}

function judgeTables({ format: { found, wanted }, closed }: StoreFacts): readonly Judgement[] {
  if (found === 0)
    return [fail("", "the database has no tables of this program", "tpa-submit spool migrate makes them.")];
  if (found < wanted)
    return [
      fail(
        "",
        `the database has format ${found}, this program works with ${wanted}`,
        "Run tpa-submit spool migrate.",
      ),
    ];
  if (found > wanted)
    return [
      fail(
        "",
        `the database has format ${found}, this program works with ${wanted}`,
        "Upgrade this host: a newer version has changed the database.",
      ),
    ];
  if (closed.length === 0) return [fine("", `its tables have format ${found}, and can be used`)];
  return [
    fail(
      "",
      `no right to read and change ${closed.join(", ")}`,
      "Let the user of spool.store own the tables: REASSIGN OWNED, or GRANT.",
    ),
  ];
}

/** Seconds of a commit. A standby that is only slow has answered. */
const mostWaiting = 5;

const standbyAdvice = "Bring the standby back, or set synchronous_standby_names = '' until it is.";

function judgeSafety(facts: StoreFacts): readonly Judgement[] {
  const { fsync, synchronousCommit, synchronousStandbys, waiting, confirming } = facts;
  if (fsync !== "on")
    return [fail("", `fsync is ${fsync}: a power cut loses messages that were promised`, "Set fsync = on.")];
  if (synchronousCommit === "off")
    return [
      fail(
        "",
        "synchronous_commit is off: a message is promised before it is on any disk",
        "Set synchronous_commit = on.",
      ),
    ];
  const asOne = "a promise is as safe as one host";
  const advice = "Name a standby in synchronous_standby_names; docs/several-hosts.md has the commands.";
  if (synchronousStandbys === "") return [warn("", `no standby is synchronous: ${asOne}`, advice)];
  if (synchronousCommit === "local")
    return [warn("", `synchronous_commit is local: ${asOne}`, "Set synchronous_commit = on.")];
  const names = `synchronous_standby_names is ${JSON.stringify(synchronousStandbys)}`;
  if (waiting > mostWaiting)
    return [
      fail(
        "",
        `${names}, and none of them has confirmed a commit for ${waiting.toFixed(0)} seconds: nobody can send`,
        standbyAdvice,
      ),
    ];
  if (confirming === undefined)
    return [
      fine("", `${names}; whether one confirms is not known to this user (GRANT pg_monitor TO it tells)`),
    ];
  if (confirming.length > 0) return [fine("", `each promise is confirmed by ${confirming.join(", ")}`)];
  return [
    fail("", `${names}, and none of them is there: commits wait for it, and nobody can send`, standbyAdvice),
  ];
}

/** Connections that should be free: what two relays take. Our choice. */
const roomFor = 20;

function judgeConnections({ connections: { used, most } }: StoreFacts): Judgement {
  const words = `${used} of ${most} connections are in use`;
  return most - used < roomFor
    ? warn("", words, "Raise max_connections of PostgreSQL: each relay takes up to ten.")
    : fine("", words);
}

/** Milliseconds. Our choice: schedules are by the hosts' clocks. */
const mostAhead = 2_000;

function judgeClock({ ahead }: StoreFacts): Judgement {
  const seconds = (Math.abs(ahead) / 1000).toFixed(1);
  if (Math.abs(ahead) <= mostAhead) return fine("", "its clock and this host's agree");
  return warn(
    "",
    `its clock is ${seconds} s ${ahead > 0 ? "ahead of" : "behind"} this host's`,
    "Run a time service such as systemd-timesyncd or chrony on both.",
  );
}

function judgeMark({ mark, otherMarks, wantedMark, format: { found } }: StoreFacts): readonly Judgement[] {
  const taken = otherMarks.get(wantedMark);
  if (taken !== undefined)
    return [
      fail("", `host-mark ${wantedMark} is that of ${taken}`, 'Choose another, or set host-mark to "".'),
    ];
  if (mark !== undefined) return [fine("", `queue IDs of this host end in ${mark}`)];
  if (found === 0) return [];
  if (otherMarks.size >= 16)
    return [
      fail(
        "",
        "16 hosts have marks, and there are no more",
        "Remove those that are gone from the table hosts.",
      ),
    ];
  return [fine("", "this host gets a mark for its queue IDs at its first start")];
}
