/**
 * The frozen logins of hosts that share a database: a row for each. This host has a copy in memory, which follows by NOTIFY and
 * by a look each second. A freeze is in force here at once. Where the database is away it waits in a file of this host, and is
 * told to the others when the database is back.
 */
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { Database, Query } from "../../postgres/database.ts";
import type { FreezeFollower } from "../control/actions.ts";
import { type FrozenLogins, openFrozenLogins } from "../control/frozen-logins.ts";
import type { FrozenLogin } from "../control/protocol.ts";
import { logBug } from "../log/log.ts";

export interface SharedFrozenLogins extends FrozenLogins {
  /** Those that the other hosts do not know of yet. */
  hereOnly(): readonly FrozenLogin[];
  /** From now on `follower` hears of each login that another host freezes or thaws. */
  follow(follower: FreezeFollower): void;
  /** Looks now, and tells the others what they do not know yet. Throws as a query does. */
  look(): Promise<void>;
  close(): Promise<void>;
}

const channel = "tpa_frozen";

/** Milliseconds between two looks: the net below NOTIFY. */
const every = 1_000;

const all = "SELECT login, at, by, reason FROM frozen";
const write = `
  INSERT INTO frozen (login, at, by, reason) VALUES ($1, $2, $3, $4)
  ON CONFLICT (login) DO UPDATE SET at = excluded.at, by = excluded.by, reason = excluded.reason`;

/**
 * `path` is the file of those that only this host knows. Throws a Failure where that cannot be read, or the database: guessing
 * would let somebody in again.
 */
export async function openSharedFrozenLogins(database: Database, path: string): Promise<SharedFrozenLogins> {
  const own = await openFrozenLogins(path);
  /** In the database, as far as is known here. */
  let shared = new Map<string, FrozenLogin>();
  /** Not there yet. They are in force here. */
  const untold = new Map(own.all().map((frozen) => [frozen.login, frozen]));
  /** Counts the beginnings and the ends of our own changes: a look that began before one of them has an old state. */
  let changes = 0;
  let follower: FreezeFollower | undefined;
  /** Logins that others changed, and whose messages have not been looked at since. */
  let unsettled = new Set<string>();
  let settling: Promise<void> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let looking: Promise<void> | undefined;
  let isHurried = false;
  let timer: NodeJS.Timeout | undefined;
  let stopListening: () => void = () => undefined;

  const of = (login: string): FrozenLogin | undefined => untold.get(login) ?? shared.get(login);

  /** Our own changes come one after the other. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  /** A change of the database, about which all hosts hear. */
  async function change<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    changes++;
    try {
      return await database.transaction(async (query) => {
        const result = await work(query);
        await query("SELECT pg_notify($1, '')", [channel]);
        return result;
      });
    } finally {
      changes++;
    }
  }

  async function tell(frozen: FrozenLogin): Promise<void> {
    const { login, at, by, reason } = frozen;
    await change((query) => query(write, [login, at, by, reason]));
    shared.set(login, frozen);
    if (untold.get(login) === frozen) untold.delete(login);
    if (own.of(login) !== undefined) await own.thaw(login).catch(() => undefined); // told once more after the next start
  }

  /** It is in force here, and in no other place. */
  async function keep(frozen: FrozenLogin, error: unknown): Promise<Failure> {
    await own.freeze(frozen);
    return new Failure(
      exitStatus.temporary,
      `${frozen.login} is frozen on this host, on the others not yet: ${errorText(error)}; they are told when it is back`,
    );
  }

  async function freeze(frozen: FrozenLogin): Promise<void> {
    untold.set(frozen.login, frozen); // from here on nothing of this login is accepted or sent
    await inTurn(async () => {
      try {
        await tell(frozen);
      } catch (error) {
        if (errorCode(error) === "") throw error;
        throw await keep(frozen, error);
      }
    });
  }

  const thaw = (login: string): Promise<boolean> =>
    inTurn(async () => {
      const found = of(login);
      try {
        const rows = await change((query) =>
          query("DELETE FROM frozen WHERE login = $1 RETURNING login", [login]),
        );
        if (own.of(login) !== undefined) await own.thaw(login);
        shared.delete(login);
        if (untold.get(login) === found) untold.delete(login); // otherwise it was frozen again meanwhile
        return found !== undefined || rows.length > 0;
      } catch (error) {
        if (errorCode(error) === "") throw error;
        throw new Failure(exitStatus.temporary, `${login} stays frozen: ${errorText(error)}`);
      }
    });

  /** Tells the others what they do not know yet. */
  async function tellRest(): Promise<void> {
    for (const frozen of [...untold.values()]) {
      await inTurn(async () => {
        if (untold.get(frozen.login) === frozen) await tell(frozen);
      });
    }
  }

  async function lookOnce(): Promise<void> {
    const told = tellRest();
    await told.catch(() => undefined); // what the others say matters in any case
    await read();
    await told;
  }

  async function read(): Promise<void> {
    const before = changes;
    const rows = await database.query<FrozenLogin>(all);
    if (changes !== before) return; // the next look has the new state
    const found = new Map(rows.map(({ login, at, by, reason }) => [login, { login, at, by, reason }]));
    const known = shared;
    shared = found;
    for (const [login, frozen] of found) if (!known.has(login) && !untold.has(login)) heard(login, frozen);
    for (const login of known.keys()) if (of(login) === undefined) heard(login, undefined);
    if (unsettled.size > 0) settling ??= settle().finally(() => (settling = undefined));
  }

  function heard(login: string, frozen: FrozenLogin | undefined): void {
    if (follower === undefined) return;
    follower.changed(login, frozen);
    unsettled.add(login);
  }

  /** Apart from looking: in a long queue it takes its time. */
  async function settle(): Promise<void> {
    const logins = unsettled;
    unsettled = new Set();
    try {
      await follower?.settle(logins);
    } catch (error) {
      if (errorCode(error) === "") logBug("frozen logins", error);
      else unsettled = new Set([...logins, ...unsettled]); // with the next look
    }
  }

  function look(): Promise<void> {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  function lookQuietly(): void {
    if (!database.isThere()) return; // whoever lost the connection has said so
    if (looking !== undefined) isHurried = true;
    look()
      .catch((error: unknown) => {
        if (errorCode(error) === "" && !(error instanceof Failure)) logBug("frozen logins", error);
      })
      .finally(() => {
        if (!isHurried) return;
        isHurried = false;
        lookQuietly();
      });
  }

  try {
    for (const { login, at, by, reason } of await database.query<FrozenLogin>(all))
      shared.set(login, { login, at, by, reason });
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.temporary, `the frozen logins cannot be read: ${errorText(error)}`);
  }

  return {
    of,
    hereOnly: () => [...untold.values()],
    all: () => [...new Map([...shared, ...untold]).values()],
    freeze,
    thaw,
    follow(told) {
      follower = told;
      timer = setInterval(lookQuietly, every).unref();
      stopListening = database.listen(channel, lookQuietly);
      lookQuietly();
    },
    look,
    async close() {
      clearInterval(timer);
      stopListening();
      await looking?.catch(() => undefined);
      await settling;
      await last;
    },
  };
}
