/**
 * The queue of hosts that share a database, for a command: what is shown is read there, and what is changed is changed by the
 * host that has the message, or here where no host is at work. Loaded only where the configuration names a database.
 */
import type { Config } from "../../config/settings.ts";
import { checkFormat } from "../../postgres/migrations.ts";
import { newActionContext, type SubmissionSessions } from "../../server/control/actions.ts";
import { openControlApi, openQueryApi } from "../../server/control/api.ts";
import {
  type FrozenLogins,
  newFreezeHold,
  openFrozenLogins,
  readerWithFreezes,
  spoolWithFreezes,
} from "../../server/control/frozen-logins.ts";
import { newParcelTaker } from "../../server/control/parcels.ts";
import { activeEverywhere, sessionsOnOthers, sharedQueue, withPeers } from "../../server/control/peers.ts";
import type {
  CheckedDamage,
  ControlApi,
  FrozenLogin,
  HostSessions,
  QueryApi,
  TakeParcel,
} from "../../server/control/protocol.ts";
import type { Disk } from "../../server/spool/disk.ts";
import { openStoreImports, readIdentity } from "../../server/spool/postgres/imports.ts";
import { claimOrphans } from "../../server/spool/postgres/orphans.ts";
import { newStoreReader } from "../../server/spool/postgres/reader.ts";
import { isDamaged, type Spool } from "../../server/spool/spool.ts";
import { wait } from "../serve/control.ts";
import { retryPolicyOf } from "../serve/delivery.ts";
import { keptFiles, sharedQuota } from "../serve/quota.ts";
import { reportContacts } from "../serve/session-rules.ts";
import { openShared, untoldFile } from "../serve/several-hosts.ts";
import type { SharedStore } from "../serve/store.ts";
import { openStore } from "../spool/database.ts";

/** For reading. Throws a Failure where the database is not there, or of another format. */
export async function openStoreQuery(
  config: Config,
): Promise<{ readonly api: QueryApi; readonly close: () => Promise<void> }> {
  const database = await openStore(config);
  try {
    await checkFormat(database);
    const known = await database.query<FrozenLogin>(
      "SELECT login, at, by, reason FROM frozen ORDER BY login",
    );
    const here = await openFrozenLogins(untoldFile(config.spool.directory));
    const byLogin = new Map([...known, ...here.all()].map((one) => [one.login, one]));
    const frozen = [...byLogin.values()];
    const hold = newFreezeHold({ of: (login) => byLogin.get(login) });
    const active = await activeEverywhere(database);
    const api = openQueryApi({
      spool: readerWithFreezes(newStoreReader(database), hold),
      frozen: { all: () => frozen },
      active: () => active,
      now: Date.now,
      shared: sharedQueue(database, config.hostname),
    });
    return { api, close: () => database.close() };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** The sessions of `login` on each host at work, for who has no relay to ask. Throws as {@link openStoreQuery} does. */
export async function sessionsOnHosts(config: Config, login: string): Promise<readonly HostSessions[]> {
  const database = await openStore(config);
  try {
    await checkFormat(database);
    return await sessionsOnOthers(login, { database, lease: () => undefined, host: config.hostname });
  } finally {
    await database.close();
  }
}

/** Each message that cannot be read whole. Nothing of it can be repaired: an envelope has no second copy. */
export async function openStoreVerify(config: Config): Promise<{
  readonly api: () => AsyncGenerator<CheckedDamage>;
  readonly close: () => Promise<void>;
}> {
  const database = await openStore(config);
  try {
    await checkFormat(database);
    const reader = newStoreReader(database);
    const { directory } = config.spool;
    return {
      async *api() {
        yield* frozenHere(await openFrozenLogins(untoldFile(directory)));
        for (const id of await reader.ids()) {
          const found = await reader.read(id);
          if (isDamaged(found) && (await reader.has(id)))
            yield { fault: found.damaged, remedy: dropIt, repairable: false, repaired: false };
        }
      },
      close: () => database.close(),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** While the database is there the others hear of it within a second. */
function* frozenHere(file: FrozenLogins): Generator<CheckedDamage> {
  for (const { login, at } of file.all()) {
    const fault = `${login} is frozen on this host only, since ${new Date(at).toISOString()}: the other hosts let it in`;
    yield { fault, remedy: tellThem, repairable: false, repaired: false };
  }
}

const tellThem = "start this host's relay, which tells them; or freeze it on one of them";

const dropIt = "leave it; queue drop removes the message";

/** What a command has of a host whose relay does not run. */
export interface StoreControl {
  readonly api: ControlApi;
  readonly take: TakeParcel;
  readonly close: () => Promise<void>;
}

/** For changes, under a lease of this command's own; it takes over nothing but what it is to change and nobody else has. */
export async function openStoreControl(
  config: Config,
  {
    spool,
    store,
    disk,
    sent,
  }: {
    readonly spool: Spool;
    readonly store: SharedStore;
    readonly disk: Disk;
    /** Called when what logins sent elsewhere is to be taken over, until it is noted that it came: it may be there already. */
    readonly sent?: (handover: string) => Promise<void>;
  },
): Promise<StoreControl> {
  const { database } = store;
  const { hostname } = config;
  const { directory } = config.spool;
  const shared = await openShared(database, directory, () => config.limits);
  const quota = sharedQuota(shared.usage, () => config.limits);
  const freezeHold = newFreezeHold(shared.frozen);
  const sessions: SubmissionSessions = {
    sessionsOf: () => 0,
    endSessions: () => 0,
    whyUnknown: async () => "",
    sent: quota.sent,
    limitsOf: (login) => quota.quota.useOf(login),
    blocksOf: (login) => shared.authLimiter.blocksOf(login),
    unblock: (what) => shared.authLimiter.unblock(what),
    addSent: quota.add,
  };
  const context = newActionContext({
    spool: spoolWithFreezes(spool, freezeHold),
    frozen: shared.frozen,
    freezeHold,
    sessions,
    relayState: async () => undefined,
    retryPolicy: retryPolicyOf(config),
    now: Date.now,
    hostname,
    contactOf: reportContacts(config),
    shared: sharedQueue(database, hostname),
  });
  const { id } = await readIdentity(database);
  return {
    api: withPeers(openControlApi(context, wait, keptFiles), {
      database,
      lease: store.spool.lease,
      host: hostname,
      claim: (ids) => claimOrphans(database, store.spool.lease(), ids),
    }),
    take: newParcelTaker(context, {
      disk,
      directory,
      owner: { id, host: config.spool.store },
      async imports(sender) {
        const notes = await openStoreImports(database, sender);
        return {
          ...notes,
          async add(extra) {
            if (extra === "sent") await sent?.(sender.handover);
            await notes.add(extra);
          },
        };
      },
    }),
    close: () => shared.close(),
  };
}
