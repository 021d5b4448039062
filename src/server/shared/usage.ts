/** The usage of logins in the database that hosts share: what each sent, and to whom, so that limits hold across hosts. */
import { setTimeout as pause } from "node:timers/promises";
import { errorCode, errorText } from "../../failure.ts";
import type { Database, Query } from "../../postgres/database.ts";
import { log, logBug } from "../log/log.ts";
import type { SentEntry } from "../spool/parcel.ts";
import type { Spend, SpendRefusal } from "../spool/spend.ts";
import type { Allowance } from "../submission/limits/usage-limits.ts";
import { forgetUsage } from "./forget-usage.ts";
import { sharedKey } from "./secrets.ts";
import { addEntries, settleSpends } from "./settle.ts";
import { openUsageMirror, type UsageMirror } from "./usage-mirror.ts";

/** For whoever promises messages: in the transaction of the promises, before anything else is locked in it. */
export type SettleSpends = (
  query: Query,
  spends: readonly Spend[],
) => Promise<ReadonlyMap<Spend, SpendRefusal>>;

export interface SharedUsage {
  /** What this host knows of it. */
  readonly mirror: UsageMirror;
  readonly settle: SettleSpends;
  /** Counts what a login sent by way of another spool. Never throws: what cannot be counted is in the log. */
  add(entry: SentEntry): void;
  /** Resolves when what was added is written, or could not be. */
  close(): Promise<void>;
}

/** Milliseconds between two times at which what is old is forgotten, and from the start to the first one. Our choice. */
const forgetEvery = 6 * 3_600_000;
const firstForget = 600_000;

/** How long what is to be added waits for a database that is away, in milliseconds, and how often it is tried. */
const tries = 20;
const tryEvery = 500;

/** `allowance` is asked each time. Throws as a query does. */
export async function openSharedUsage(
  database: Database,
  allowance: () => Allowance,
  now: () => number,
): Promise<SharedUsage> {
  const mirror = await openUsageMirror(database, await sharedKey(database, "usage"));
  let last: Promise<void> = Promise.resolve();

  let forgetting = setTimeout(forget, firstForget).unref();

  function forget(): void {
    forgetting = setTimeout(forget, forgetEvery).unref();
    if (!database.isThere()) return;
    forgetUsage(database, now()).catch((error: unknown) => {
      if (errorCode(error) === "") logBug("forgetting the usage of logins", error); // else it is away: the next time
    });
  }

  async function write(entry: SentEntry): Promise<void> {
    for (let left = tries; ; left--) {
      try {
        await database.transaction((query) => addEntries(query, [{ ...entry, addresses: [] }]));
        return;
      } catch (error) {
        if (errorCode(error) === "") logBug("usage of logins", error);
        else if (left > 1) {
          await pause(tryEvery);
          continue;
        } else log("usage-unsaved", { file: "the database", reason: errorText(error) });
        return;
      }
    }
  }

  return {
    mirror,
    settle: (query, spends) => settleSpends(query, spends, allowance()),
    add(entry) {
      mirror.add({ ...entry, addresses: [] }, now());
      last = last.then(() => write(entry));
    },
    async close() {
      clearTimeout(forgetting);
      await last;
      await mirror.close();
    },
  };
}
