/**
 * What this host takes over: what the last start left, what hosts left that are silent, and what hosts hand over. Each host
 * takes some hundred at a time, so that all that live get their part. Whoever was away with the database has the time of a
 * lease to renew its own, before any other may end it.
 */
import { errorCode } from "../../../failure.ts";
import { type Database, DatabaseAway, type Query } from "../../../postgres/database.ts";
import type { Arrival } from "../arrivals.ts";
import type { StoredMessage } from "../reader.ts";
import { dueChannel, endSilent, type Lease, LeaseEnded, mustStand } from "./lease.ts";
import { envelopeOf, type MessageRow } from "./reader.ts";

/** Messages at a time. Our choice: half a second's work of a host. */
const atATime = 300;

/** Milliseconds between two looks, where nobody said anything. */
const lookEvery = 1_000;

export interface ClaimDependencies {
  readonly database: Database;
  readonly lease: Lease;
  /** Milliseconds that a lease stands. */
  readonly time: number;
  readonly claimed: (host: string, messages: number) => void;
  readonly bug: (error: unknown) => void;
  /** Called from time to time. */
  readonly sweep: () => Promise<void>;
}

export interface Claims {
  arrivals(stop: AbortSignal): AsyncGenerator<Arrival, void>;
  /** Hosts that take over what is due, this one included, as of the last look. */
  liveHosts(): number;
  /** From here on none of what was given is this host's. */
  loseAll(): void;
  /** The same of these. */
  lose(ids: readonly string[]): void;
  /** Makes those of `ids` this host's that are nobody's; {@link Claims.arrivals} gives them. Throws as a query does. */
  claim(ids: readonly string[]): Promise<void>;
}

interface ClaimedRow extends MessageRow {
  /** Whose it was; null where it was nobody's. */
  readonly host: string | null;
}

/** A claim whose commit was not answered. */
interface UncertainClaim {
  readonly session: string;
  readonly own: number;
  readonly ids: readonly string[];
}

/** Milliseconds between two sweeps. */
const sweepEvery = 60_000;

