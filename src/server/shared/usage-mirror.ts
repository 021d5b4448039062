/**
 * What this host knows of the usage of all logins, so that MAIL and RCPT are answered at once: a copy of the database of a
 * second ago. It may let through what the transaction of the promise then refuses (settle.ts).
 */
import { setImmediate } from "node:timers/promises";
import type { Database } from "../../postgres/database.ts";
import { addressDigest, dayOf, rememberedDays, type Usage } from "../submission/limits/usage.ts";
import { type LoginUsage, noUsage, withCounted } from "../submission/limits/usage-limits.ts";
import { lookIn, newFollower } from "./follow.ts";
import { parseState } from "./usage-state.ts";

export interface UsageMirror extends Pick<Usage, "add" | "of" | "logins" | "digest" | "knows"> {
  /** Looks what others have changed. Throws as a query does. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds between two looks. */
const every = 1_000;

/** Logins whose correspondents are in memory, the last ones that sent. Our choice. */
const mostLoaded = 500;

/** Logins that are read in one turn of the event loop. */
const inATurn = 500;

interface Correspondents {
  /** By digest: the day of the last message. Undefined until they are read. */
  days: Map<string, number> | undefined;
}

/** Reads all there is; then it follows. `key` is of the digests. Throws as a query does. */
export async function openUsageMirror(database: Database, key: Uint8Array): Promise<UsageMirror> {
  const sent = new Map<string, LoginUsage>();
  /** By login. Those that sent last come last. */
  const loaded = new Map<string, Correspondents>();

  async function lookFrom(since: string): Promise<string> {
    const { next, rows } = await lookIn<{ readonly login: string; readonly state: string }>(
      database,
      { table: "usage", columns: "login AS key, login, state" },
      since,
    );
    // Read after the rows above: whoever changed them has written these in the same transaction.
    const logins = rows.map(({ login }) => login).filter((login) => loaded.has(login));
    // Those that are being read at this moment may come without what was just written.
    for (const login of logins) if (loaded.get(login)?.days === undefined) loaded.delete(login);
    if (logins.length > 0) await readMore(logins, since);
    for (const [at, { login, state }] of rows.entries()) {
      if (at % inATurn === inATurn - 1) await setImmediate();
      sent.set(login, parseState(state));
    }
    return next;
  }

  async function readMore(logins: readonly string[], since: string): Promise<void> {
    const found = await database.query<{ login: string; digest: string; day: number }>(
      "SELECT login, digest, day FROM correspondents WHERE login = ANY($1::text[]) AND changed >= $2::xid8",
      [logins, since],
    );
    for (const { login, digest, day } of found) loaded.get(login)?.days?.set(digest, day);
  }

  /** Those of `login`, which are read now where they were not. */
  function correspondentsOf(login: string): Correspondents {
    const known = loaded.get(login) ?? { days: undefined };
    const isNew = !loaded.delete(login);
    loaded.set(login, known);
    if (!isNew) return known;
    for (const oldest of loaded.keys()) {
      if (loaded.size <= mostLoaded) break;
      loaded.delete(oldest);
    }
    read(login, known).catch(() => {
      if (loaded.get(login) === known) loaded.delete(login); // read with the next message
    });
    return known;
  }

  async function read(login: string, into: Correspondents): Promise<void> {
    const found = await database.query<{ digest: string; day: number }>(
      "SELECT digest, day FROM correspondents WHERE login = $1",
      [login],
    );
    into.days = new Map(found.map(({ digest, day }) => [digest, day]));
  }

  const follower = newFollower(database, "usage of logins", lookFrom);
  await follower.look();
  follower.begin(every);

  return {
    add({ login, at, addresses, ...counted }, now = at) {
      sent.set(login, withCounted(sent.get(login) ?? noUsage, at, counted, now));
      for (const digest of addresses) loaded.get(login)?.days?.set(digest, dayOf(at));
    },
    of: (login) => sent.get(login) ?? noUsage,
    logins: () => sent.keys(),
    digest: (login, address) => addressDigest(key, login, address),
    knows(login, digest, now) {
      const { days } = correspondentsOf(login);
      // Not read yet: the transaction of the promise knows.
      return days === undefined || (days.get(digest) ?? 0) >= dayOf(now) - rememberedDays;
    },
    look: () => follower.look(),
    close: () => follower.close(),
  };
}
