/**
 * The spool in a PostgreSQL database that several hosts share. docs/spool.md, "In PostgreSQL", tells what each combination of
 * rows means and what a crash leaves; committer.ts has the step that matters, lease.ts says who delivers what.
 */
import { errorCode, errorText } from "../../../failure.ts";
import type { Database } from "../../../postgres/database.ts";
import { formatEnvelopeLine } from "../envelope-file.ts";
import { queueIds } from "../queue-id.ts";
import type { Spool } from "../spool.ts";
import { draftRemoval } from "./bodies.ts";
import { newClaims } from "./claims.ts";
import { newCommitter, type SpendIn } from "./committer.ts";
import { newStoreDraft } from "./draft.ts";
import { hostStates, joinHosts } from "./hosts.ts";
import { dueChannel, type LeaseTerms, takeLease } from "./lease.ts";
import { patiently, promisePatience } from "./patience.ts";
import { loadOwn, newStoreReader } from "./reader.ts";

/** What only a spool that several hosts share can do. */
export interface SharedSpool extends Spool {
  /** The lease that stands: whose messages are whose. */
  readonly lease: () => number;
  /** The digit of this host. */
  readonly mark: string;
  /** Asks `spendIn` from now on what may be promised. Without it there are no limits. */
  countWith(spendIn: SpendIn): void;
  /**
   * Takes nothing over any more, and gives to the others what is not `held` here: what is being delivered. Gives how many. Call
   * again until it is done. Throws as a query does.
   */
  handOver(held: ReadonlySet<string>): Promise<number>;
  /** Makes those of `ids` that are nobody's at the moment this host's: they arrive with the others. Throws as a query does. */
  claim(ids: readonly string[]): Promise<void>;
  /** Removes what hosts left that died while they received. It is done each minute. Throws as a query does. */
  sweep(): Promise<void>;
}

export interface SharedSpoolSettings {
  readonly host: string;
  /** Of the host's own folder. */
  readonly owner: string;
  readonly version: string;
  /** Milliseconds. */
  readonly lease: number;
  /** "" for the one that the database has for the host. */
  readonly mark: string;
}

export interface SharedSpoolDependencies {
  readonly database: Database;
  /** The host's own folder: its lock, and files that filters look at. */
  readonly local: Pick<Spool, "damage" | "repair" | "scratch" | "forget" | "broken" | "close">;
  readonly now: () => number;
  readonly steady: () => number;
  readonly events: Pick<LeaseTerms, "bug"> & {
    readonly leaseOver: (reason: string) => void;
    readonly claimed: (host: string, messages: number) => void;
    readonly committed?: (changes: number, seconds: number) => void;
  };
}