export function newClaims(from: ClaimDependencies): Claims {
  const { database, lease, time, claimed, bug, sweep } = from;
  let lostAll = false;
  let lost: string[] = [];
  const uncertain: UncertainClaim[] = [];
  /** Claimed by name, and not given yet. */
  const named: string[] = [];
  let wake = (): void => undefined;
  let isWoken = false;
  /** Whether some of what was lost with a lease is under the one that stands. */
  let mustFindOwn = false;
  let swept = performance.now();
  let others = 0;

  const wakeUp = (): void => {
    isWoken = true;
    wake();
  };

  async function pause(stop: AbortSignal): Promise<void> {
    if (isWoken || stop.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, lookEvery);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Those that may be claimed: nobody's first, then those of leases that have ended. */
  async function sources(): Promise<readonly (number | null)[]> {
    const rows = await database.query<{ lease: number | null }>(
      `SELECT lease FROM (SELECT NULL::bigint AS lease WHERE EXISTS (SELECT 1 FROM messages WHERE lease IS NULL)
       UNION ALL SELECT l.number FROM leases l
         WHERE l.ended AND EXISTS (SELECT 1 FROM messages m WHERE m.lease = l.number)) AS found`,
    );
    return rows.map(({ lease: one }) => one);
  }

  /** Some of what is there; empty where others were quicker. */
  async function claimFrom(source: number | null): Promise<readonly StoredMessage[]> {
    const own = lease.number();
    let rows: readonly ClaimedRow[] = [];
    try {
      await database.transaction(async (query) => {
        rows = await claimIn(query, own, source);
      });
    } catch (error) {
      if (error instanceof DatabaseAway && error.session !== undefined)
        uncertain.push({ session: error.session, own, ids: rows.map(({ id }) => id) });
      throw error;
    }
    return given(rows);
  }

  async function claimIn(query: Query, own: number, source: number | null): Promise<readonly ClaimedRow[]> {
    await mustStand(query, own);
    const isNobodys = source === null;
    return query<ClaimedRow>(
      `WITH free AS (
         SELECT id FROM messages WHERE ${isNobodys ? "lease IS NULL" : "lease = $3"} LIMIT $2 FOR UPDATE SKIP LOCKED
       ) UPDATE messages m SET lease = $1 FROM free WHERE m.id = free.id
       RETURNING m.id, m.envelope, ${isNobodys ? "NULL" : "(SELECT host FROM leases WHERE number = $3)"} AS host`,
      isNobodys ? [own, atATime] : [own, atATime, source],
    );
  }

  function given(rows: readonly ClaimedRow[]): readonly StoredMessage[] {
    const [first] = rows;
    if (first !== undefined) claimed(first.host ?? "", rows.length);
    return rows.map((row) => ({ id: row.id, envelope: envelopeOf(row) }));
  }

  /** What was claimed where the commit was not answered: ours, or still to be claimed. */
  async function* settle(): AsyncGenerator<readonly StoredMessage[], void> {
    for (let one = uncertain[0]; one !== undefined; one = uncertain[0]) {
      await database.ended(one.session);
      const rows = await database.query<ClaimedRow>(
        "SELECT id, envelope, NULL AS host FROM messages WHERE id = ANY($1::text[]) AND lease = $2",
        [one.ids, one.own],
      );
      uncertain.shift();
      yield given(rows);
    }
  }

  async function claimNamed(ids: readonly string[]): Promise<void> {
    const own = lease.number();
    try {
      const rows = await database.transaction(async (query) => {
        await mustStand(query, own);
        return query<{ id: string }>(
          `UPDATE messages SET lease = $1 WHERE id IN (
             SELECT id FROM messages m WHERE id = ANY($2::text[])
             AND (lease IS NULL OR EXISTS (SELECT 1 FROM leases WHERE number = m.lease AND ended)) FOR UPDATE SKIP LOCKED
           ) RETURNING id`,
          [own, ids],
        );
      });
      named.push(...rows.map(({ id }) => id));
    } catch (error) {
      if (error instanceof DatabaseAway && error.session !== undefined)
        uncertain.push({ session: error.session, own, ids });
      throw error;
    }
  }

  /** What was claimed by name, as it is now. */
  async function* namedMessages(): AsyncGenerator<readonly StoredMessage[], void> {
    const ids = [...named];
    if (ids.length === 0) return;
    const rows = await database.query<ClaimedRow>(
      "SELECT id, envelope, NULL AS host FROM messages WHERE id = ANY($1::text[]) AND lease = ANY($2::bigint[])",
      [ids, lease.numbers()],
    );
    named.splice(0, ids.length);
    yield given(rows);
  }

  /**
   * What is this host's by the lease that stands. A message can be promised under a new lease before it is told that all is lost
   * of the one before: nobody else delivers it.
   */
  async function* ownMessages(): AsyncGenerator<readonly StoredMessage[], void> {
    if (!mustFindOwn) return;
    const rows = await database.query<MessageRow>("SELECT id, envelope FROM messages WHERE lease = $1", [
      lease.number(),
    ]);
    mustFindOwn = false;
    yield rows.map((row) => ({ id: row.id, envelope: envelopeOf(row) }));
  }

  /** What is this host's, and was not given yet. Each part is given as it is found: what comes behind it may fail. */
  async function* ownRound(): AsyncGenerator<Arrival, void> {
    for (const source of [settle, namedMessages, ownMessages])
      for await (const messages of source()) if (messages.length > 0) yield { kind: "messages", messages };
  }

  /** Whether other hosts have come or gone: those whose leases stand, and which do not hand over what they have. */
  async function haveHostsChanged(): Promise<boolean> {
    const [row] = await database.query<{ readonly others: number }>(
      "SELECT count(*) AS others FROM leases WHERE NOT ended AND until > now() AND NOT draining AND number <> $1",
      [lease.number()],
    );
    const before = others;
    others = row?.others ?? 0;
    return others !== before;
  }

  async function sweepSometimes(): Promise<void> {
    if (performance.now() - swept < sweepEvery) return;
    swept = performance.now();
    await sweep();
  }

  async function* claimRound(stop: AbortSignal): AsyncGenerator<Arrival, boolean> {
    if (lease.isDraining()) return false;
    if (lease.steadyFor() >= time) await endSilent(database, lease.number());
    let any = false;
    for (const source of await sources()) {
      if (stop.aborted || lostAll) return any;
      const messages = await claimFrom(source);
      if (messages.length === 0) continue;
      any = true;
      yield { kind: "messages", messages };
    }
    return any;
  }

  async function* arrivals(stop: AbortSignal): AsyncGenerator<Arrival, void> {
    const deaf = database.listen(dueChannel, wakeUp);
    stop.addEventListener("abort", wakeUp);
    let isRead = false;
    try {
      while (!stop.aborted) {
        isWoken = false;
        if (lostAll) {
          lostAll = false;
          lost = [];
          mustFindOwn = true;
          yield { kind: "lost", ids: "all" };
        }
        if (lost.length > 0) yield { kind: "lost", ids: lost.splice(0) };
        try {
          if (await haveHostsChanged()) yield { kind: "hosts" };
          yield* ownRound();
          if (yield* claimRound(stop)) continue;
          if (!isRead) {
            isRead = true;
            yield { kind: "read" };
          }
          await sweepSometimes();
        } catch (error) {
          if (error instanceof LeaseEnded) await lease.renew().catch(() => undefined);
          else if (!(error instanceof DatabaseAway) && errorCode(error) === "") bug(error);
        }
        await pause(stop);
      }
    } finally {
      deaf();
      stop.removeEventListener("abort", wakeUp);
    }
  }

  return {
    arrivals,
    liveHosts: () => 1 + others,
    claim: claimNamed,
    loseAll() {
      lostAll = true;
      wakeUp();
    },
    lose(ids) {
      lost.push(...ids);
      wakeUp();
    },
  };
}
