/** What hosts know together where their spool is in one database, as a relay uses it. */
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import type { Database } from "../../postgres/database.ts";
import { openSharedFrozenLogins, type SharedFrozenLogins } from "../../server/shared/frozen-logins.ts";
import { openSharedRateLimiter } from "../../server/shared/guesses.ts";
import { openSharedStsCache, type SharedStsCache } from "../../server/shared/sts-cache.ts";
import { openSharedUsage, type SharedUsage } from "../../server/shared/usage.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { envelopeOf, type MessageRow } from "../../server/spool/postgres/reader.ts";
import { isDamaged } from "../../server/spool/spool.ts";
import type { SharingRateLimiter } from "../../server/submission/limits/auth-rate-limiter.ts";
import { allowanceOf } from "./quota.ts";

export interface SharedState {
  readonly usage: SharedUsage;
  readonly frozen: SharedFrozenLogins;
  readonly authLimiter: SharingRateLimiter;
  readonly stsCache: SharedStsCache;
  /** The database itself stays open. */
  close(): Promise<void>;
}

/** Hears of each commit of the database: of how many changes, and how long it took. */
export type CommitWatch = (changes: number, seconds: number) => void;

/** What a relay, which promises messages, has to do with it. */
export interface StoreUse {
  /** Asked each time. */
  readonly limits: () => Config["limits"];
  readonly committed: CommitWatch;
}

/** What a relay has beside that. */
export interface SharedByRelay extends SharedState {
  /** The messages of these logins that this host delivers. Throws as a query does. */
  readonly ownMessages: (logins: ReadonlySet<string>) => AsyncIterable<Envelope>;
}

/** The file in `directory` of logins whose freeze the other hosts do not know of yet. */
export const untoldFile = (directory: string): string => join(directory, "frozen-here");

/** `limits` is asked each time. Throws a Failure where the frozen logins cannot be known, and as a query does. */
export async function openShared(
  database: Database,
  directory: string,
  limits: () => Config["limits"],
): Promise<SharedState> {
  const opened: { close(): Promise<void> }[] = [];
  const open = <Part extends { close(): Promise<void> }>(part: Part): Part => {
    opened.push(part);
    return part;
  };
  const close = async (): Promise<void> => {
    for (const part of opened.splice(0).reverse()) await part.close();
  };
  try {
    const frozen = open(await openSharedFrozenLogins(database, untoldFile(directory)));
    const usage = open(await openSharedUsage(database, () => allowanceOf(limits()), Date.now));
    const { limiter: authLimiter } = open(await openSharedRateLimiter(database, Date.now));
    const stsCache = open(await openSharedStsCache(database));
    return { usage, frozen, authLimiter, stsCache, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Messages that are read at a time. Our choice. */
const atATime = 500;

/** The messages of `logins` that this host delivers. Throws as a query does. */
export async function* ownMessages(
  database: Database,
  lease: () => number,
  logins: ReadonlySet<string>,
): AsyncGenerator<Envelope> {
  let last = "";
  for (;;) {
    const rows = await database.query<MessageRow>(
      `SELECT id, envelope FROM messages WHERE lease = $1 AND login = ANY($2::text[]) AND id > $3
       ORDER BY id LIMIT ${atATime}`,
      [lease(), [...logins], last],
    );
    for (const row of rows) {
      const envelope = envelopeOf(row);
      if (!isDamaged(envelope)) yield envelope;
    }
    if (rows.length < atATime) return;
    last = rows.at(-1)?.id ?? "";
  }
}
