/**
 * The database that several hosts share: a few connections to the server that takes writes, wherever that is at the moment.
 * One of them listens and asks each second whether the server is still there: when it ends, all others end with it, so that
 * nobody waits for a server that is gone, and the next one is looked for. A server whose commits wait for a standby that does
 * not answer can be read, and counts as away for everything else: a commit that waits has no end of its own.
 */
import { errorText, exitStatus, Failure } from "../failure.ts";
import type { StoreHost } from "../store-url.ts";
import { connect, DatabaseAway, type DatabaseConnection } from "./connection.ts";
import type { StoreAccess } from "./settings.ts";

export { DatabaseAway, once } from "./connection.ts";

/** One statement. Throws DatabaseAway where there is no connection; else PostgreSQL's error. */
export type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

export interface Database {
  /** On any connection, in a transaction of its own. It reads also while commits wait for a standby. */
  readonly query: Query;
  /**
   * BEGIN … COMMIT on one connection; rolled back where `work` throws. A commit whose answer did not come throws a DatabaseAway
   * with its session: it may stand.
   */
  transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result>;
  /**
   * `heard` is called for each NOTIFY, and once with "" after each reconnect: something may have been missed. Gives what
   * stops it.
   */
  listen(channel: string, heard: (payload: string) => void): () => void;
  /** Whether a connection stands, and commits are answered. */
  readonly isThere: () => boolean;
  /** Why commits are not answered though the server is there, and what to do; else undefined. */
  readonly whyStalled: () => string | undefined;
  /** Throws DatabaseAway where it is not there. */
  mustBeThere(): void;
  /** Resolves when it is there, at once or later; false where `within` milliseconds passed before, or it was closed. */
  there(within: number): Promise<boolean>;
  /** Resolves when nothing can come any more of what this session began. Throws DatabaseAway where that is not known. */
  ended(session: string): Promise<void>;
  close(): Promise<void>;
}

export interface DatabaseEvents {
  /** The database went away, for one line of the log. */
  readonly away?: (reason: string) => void;
  readonly back?: () => void;
}

/** Somebody who waits for a connection. */
interface Waiting {
  readonly give: (connection: DatabaseConnection) => void;
  readonly fail: (error: unknown) => void;
}

/** Connections at a time beside the one that listens. Our choice: one promises, others read. */
const most = 8;

/** Milliseconds between two looks whether the server is there, and how long it may take to say so. */
const beat = 1_000;
const beatPatience = 5_000;

/**
 * Seconds that a commit may wait for a standby. Our choice: a client that waits for it hears within its patience that it is to
 * wait, and a standby that is only slow has answered.
 */
const standbyPatience = 5;

/** Whether the server takes writes, and which sessions wait for a standby for too long: of those that this user may see. */
const beatQuery = `SELECT pg_is_in_recovery() AS standby, coalesce(array_agg(application_name), '{}') AS waiting,
  coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 AS seconds FROM pg_stat_activity
  WHERE wait_event = 'SyncRep' AND clock_timestamp() - query_start > ${standbyPatience} * interval '1 s'`;

interface Beat {
  readonly standby: boolean;
  readonly waiting: readonly string[];
  readonly seconds: number;
}

const stallText = (seconds: number): string =>
  `a commit has waited ${seconds.toFixed(0)} seconds for a synchronous standby: bring the standby back, or let ` +
  "synchronous_standby_names of PostgreSQL be '' until it is there";

/** Milliseconds in which a session that was told to end has ended. Our choice; whoever wants to know asks again. */
const endPatience = 10_000;

/** Milliseconds before the database is looked for again: they double. */
const firstPause = 50;
const longestPause = 1_000;

/**
 * Opens it; `name` is this host's, for whoever looks at the sessions. Throws a Failure of one line where it is not there, or has
 * nothing for us.
 */
