/** Each kind of spool, opened for a test: what one promises, all do. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, openDatabase } from "../../../src/postgres/database.ts";
import type { SpendIn } from "../../../src/server/spool/postgres/committer.ts";
import { openSharedSpool, type SharedSpool } from "../../../src/server/spool/postgres/spool.ts";
import {
  type JournalSettings,
  openSpool,
  type Spool,
  type StoredMessage,
} from "../../../src/server/spool/spool.ts";
import { accessOf, type Cluster } from "../../postgres/cluster.ts";

export interface Store {
  readonly spool: Spool;
  /** As a relay that is stopped and started again. */
  reopen(now: () => number): Promise<Spool>;
  close(): Promise<void>;
}

export interface StoreKind {
  readonly name: string;
  readonly open: (now: () => number) => Promise<Store>;
}

const inFiles = (name: string, journal?: JournalSettings): StoreKind => ({
  name,
  async open(now) {
    const parent = await mkdtemp(join(tmpdir(), "spool-"));
    const directory = join(parent, "spool");
    let spool = await openSpool(directory, now, undefined, journal);
    return {
      get spool() {
        return spool;
      },
      async reopen(later) {
        await spool.close();
        spool = await openSpool(directory, later, undefined, journal);
        return spool;
      },
      async close() {
        await spool.close();
        await rm(parent, { recursive: true, force: true });
      },
    };
  },
});

export const fileStores: readonly StoreKind[] = [
  inFiles("in files"),
  inFiles("with the journal", { segment: 2 ** 20, largest: 2 ** 20 }),
];

export interface SharedStore extends Store {
  readonly spool: SharedSpool;
  readonly database: Database;
  /** What was logged of leases and claims. */
  readonly events: string[];
  /** All that arrives, until it is closed. */
  readonly arrived: StoredMessage[];
  readonly lost: string[];
  /** Begins to take over. Resolves when all that was there has come. */
  follow(): Promise<void>;
  /** Ends as kill -9 would: nothing is told to the database. */
  die(): Promise<void>;
}

export interface SharedStoreOptions {
  readonly url: string;
  readonly host?: string;
  /** Milliseconds; it need not be what an operator may set. */
  readonly lease?: number;
  readonly now?: () => number;
  readonly steady?: () => number;
  readonly owner?: string;
  readonly mark?: string;
  readonly spendIn?: SpendIn;
}

export async function openShared(options: SharedStoreOptions): Promise<SharedStore> {
  const { url, host = "a.example.org", lease = 60_000, mark = "", spendIn } = options;
  const { owner = host, now = Date.now, steady = () => performance.now() } = options;
  const parent = await mkdtemp(join(tmpdir(), "spool-"));
  const directory = join(parent, "spool");
  const events: string[] = [];
  const arrived: StoredMessage[] = [];
  const lost: string[] = [];
  const bugs: unknown[] = [];
  let stop = new AbortController();
  let following: Promise<void> = Promise.resolve();

  async function open(clock: () => number) {
    const database = await openDatabase(await accessOf(url), host);
    const local = await openSpool(directory, clock);
    const opening = openSharedSpool(
      { host, owner, version: "1.2.3", lease, mark },
      {
        database,
        local,
        now: clock,
        steady,
        events: {
          bug: (error) => bugs.push(error),
          leaseOver: (reason) => events.push(`over: ${reason}`),
          claimed: (from, messages) => events.push(`claimed ${String(messages)} of ${from}`),
        },
      },
    );
    const spool = await opening.catch(async (error: unknown) => {
      await local.close();
      await database.close();
      throw error;
    });
    if (spendIn) spool.countWith(spendIn);
    return { database, local, spool };
  }

  let opened = await open(now);

  async function end(): Promise<void> {
    stop.abort();
    await following;
  }

  return {
    get spool() {
      return opened.spool;
    },
    get database() {
      return opened.database;
    },
    events,
    arrived,
    lost,
    follow() {
      let tell = (): void => undefined;
      const read = new Promise<void>((resolve) => {
        tell = resolve;
      });
      const { spool } = opened;
      following = (async () => {
        for await (const arrival of spool.arrivals(stop.signal)) {
          if (arrival.kind === "messages") arrived.push(...arrival.messages);
          else if (arrival.kind === "lost") lost.push(...(arrival.ids === "all" ? ["all"] : arrival.ids));
          else if (arrival.kind === "read") tell();
        }
      })();
      return read;
    },
    async reopen(later) {
      await end();
      await opened.spool.close();
      await opened.database.close();
      stop = new AbortController();
      opened = await open(later);
      return opened.spool;
    },
    async die() {
      stop.abort();
      await opened.database.close();
      await following;
      await opened.local.close();
      await rm(parent, { recursive: true, force: true });
    },
    async close() {
      await end();
      await opened.spool.close();
      await opened.database.close();
      await rm(parent, { recursive: true, force: true });
      if (bugs.length > 0) throw bugs[0];
    },
  };
}

export const inPostgres = (cluster: () => Cluster): StoreKind => ({
  name: "in PostgreSQL",
  open: async (now) => openShared({ url: await cluster().database(), now }),
});
