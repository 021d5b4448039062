/** The hosts that share a database: their names, and the digit of each in its queue IDs, which stays its own for ever. */
import { exitStatus, Failure } from "../../../failure.ts";
import type { Database, Query } from "../../../postgres/database.ts";
import type { HostState } from "../spool.ts";

const marks = "0123456789ABCDEF".split("");

/** A host's entry. Throws a Failure where the name or the digit is another's. */
export async function joinHosts(
  database: Database,
  { host, owner, wanted }: { readonly host: string; readonly owner: string; readonly wanted: string },
): Promise<string> {
  return database.transaction(async (query) => {
    await query("LOCK TABLE hosts IN SHARE ROW EXCLUSIVE MODE");
    const [other] = await query<{ seconds: number }>(
      `SELECT extract(epoch FROM now() - seen)::float8 AS seconds FROM leases
       WHERE host = $1 AND owner <> $2 AND NOT ended AND until > now()`,
      [host, owner],
    );
    if (other !== undefined) {
      throw new Failure(
        exitStatus.temporary,
        `another relay is at work as ${host} with this database, heard of ${other.seconds.toFixed(1)} seconds ago; ` +
          "each host needs a hostname of its own, and one that died is forgotten after its lease",
      );
    }
    const all = await query<{ name: string; mark: string }>("SELECT name, mark FROM hosts");
    const known = all.find(({ name }) => name === host)?.mark;
    if (known !== undefined && (wanted === "" || wanted === known)) return known;
    const taken = new Map(all.filter(({ name }) => name !== host).map(({ name, mark }) => [mark, name]));
    const mark = wanted === "" ? marks.find((one) => !taken.has(one)) : wanted;
    const holder = mark === undefined ? undefined : taken.get(mark);
    if (mark === undefined)
      throw new Failure(exitStatus.config, "the database knows 16 hosts, and has no digit for another one");
    if (holder !== undefined) {
      throw new Failure(
        exitStatus.config,
        `host-mark of [spool]: "${mark}" is the digit of ${holder} in this database; leave it "" here`,
      );
    }
    await query("INSERT INTO hosts (name, mark) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET mark = $2", [
      host,
      mark,
    ]);
    return mark;
  });
}

/** As of this moment; `own` is the name of the host that asks. */
export async function hostStates(query: Query, own: string): Promise<readonly HostState[]> {
  const rows = await query<Omit<HostState, "own">>(
    `SELECT h.name, h.mark, (extract(epoch FROM l.seen) * 1000)::bigint AS seen,
       coalesce(NOT l.ended AND l.until > now(), false) AS live,
       coalesce(l.draining AND NOT l.ended, false) AS draining, coalesce(l.version, '') AS version,
       (SELECT count(*) FROM messages WHERE lease IN (SELECT number FROM leases WHERE host = h.name)) AS waiting
     FROM hosts h LEFT JOIN LATERAL (
       SELECT * FROM leases WHERE host = h.name ORDER BY number DESC LIMIT 1
     ) l ON true ORDER BY h.name`,
  );
  return rows.map((row) => ({ ...row, own: row.name === own }));
}
