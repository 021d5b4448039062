/**
 * What this host takes over: what the last start left, what hosts left that are silent, and what hosts hand over. Each host
 * takes some hundred at a time, so that all that live get their part. Whoever was away with the database has the time of a
 * lease to renew its own, before any other may end it.
 */
import { errorCode } from "../../../failure.ts";
import type { Database } from "../../../postgres/database.ts";
import { DatabaseAway } from "../../../postgres/database.ts";
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
  /** From here on none of what was given is this host's. */
  loseAll(): void;
  /** The same of these. */
  lose(ids: readonly string[]): void;
}

/** Milliseconds between two sweeps. */
const sweepEvery = 60_000;

export function newClaims(from: ClaimDependencies): Claims {
  const { database, lease, time, claimed, bug, sweep } = from;
  let lostAll = false;
  let lost: string[] = [];
  let wake = (): void => undefined;
  let isWoken = false;
  let swept = performance.now();

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
    const rows = await database.transaction(async (query) => {
      await mustStand(query, own);
      const condition = source === null ? "lease IS NULL" : "lease = $3";
      return query<MessageRow & { host: string | null }>(
        `WITH free AS (
           SELECT id FROM messages WHERE ${condition} LIMIT $2 FOR UPDATE SKIP LOCKED
         ) UPDATE messages m SET lease = $1 FROM free WHERE m.id = free.id
         RETURNING m.id, m.envelope, ${source === null ? "NULL" : "(SELECT host FROM leases WHERE number = $3)"} AS host`,
        source === null ? [own, atATime] : [own, atATime, source],
      );
    });
    const [first] = rows;
    if (first !== undefined) claimed(first.host ?? "", rows.length);
    return rows.map((row) => ({ id: row.id, envelope: envelopeOf(row) }));
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
          yield { kind: "lost", ids: "all" };
        }
        if (lost.length > 0) yield { kind: "lost", ids: lost.splice(0) };
        try {
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
