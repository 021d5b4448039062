/**
 * What came from other spools into the database, as imports.ts has it for a folder: a message is noted before its promise, with
 * the ID that it gets here, and after it, before anything of it is delivered.
 */
import { exitStatus, Failure } from "../../../failure.ts";
import type { Database, Query } from "../../../postgres/database.ts";
import type { Extra, ImportPair, Imports } from "../imports.ts";
import type { ParcelSender } from "../parcel.ts";

interface ImportRow {
  readonly frozen: boolean;
  readonly sent: boolean;
}

/** Throws a Failure where the same spool was taken over before: then this is a copy of it. */
export async function openStoreImports(database: Database, sender: ParcelSender): Promise<Imports> {
  const { kind, handover, spool, host } = sender;
  await settleStoreImports(database);
  if (kind === "take") {
    const [other] = await database.query(
      "SELECT handover FROM imports WHERE kind = 'take' AND spool = $1 AND handover <> $2 " +
        "AND EXISTS (SELECT FROM import_pairs WHERE import_pairs.handover = imports.handover)",
      [spool, handover],
    );
    if (other !== undefined) {
      throw new Failure(
        exitStatus.data,
        `this spool of ${host} was taken over before, and this is another copy of it: its messages would be delivered twice; ` +
          "the table import_pairs has what came",
      );
    }
  }
  await database.query(
    "INSERT INTO imports (handover, kind, spool, host) VALUES ($1, $2, $3, $4) ON CONFLICT (handover) DO NOTHING",
    [handover, kind, spool, host],
  );
  const [row] = await database.query<ImportRow>("SELECT frozen, sent FROM imports WHERE handover = $1", [
    handover,
  ]);
  const came = await database.query<ImportPair>(
    "SELECT there, here FROM import_pairs WHERE handover = $1 AND done",
    [handover],
  );
  const done = new Map(came.map(({ there, here }) => [there, here]));
  const extras = new Set<Extra>((["frozen", "sent"] as const).filter((extra) => row?.[extra] === true));
  const columns = (pairs: readonly ImportPair[]) => [
    handover,
    pairs.map(({ there }) => there),
    pairs.map(({ here }) => here),
  ];
  return {
    done,
    extras,
    async begin(pairs) {
      if (pairs.length === 0) return;
      await database.query(
        "INSERT INTO import_pairs (handover, there, here) SELECT $1, * FROM unnest($2::text[], $3::text[]) " +
          "ON CONFLICT DO NOTHING",
        columns(pairs),
      );
    },
    async finish(pairs) {
      if (pairs.length === 0) return;
      await database.query(
        "UPDATE import_pairs SET done = true FROM unnest($2::text[], $3::text[]) AS came (there, here) " +
          "WHERE handover = $1 AND import_pairs.there = came.there AND import_pairs.here = came.here",
        columns(pairs),
      );
      for (const { there, here } of pairs) done.set(there, here);
    },
    async add(extra) {
      await database.query(
        extra === "frozen"
          ? "UPDATE imports SET frozen = true WHERE handover = $1"
          : "UPDATE imports SET sent = true WHERE handover = $1",
        [handover],
      );
      extras.add(extra);
    },
    close: async () => undefined,
  };
}

/** Notes, in the transaction that counts it, that what logins sent is counted; false where it was before. */
export async function noteSentCounted(query: Query, handover: string): Promise<boolean> {
  const rows = await query(
    "UPDATE imports SET sent = true WHERE handover = $1 AND NOT sent RETURNING handover",
    [handover],
  );
  return rows.length > 0;
}

/** Before anything of another host's is delivered: what was noted as begun, and is in the queue, came. */
export async function settleStoreImports(database: Database): Promise<void> {
  await database.query(
    "UPDATE import_pairs SET done = true WHERE NOT done AND EXISTS (SELECT FROM messages WHERE id = here)",
  );
}

/** Which database this is, and whether its messages went to another spool. */
export interface StoreIdentity {
  readonly id: string;
  readonly taken?: {
    readonly handover: string;
    readonly spool: string;
    readonly host: string;
    readonly at: number;
  };
}

interface IdentityRow {
  readonly id: string;
  readonly handover: string | null;
  readonly taken_by: string | null;
  readonly taken_host: string | null;
  readonly taken_at: number | null;
}

export async function readIdentity(database: Database): Promise<StoreIdentity> {
  const [row] = await database.query<IdentityRow>(
    "SELECT id, handover, taken_by, taken_host, (extract(epoch FROM taken_at) * 1000)::bigint AS taken_at FROM identity",
  );
  if (row === undefined)
    throw new Failure(exitStatus.data, "the table identity is empty: whose database this is cannot be told");
  const { id, handover, taken_by: spool, taken_host: host, taken_at: at } = row;
  if (handover === null) return { id };
  return { id, taken: { handover, spool: spool ?? "", host: host ?? "", at: at ?? 0 } };
}

/** From here on its messages are another's. Durable when it resolves. */
export async function giveStore(
  database: Database,
  taken: { readonly handover: string; readonly spool: string; readonly host: string },
): Promise<void> {
  await database.query(
    "UPDATE identity SET handover = $1, taken_by = $2, taken_host = $3, taken_at = now()",
    [taken.handover, taken.spool, taken.host],
  );
}

/** Throws a Failure where its messages went to another spool. */
export async function refuseTakenStore(database: Database, store: string): Promise<void> {
  const { taken } = await readIdentity(database);
  if (taken !== undefined) throw takenStoreFailure(store, taken);
}

/** A relay would deliver them twice. */
export function takenStoreFailure(store: string, { host, at }: NonNullable<StoreIdentity["taken"]>): Failure {
  return new Failure(
    exitStatus.data,
    `${store}: its messages were copied to the host ${host} at ${new Date(at).toISOString()}, and would be delivered twice; ` +
      "name an empty database, or let UPDATE identity SET handover = NULL say that nobody else delivers them",
  );
}
