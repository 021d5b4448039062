/**
 * By what right a host delivers: a row with a number and a time, which the host keeps moving while it lives. A message has the
 * number of the lease whose host delivers it. Whoever ends a lease waits for what its host commits at that moment, and nothing
 * is promised under a lease that has ended: so none of its messages is missed by those who take them over.
 */
import { errorCode, errorText } from "../../../failure.ts";
import { type Database, DatabaseAway, type Query } from "../../../postgres/database.ts";

export interface LeaseTerms {
  /** The host's name. */
  readonly host: string;
  /** Of its own folder, which one process at a time has: a start ends what the last one left. */
  readonly owner: string;
  readonly version: string;
  /** Milliseconds for which it stands after each renewal. */
  readonly time: number;
  /** Milliseconds of a clock that nobody sets. */
  readonly steady: () => number;
  /** Called when it was ended by others, before there is a new one. */
  readonly over: (reason: string) => void;
  /** Called with what is no trouble of the database. */
  readonly bug: (error: unknown) => void;
}

export interface Lease {
  /** Of the lease that stands. */
  number(): number;
  /** All that this process ever had: what has one of them has been nobody else's since. */
  numbers(): readonly number[];
  /** Whether it stands by our own clock, which is never later than the database's. */
  isCertain(): boolean;
  /** Milliseconds for which it was renewed without a gap. */
  steadyFor(): number;
  /** Looks at once whether it still stands, and takes a new one where it does not. Throws as a query does. */
  renew(): Promise<void>;
  /** Says that this host hands over what it has. Throws as a query does. */
  drain(): Promise<void>;
  isDraining(): boolean;
  /** Ends it: others may have its messages at once. Where the database is away they wait for its time. */
  close(): Promise<void>;
}

/** What is to be claimed is said on this channel. */
export const dueChannel = "tpa_due";

/** A lease is ended only by who can lock its row against those who promise something under it: FOR KEY SHARE. */
export async function mustStand(query: Query, number: number): Promise<void> {
  const [found] = await query("SELECT number FROM leases WHERE number = $1 AND NOT ended FOR KEY SHARE", [
    number,
  ]);
  if (found === undefined) throw new LeaseEnded();
}

export class LeaseEnded extends Error {
  readonly code = "ESTALE";

  constructor() {
    super("this host was silent for too long, and lost its lease");
    this.name = "LeaseEnded";
  }
}

/** Throws as a query does. */
export async function takeLease(database: Database, terms: LeaseTerms): Promise<Lease> {
  const { host, owner, version, time, steady, over, bug } = terms;
  const numbers: number[] = [];
  let until = 0;
  let since: number | undefined;
  let isClosed = false;
  let draining = false;
  let timer: NodeJS.Timeout | undefined;
  let renewing: Promise<void> | undefined;

  async function take(): Promise<void> {
    const before = steady();
    const number = await database.transaction(async (query) => {
      // Ours: whoever had it is dead, or would be renewing it.
      await endLeases(query, "host = $1 AND owner = $2", [host, owner]);
      const [row] = await query<{ number: number }>(
        `INSERT INTO leases (host, owner, until, seen, draining, version)
         VALUES ($1, $2, now() + $3 * interval '1 ms', now(), $4, $5) RETURNING number`,
        [host, owner, time, draining, version],
      );
      return row?.number ?? 0;
    });
    numbers.push(number);
    until = before + time;
    since = before;
  }

  async function renewOnce(): Promise<void> {
    const before = steady();
    if (before > until) since = undefined; // there was a gap, whatever comes now
    database.mustBeThere(); // or each try would leave a session that waits for a standby
    const [row] = await database.query(
      `UPDATE leases SET until = now() + $2 * interval '1 ms', seen = now()
       WHERE number = $1 AND NOT ended RETURNING number`,
      [numbers.at(-1), time],
    );
    if (row !== undefined) {
      until = before + time;
      since ??= before;
      return;
    }
    until = 0;
    since = undefined;
    if (isClosed) return;
    over("its lease was not renewed in time");
    await take();
  }

  function renew(): Promise<void> {
    renewing ??= renewOnce().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  function schedule(after: number): void {
    timer = setTimeout(() => void renewRegularly(), after);
    timer.unref();
  }

  async function renewRegularly(): Promise<void> {
    try {
      await renew();
      if (!isClosed) schedule(time / 3);
    } catch (error) {
      if (!(error instanceof DatabaseAway) && errorCode(error) === "") bug(error);
      since = undefined;
      await database.there(time / 3);
      if (!isClosed) schedule(Math.min(100, time / 30));
    }
  }

  await take();
  schedule(time / 3);
  return {
    number: () => numbers.at(-1) ?? 0,
    numbers: () => numbers,
    isCertain: () => steady() < until,
    steadyFor: () => (since === undefined || steady() > until ? 0 : steady() - since),
    renew,
    async drain() {
      draining = true;
      await database.query("UPDATE leases SET draining = true WHERE number = $1", [numbers.at(-1)]);
    },
    isDraining: () => draining,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      try {
        await renewing;
        await database.transaction((query) => endLeases(query, "number = $1", [numbers.at(-1)]));
      } catch (error) {
        if (errorCode(error) === "") bug(new Error(errorText(error), { cause: error }));
      }
      until = 0;
    },
  };
}

/** A lease that others have ended. */
export interface EndedLease {
  readonly number: number;
  readonly host: string;
}

/** Ends the leases for which `condition` is true, but those under which something is being committed, and says so to all. */
export async function endLeases(
  query: Query,
  condition: string,
  values: readonly unknown[],
): Promise<readonly EndedLease[]> {
  const ended = await query<EndedLease>(
    `UPDATE leases SET ended = true WHERE number IN (
       SELECT number FROM leases WHERE NOT ended AND ${condition} FOR UPDATE
     ) RETURNING number, host`,
    values,
  );
  if (ended.length > 0) await query("SELECT pg_notify($1, '')", [dueChannel]);
  return ended;
}

/** Ends those whose hosts are silent. A host that is stopped in the middle of a commit is dealt with in its turn. */
export const endSilent = (database: Database, own: number): Promise<readonly EndedLease[]> =>
  database.transaction(async (query) => {
    const silent = await query<{ number: number }>(
      "SELECT number FROM leases WHERE NOT ended AND until < now() AND number <> $1 FOR UPDATE SKIP LOCKED",
      [own],
    );
    if (silent.length === 0) return [];
    const numbers = silent.map(({ number }) => number);
    return endLeases(query, "number = ANY($1::bigint[]) AND until < now()", [numbers]);
  });
