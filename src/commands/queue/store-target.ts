/** Where `spool copy` brings messages to where that is the database of several hosts: all of them stopped. */
import type { Config } from "../../config/settings.ts";
import { checkFormat } from "../../postgres/migrations.ts";
import type { TakeParcel } from "../../server/control/protocol.ts";
import { logBug } from "../../server/log/log.ts";
import { usageIntoDatabase } from "../../server/shared/usage-copy.ts";
import { systemDisk } from "../../server/spool/disk.ts";
import { newMark, readOwner } from "../../server/spool/owner.ts";
import { noteSentCounted, refuseTakenStore } from "../../server/spool/postgres/imports.ts";
import { openSharedSpool } from "../../server/spool/postgres/spool.ts";
import type { Spool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import { openStore } from "../spool/database.ts";
import { openStoreControl } from "./store-connection.ts";
import { mustBeIdle } from "./store-source.ts";

/** This host's own folder, where nothing is done meanwhile: the source may have its lock. */
const noLocal = {
  async *damage() {
    // nothing is in it
  },
  repair: async () => false,
  scratch: () => Promise.reject(new Error("a copy needs none")),
  forget: async () => undefined,
  broken: new Promise<never>(() => undefined),
  close: async () => undefined,
};

export interface StoreTarget {
  readonly spool: Spool;
  readonly take: TakeParcel;
  readonly close: () => Promise<void>;
}

/**
 * `usage` is what the file of that name has in the source; it is taken over once. Throws a Failure where a host is at work, or
 * its messages went to another spool.
 */
export async function openStoreTarget(config: Config, usage: string): Promise<StoreTarget> {
  const database = await openStore(config);
  try {
    await checkFormat(database);
    await mustBeIdle(database, config);
    await refuseTakenStore(database, config.spool.store);
    const owner = await readOwner(systemDisk, config.spool.directory);
    const spool = await openSharedSpool(
      {
        host: config.hostname,
        owner: owner?.id ?? newMark(),
        version,
        lease: config.spool.lease,
        mark: config.spool["host-mark"],
      },
      {
        database,
        local: noLocal,
        now: Date.now,
        steady: () => performance.now(),
        events: {
          leaseOver: () => undefined,
          claimed: () => undefined,
          bug: (error) => logBug("the database", error),
        },
      },
    );
    // What a run that was killed has promised is this one's: a history is written by who has the message.
    await spool.claim(await spool.ids());
    const control = await openStoreControl(config, {
      ...{ spool, store: { database, spool }, disk: systemDisk },
      sent: async (handover) => {
        if (usage !== "")
          await usageIntoDatabase(database, usage, (query) => noteSentCounted(query, handover));
      },
    });
    return {
      spool,
      take: control.take,
      async close() {
        await control.close();
        await spool.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}
