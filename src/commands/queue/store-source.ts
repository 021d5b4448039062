/** What `spool copy` takes messages from where that is the database of several hosts: all of them stopped. */
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { Database } from "../../postgres/database.ts";
import { usageFromDatabase } from "../../server/shared/usage-copy.ts";
import { systemDisk } from "../../server/spool/disk.ts";
import { newMark, readOwner } from "../../server/spool/owner.ts";
import type { FrozenEntry } from "../../server/spool/parcel.ts";
import { giveStore, readIdentity, takenStoreFailure } from "../../server/spool/postgres/imports.ts";
import { newStoreReader } from "../../server/spool/postgres/reader.ts";
import { openStore } from "../spool/database.ts";
import type { ParcelSource } from "./source.ts";

/** Throws a Failure where a host is at work, or the messages went to another spool. */
export async function openStoreSource(configuration: Config): Promise<ParcelSource> {
  const { store } = configuration.spool;
  const { checkFormat } = await import("../../postgres/migrations.ts");
  const database = await openStore(configuration);
  try {
    await checkFormat(database);
    await mustBeIdle(database, configuration);
    const { id, taken } = await readIdentity(database);
    const handover = taken?.handover ?? newMark();
    const reader = newStoreReader(database);
    return {
      sender: { kind: "take", handover, spool: id, host: store },
      ids: await reader.ids(),
      frozen: await database.query<FrozenEntry>("SELECT login, at, by, reason FROM frozen ORDER BY login"),
      sent: [],
      usage: () => usageFromDatabase(database, Date.now()),
      async read(one) {
        const envelope = await reader.read(one);
        if ("damaged" in envelope) return envelope;
        return { envelope, history: await reader.history(one), octets: () => reader.body(one) };
      },
      async give(heir) {
        if (taken !== undefined && taken.spool !== heir.spool) throw takenStoreFailure(store, taken);
        if (taken === undefined) await giveStore(database, { handover, spool: heir.spool, host: heir.host });
      },
      forget: async () => undefined,
      close: () => database.close(),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** No relay may be at work on what is copied. What has the lock of this host's folder knows that its own relay is not. */
export async function mustBeIdle(database: Database, { spool }: Pick<Config, "spool">): Promise<void> {
  const own = (await readOwner(systemDisk, spool.directory))?.id ?? "";
  const [living] = await database.query<{ readonly host: string }>(
    "SELECT host FROM leases WHERE NOT ended AND until > now() AND owner <> $1 ORDER BY host",
    [own],
  );
  if (living === undefined) return;
  throw new Failure(
    exitStatus.temporary,
    `${living.host} is at work with this database; stop its relay, or wait until its lease has ended if it is dead`,
  );
}