/** Throws a Failure where this host cannot take part, and what a query throws. */
export async function openSharedSpool(
  { host, owner, version, lease: time, mark: wanted }: SharedSpoolSettings,
  { database, local, now, steady, events }: SharedSpoolDependencies,
): Promise<SharedSpool> {
  const { query } = database;
  const { bug } = events;
  const mark = await joinHosts(database, { host, owner, wanted });
  const lease = await takeLease(database, {
    ...{ host, owner, version, time, steady, bug },
    over(reason) {
      events.leaseOver(reason);
      claims.loseAll();
    },
  });
  const claims = newClaims({ database, lease, time, claimed: events.claimed, bug, sweep });
  const committer = newCommitter({
    database,
    lease,
    spendIn: (ask, spends) => count(ask, spends),
    bug,
    committed: events.committed,
  });
  const reader = newStoreReader(database);
  const nextId = queueIds(now, mark);
  const open = new Set<string>();
  const givenOut = new Set<string>();
  let isClosed = false;
  let count: SpendIn = async () => new Map();

  async function isFree(id: string): Promise<boolean> {
    if (id >= nextId() || givenOut.has(id)) return false;
    const rows = await query(
      "SELECT 1 FROM messages WHERE id = $1 UNION ALL SELECT 1 FROM drafts WHERE id = $1",
      [id],
    );
    return rows.length === 0;
  }

  /** What is left of drafts whose hosts died, or were away when they were dropped, and leases that nobody needs any more. */
  async function sweep(): Promise<void> {
    const rows = await query<{ id: string }>(
      `SELECT d.id FROM drafts d JOIN leases l ON l.number = d.lease
       WHERE l.ended AND d.lease <> ALL($1::bigint[]) OR d.lease = ANY($1::bigint[]) AND d.id <> ALL($2::text[]) LIMIT 100`,
      [lease.numbers(), [...open]],
    );
    for (const { id } of rows) if (!open.has(id)) await query(...draftRemoval([id]));
    await query(
      `DELETE FROM leases l WHERE ended AND seen < now() - interval '1 day'
       AND number < (SELECT max(number) FROM leases WHERE host = l.host)
       AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.lease = l.number)
       AND NOT EXISTS (SELECT 1 FROM drafts d WHERE d.lease = l.number)`,
    );
  }

  return {
    ...reader,
    ids: () => patiently(database, () => reader.ids()), // the last step of a start: mail is taken already
    damage: (others) => local.damage(others),
    repair: (finding) => local.repair(finding),
    mark,
    sweep,
    claim: (ids) => claims.claim(ids),
    lease: () => lease.number(),
    countWith(spendIn) {
      count = spendIn;
    },
    async draft(wantedId) {
      // So that a client need not send what cannot be kept; a failover is waited for.
      await patiently(database, async () => database.mustBeThere(), promisePatience);
      let id = wantedId !== undefined && (await isFree(wantedId)) ? wantedId : undefined;
      if (id !== undefined) givenOut.add(id);
      id ??= nextId();
      return newStoreDraft(id, { database, lease, committer, open });
    },
    scratch: (id) => local.scratch(id),
    record: (envelope) => committer.record(envelope.id, formatEnvelopeLine(envelope), envelope.due),
    remove: (id) => committer.remove(id),
    async note(id, entries) {
      if (entries.length === 0) return undefined;
      try {
        await committer.note(id, entries);
        return undefined;
      } catch (error) {
        if (errorCode(error) === "") throw error;
        return errorText(error);
      }
    },
    load: (id, most, known) => patiently(database, () => loadOwn(query, lease.number(), { id, most, known })),
    owns: (id) =>
      patiently(
        database,
        async () => (await loadOwn(query, lease.number(), { id, most: -1, known: undefined })) !== undefined,
      ),
    mayDeliver: () => lease.isCertain(),
    arrivals: (stop) => claims.arrivals(stop),
    liveHosts: () => claims.liveHosts(),
    known: () => undefined, // other hosts have some of them
    hosts: () => hostStates(query, host),
    async handOver(held) {
      if (!lease.isDraining()) await lease.drain();
      const rows = await query<{ id: string }>(
        `UPDATE messages SET lease = NULL WHERE lease = ANY($1::bigint[]) AND id <> ALL($2::text[]) RETURNING id`,
        [lease.numbers(), [...held]],
      );
      if (rows.length > 0) await query("SELECT pg_notify($1, '')", [dueChannel]);
      claims.lose(rows.map(({ id }) => id));
      return rows.length;
    },
    /** The database tells how full its disks are to those who run it. */
    free: async () => ({ octets: Number.POSITIVE_INFINITY, inodes: Number.POSITIVE_INFINITY }),
    inodesFor: () => 0,
    async trial() {
      const undo = new Error("as wanted");
      try {
        await database.transaction(async (ask) => {
          await ask("INSERT INTO drafts (id, lease) VALUES ($1, $2)", [`trial ${mark}`, lease.number()]);
          throw undo;
        });
      } catch (error) {
        if (error !== undo) throw error;
      }
    },
    forget: () => local.forget(),
    broken: local.broken,
    async close() {
      if (isClosed) return;
      isClosed = true;
      await committer.close();
      await lease.close();
      await local.close();
    },
  };
}
