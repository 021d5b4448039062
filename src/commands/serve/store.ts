/** The database in which several hosts have one spool, as the relay uses it. Loaded only where the configuration names one. */
import type { Config } from "../../config/settings.ts";
import { type Database, openDatabase } from "../../postgres/database.ts";
import { checkFormat } from "../../postgres/migrations.ts";
import { storeAccess } from "../../postgres/settings.ts";
import { log, logBug } from "../../server/log/log.ts";
import { type SpoolOwner, takenFailure } from "../../server/spool/owner.ts";
import { readIdentity, refuseTakenStore, settleStoreImports } from "../../server/spool/postgres/imports.ts";
import { openSharedSpool, type SharedSpool } from "../../server/spool/postgres/spool.ts";
import type { Spool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import type { CommitWatch } from "./several-hosts.ts";

/** The database, and the spool in it. */
export interface SharedStore {
  readonly database: Database;
  readonly spool: SharedSpool;
}

/** The database that the configuration names, with what it has to have. Throws a Failure of one line. */
export async function openStoreDatabase({
  spool,
  hostname,
}: Pick<Config, "spool" | "hostname">): Promise<Database> {
  let awaySince = 0;
  const database = await openDatabase(await storeAccess(spool), hostname, {
    away(reason) {
      awaySince = performance.now();
      log("store-away", { reason });
    },
    back() {
      log("store-back", { seconds: (performance.now() - awaySince) / 1000 });
    },
  });
  try {
    await checkFormat(database);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** `local` is the host's own folder. Throws a Failure of one line. */
export async function openRelayStore(
  config: Pick<Config, "spool" | "hostname">,
  owner: SpoolOwner,
  local: Spool,
  committed: CommitWatch | undefined,
): Promise<SharedStore> {
  const database = await openStoreDatabase(config);
  try {
    const { id } = await readIdentity(database);
    const { directory, store } = config.spool;
    if (owner.taken !== undefined && owner.taken.spool !== id) throw takenFailure(directory, owner.taken);
    await refuseTakenStore(database, store);
    await settleStoreImports(database);
    const spool = await openSharedSpool(
      {
        host: config.hostname,
        owner: owner.id,
        version,
        lease: config.spool.lease,
        mark: config.spool["host-mark"],
      },
      {
        database,
        local,
        now: Date.now,
        steady: () => performance.now(),
        events: {
          leaseOver: (reason) => log("lease-over", { reason }),
          claimed: (host, messages) => log("claimed", { host, messages }),
          ...(committed && { committed }),
          bug: (error) => logBug("the database", error),
        },
      },
    );
    const close = async (): Promise<void> => {
      await spool.close();
      await database.close();
    };
    return { database, spool: { ...spool, close } };
  } catch (error) {
    await database.close();
    throw error;
  }
}
