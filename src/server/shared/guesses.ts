/**
 * Wrong passwords across hosts: what the rate limiter of one host counts, it tells those of the others, by way of a table that is
 * no more than their conversation of the last day. A login never waits for it, and a flood of guesses fills neither the table
 * nor a host: what is too much is not told.
 */
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { errorCode } from "../../failure.ts";
import type { Database } from "../../postgres/database.ts";
import { logBug } from "../log/log.ts";
import {
  type LimiterNews,
  newAuthRateLimiter,
  type SharingRateLimiter,
} from "../submission/limits/auth-rate-limiter.ts";
import { fromTheStart, lookIn, newFollower } from "./follow.ts";
import { type NetworkSeal, newNetworkSeal } from "./sealed-network.ts";
import { sharedKey } from "./secrets.ts";

export interface SharedRateLimiter {
  readonly limiter: SharingRateLimiter;
  /** Tells and hears now. Throws as a query does. */
  exchange(): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds for which news are gathered, and between two looks for those of others. Our choice, as all numbers here. */
const gatherFor = 250;
const every = 500;

/** Wrong passwords that one host tells at a time, and those that wait for a database that is away. */
const mostAtOnce = 500;
const mostWaiting = 5_000;

/** Rows of the table: a botnet fills some ten megabytes of the database and no more. */
const mostRows = 50_000;

/** Milliseconds between two times at which old rows go, and for how long they are of use: as the limiter remembers them. */
const forgetEvery = 60_000;
const usefulFor = "1 day";

/** Rows that are learned in one turn of the event loop. */
const inATurn = 500;

interface GuessRow {
  readonly origin: string;
  readonly number: number;
  readonly kind: string;
  readonly person: string;
  readonly network: string;
  readonly guess: string;
  /** Milliseconds, by the database's clock. */
  readonly age: number;
}

const columns = `origin AS key, origin, number, kind, person, network, guess,
  floor(extract(epoch FROM clock_timestamp() - at) * 1000)::bigint AS age`;

const tell = `
  INSERT INTO guesses (origin, number, kind, person, network, guess)
  SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
  ON CONFLICT (origin, number) DO NOTHING`;

/** A limiter that knows what those of the other hosts have counted. Throws as a query does. */
export async function openSharedRateLimiter(
  database: Database,
  now: () => number,
): Promise<SharedRateLimiter> {
  const key = await sharedKey(database, "guesses");
  const seal = newNetworkSeal(key);
  const origin = randomBytes(9).toString("base64url");
  const limiter = newAuthRateLimiter(now, key, gather);
  /** By origin: the number of the last news that were learned. Each origin's come in order. */
  const learned = new Map<string, number>();
  let waiting: { readonly number: number; readonly news: LimiterNews }[] = [];
  let failures = 0;
  let number = 0;
  let timer: NodeJS.Timeout | undefined;
  let telling: Promise<void> = Promise.resolve();
  let isClosed = false;

  function gather(news: LimiterNews): void {
    if (news.kind === "failed" && failures >= mostWaiting) return;
    if (waiting.length >= 2 * mostWaiting) return;
    if (news.kind === "failed") failures++;
    number++;
    waiting.push({ number, news });
    schedule();
  }

  function schedule(): void {
    if (!isClosed && waiting.length > 0) timer ??= setTimeout(tellQuietly, gatherFor).unref();
  }

  function tellQuietly(): void {
    timer = undefined;
    void tellNext()
      .catch((error: unknown) => {
        if (errorCode(error) === "") logBug("wrong passwords, shared", error);
      })
      .then(schedule);
  }

  /** One batch after the other. */
  function tellNext(): Promise<void> {
    const mine = telling.then(tellSome);
    telling = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  /** The first of those that wait. They wait on where the database is away: told twice, they are there once. */
  async function tellSome(): Promise<void> {
    const some = waiting.slice(0, mostAtOnce);
    if (some.length === 0 || !database.isThere()) return;
    const rows = some.map(({ news }) => rowOf(news, seal));
    await database.query(tell, [
      origin,
      some.map((one) => one.number),
      rows.map(({ kind }) => kind),
      rows.map(({ person }) => person),
      rows.map(({ network }) => network),
      rows.map(({ guess }) => guess),
    ]);
    waiting = waiting.slice(some.length);
    failures -= some.filter(({ news }) => news.kind === "failed").length;
  }

  async function lookFrom(since: string): Promise<string> {
    const { next, rows } = await lookIn<GuessRow>(
      database,
      { table: "guesses", columns, where: `origin <> $2 AND at > now() - interval '${usefulFor}'` },
      since,
      [origin],
    );
    const time = now();
    const fresh = rows
      .filter((row) => row.number > (learned.get(row.origin) ?? 0))
      .toSorted((one, other) => other.age - one.age || one.number - other.number);
    for (const [at, row] of fresh.entries()) {
      if (at % inATurn === inATurn - 1) await setImmediate();
      learned.set(row.origin, Math.max(row.number, learned.get(row.origin) ?? 0));
      const news = newsIn(row, seal);
      if (news) limiter.learn(news, time - Math.max(0, row.age));
    }
    if (since === fromTheStart) forgetOrigins(rows);
    return next;
  }

  /** Of relays that are gone, and that have nothing in the table any more. */
  function forgetOrigins(rows: readonly GuessRow[]): void {
    const there = new Set(rows.map((row) => row.origin));
    for (const one of learned.keys()) if (!there.has(one)) learned.delete(one);
  }

  const follower = newFollower(database, "wrong passwords of other hosts", lookFrom);
  await follower.look();
  follower.begin(every);
  const forgetting = setInterval(() => {
    if (!database.isThere()) return;
    forgetGuesses(database).catch((error: unknown) => {
      if (errorCode(error) === "") logBug("forgetting wrong passwords", error);
    });
  }, forgetEvery).unref();

  return {
    limiter,
    async exchange() {
      await tellNext();
      await follower.look();
    },
    async close() {
      isClosed = true;
      clearInterval(forgetting);
      clearTimeout(timer);
      await tellNext().catch(() => undefined); // a restart of this host would learn them, too
      await follower.close();
    },
  };
}

/** Removes rows that are of no use any more, and the oldest of too many. One host at a time does it: two would wait for each other. */
export async function forgetGuesses(
  database: Pick<Database, "transaction">,
  most: number = mostRows,
): Promise<void> {
  await database.transaction(async (query) => {
    const [lock] = await query<{ mine: boolean }>(
      "SELECT pg_try_advisory_xact_lock(hashtext('tpa-submit guesses')) AS mine",
    );
    if (lock?.mine !== true) return;
    await query(`DELETE FROM guesses WHERE at < now() - interval '${usefulFor}'`);
    await query(
      "DELETE FROM guesses WHERE at <= (SELECT at FROM guesses ORDER BY at DESC OFFSET $1 LIMIT 1)",
      [most],
    );
  });
}

function rowOf(news: LimiterNews, seal: NetworkSeal): Omit<GuessRow, "origin" | "number" | "age"> {
  return {
    kind: news.kind,
    person: "person" in news ? news.person : "",
    network: "network" in news ? seal.seal(news.network) : "",
    guess: "guess" in news ? news.guess : "",
  };
}

/** Undefined where a later version of the program has told something else, or the key is another one. */
function newsIn(
  { kind, person, network: sealed, guess }: GuessRow,
  seal: NetworkSeal,
): LimiterNews | undefined {
  if (kind === "login-unblocked") return { kind, person };
  const network = seal.open(sealed);
  if (network === undefined) return undefined;
  if (kind === "network-unblocked") return { kind, network };
  return kind === "failed" || kind === "succeeded" ? { kind, person, network, guess } : undefined;
}