export async function openDatabase(
  access: StoreAccess,
  name: string,
  events: DatabaseEvents = {},
): Promise<Database> {
  let host: StoreHost | undefined;
  let lead: DatabaseConnection | undefined;
  let isClosed = false;
  let isLooking = false;
  /** Why it went away, or was not found. */
  let lastReason = "";
  /** Milliseconds that whoever found no further connection waits. */
  let openingPause = firstPause;
  /** Why nothing is committed, though the server is there. */
  let stalled: string | undefined;
  let beating: NodeJS.Timeout | undefined;
  /** What the one that listens is asked, one after the other. */
  let asked: Promise<unknown> = Promise.resolve();
  const open = new Set<DatabaseConnection>();
  const idle: DatabaseConnection[] = [];
  let opening = 0;
  const waiting: Waiting[] = [];
  const expecting = new Set<(isThere: boolean) => void>();
  const channels = new Map<string, Set<(payload: string) => void>>();

  const listenTo = (channel: string): string => `LISTEN "${channel.replaceAll('"', "")}"`;

  function tell(channel: string, payload: string): void {
    for (const heard of [...(channels.get(channel) ?? [])]) heard(payload);
  }

  async function lookOnce(): Promise<void> {
    const found = await connect(access, name, host);
    const { connection } = found;
    try {
      for (const channel of channels.keys()) await connection.run(listenTo(channel));
    } catch (error) {
      connection.drop("it does not listen");
      throw error;
    }
    if (isClosed) return connection.drop("closed");
    host = found.host;
    lead = connection;
    openingPause = firstPause;
    connection.onNotify(tell);
    connection.onEnd(lost);
    scheduleBeat(connection);
    expectNoMore(true);
  }

  function expectNoMore(isThere: boolean): void {
    for (const tellIt of expecting) tellIt(isThere);
    expecting.clear();
  }

  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = asked.then(work);
    asked = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  function scheduleBeat(connection: DatabaseConnection): void {
    beating = setTimeout(() => {
      void askIfThere(connection);
    }, beat);
    beating.unref();
  }

  async function askIfThere(connection: DatabaseConnection): Promise<void> {
    try {
      const [found] = await inTurn(() => connection.run<Beat>(beatQuery, [], beatPatience));
      if (found?.standby !== false) connection.drop("it has become a standby");
      else if (lead === connection) noteWaiting(found);
    } catch (error) {
      connection.drop(errorText(error));
    }
    if (connection.isOpen() && !isClosed) scheduleBeat(connection);
  }

  /** Who waits for a standby waits no longer: what it wanted to commit may stand, once the standby is back. */
  function noteWaiting({ waiting: sessions, seconds }: Beat): void {
    const isNew = stalled === undefined;
    if (sessions.length > 0) {
      const reason = stallText(seconds);
      stalled = reason;
      for (const one of [...open]) if (sessions.includes(one.session)) one.drop(reason);
      if (isNew) events.away?.(reason);
    } else if (!isNew) {
      stalled = undefined;
      expectNoMore(true);
      nowBack();
    }
  }

  function nowBack(): void {
    events.back?.();
    for (const channel of [...channels.keys()]) tell(channel, "");
  }

  function lost(reason: string): void {
    const wasThere = stalled === undefined;
    stalled = undefined;
    lead = undefined;
    lastReason = reason;
    clearTimeout(beating);
    for (const connection of [...open]) connection.drop(reason);
    for (const { fail } of waiting.splice(0)) fail(new DatabaseAway(reason));
    if (isClosed) return;
    if (wasThere) events.away?.(reason);
    void look();
  }

  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    for (let pause = firstPause; !isClosed; pause = Math.min(2 * pause, longestPause)) {
      try {
        await lookOnce();
      } catch (error) {
        if (!(error instanceof DatabaseAway) && !(error instanceof Failure)) throw error;
        lastReason = errorText(error).replace("the database is away: ", "");
      }
      if (lead !== undefined) break;
      await new Promise<void>((resolve) => {
        setTimeout(resolve, pause).unref();
      });
    }
    isLooking = false;
    if (lead !== undefined) nowBack();
  }

  const isThere = (): boolean => lead !== undefined && stalled === undefined;

  const away = (): DatabaseAway =>
    new DatabaseAway(isClosed ? "closed" : (stalled ?? `no server takes writes; ${lastReason}`));

  function mustBeThere(): void {
    if (!isThere()) throw away();
  }

  /** A connection for one piece of work. */
  async function take(): Promise<DatabaseConnection> {
    if (lead === undefined) throw away();
    for (let one = idle.pop(); one !== undefined; one = idle.pop()) if (one.isOpen()) return one;
    if (open.size + opening >= most) {
      return new Promise((give, fail) => void waiting.push({ give, fail }));
    }
    return openOne();
  }

  async function openOne(): Promise<DatabaseConnection> {
    const before = lead;
    opening += 1;
    try {
      const { connection } = await connect({ ...access, hosts: host ? [host] : access.hosts }, name);
      if (lead === undefined || lead !== before) {
        connection.drop("the server changed meanwhile");
        throw away();
      }
      openingPause = firstPause;
      open.add(connection);
      connection.onEnd(() => {
        open.delete(connection);
        serveWaiting();
      });
      return connection;
    } catch (error) {
      await notAgainAtOnce();
      if (error instanceof Failure) throw new DatabaseAway(error.message, undefined, { cause: error });
      throw error;
    } finally {
      opening -= 1;
      serveWaiting();
    }
  }

  /**
   * The first connection may seem to stand for seconds after a further one was refused. Whoever asks again at once, since the
   * database is there, would do nothing else: where the network is gone, connect(2) fails before the event loop has had a turn.
   */
  async function notAgainAtOnce(): Promise<void> {
    const pause = openingPause;
    openingPause = Math.min(2 * pause, longestPause);
    await new Promise<void>((resolve) => {
      setTimeout(resolve, pause);
    });
  }

  /** Those who wait for a connection get a new one in place of one that ended. */
  function serveWaiting(): void {
    if (open.size + opening >= most) return;
    const next = waiting.shift();
    if (next) openOne().then(next.give, next.fail);
  }

  function giveBack(connection: DatabaseConnection): void {
    if (!connection.isOpen()) return;
    const next = waiting.shift();
    if (next) next.give(connection);
    else idle.push(connection);
  }

  const query: Query = async (text, values) => {
    const connection = await take();
    try {
      return await connection.run(text, values);
    } finally {
      giveBack(connection);
    }
  };

  async function transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    mustBeThere();
    const connection = await take();
    try {
      await connection.run("BEGIN");
      let result: Result;
      try {
        result = await work((text, values) => connection.run(text, values));
      } catch (error) {
        await connection.run("ROLLBACK").catch(() => connection.drop("a transaction did not end"));
        throw error;
      }
      await connection.commit();
      return result;
    } finally {
      giveBack(connection);
    }
  }

  const database: Database = {
    query,
    transaction,
    listen(channel, heard) {
      const all = channels.get(channel) ?? new Set();
      channels.set(channel, all);
      all.add(heard);
      if (all.size === 1) {
        const connection = lead;
        inTurn(async () => connection?.run(listenTo(channel))).catch((error: unknown) =>
          connection?.drop(errorText(error)),
        );
      }
      return () => void all.delete(heard);
    },
    isThere,
    whyStalled: () => stalled,
    mustBeThere,
    async there(within) {
      if (isThere() || isClosed) return !isClosed;
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          expecting.delete(told);
          resolve(false);
        }, within);
        const told = (isThere: boolean): void => {
          clearTimeout(timer);
          resolve(isThere);
        };
        expecting.add(told);
      });
    },
    async ended(session) {
      mustBeThere(); // one that waits for a standby is not to be cut short: then it would stand without
      // A backend that waits for a standby does not notice that its client has gone.
      const begun = performance.now();
      for (let pause = firstPause; ; pause = Math.min(2 * pause, longestPause)) {
        const left = await query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
          [session],
        );
        if (left.length === 0) return;
        if (performance.now() - begun > endPatience)
          throw new DatabaseAway(`session ${session} does not end`);
        await new Promise<void>((resolve) => {
          setTimeout(resolve, pause);
        });
      }
    },
    async close() {
      isClosed = true;
      clearTimeout(beating);
      expectNoMore(false);
      for (const { fail } of waiting.splice(0)) fail(away());
      lead?.drop("closed");
      for (const connection of [...open]) connection.drop("closed");
    },
  };

  try {
    await lookOnce();
  } catch (error) {
    if (error instanceof DatabaseAway)
      throw new Failure(exitStatus.temporary, error.message, { cause: error });
    throw error;
  }
  return database;
}
