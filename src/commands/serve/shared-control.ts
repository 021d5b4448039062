/** What operators can do on any of the hosts that share a database. Loaded only where the configuration names one. */
import type { Config } from "../../config/settings.ts";
import { newHandOver } from "../../server/control/hand-over.ts";
import { answerPeers, sharedQueue, withPeers } from "../../server/control/peers.ts";
import type { StoreState } from "../../server/control/protocol.ts";
import type { SharedQueue } from "../../server/control/query.ts";
import { openStoreImports, readIdentity } from "../../server/spool/postgres/imports.ts";
import { type SharedControl, wait } from "./control.ts";
import type { SharedStore } from "./several-hosts.ts";

export interface StoreOperations {
  readonly control: SharedControl;
  readonly queue: SharedQueue;
  readonly state: () => StoreState;
}

/** `shut` takes no new mail from its call on. Throws as a query does. */
export async function openStoreOperations(
  { hostname, spool: settings }: Pick<Config, "hostname" | "spool">,
  { database, spool }: Pick<SharedStore, "database" | "spool">,
  shut: (to: string) => Promise<void>,
): Promise<StoreOperations> {
  const { store: url } = settings;
  const { id } = await readIdentity(database);
  return {
    control: {
      handOver: (active) => newHandOver({ database, spool, active, shut, wait }),
      withOthers: (own) => withPeers(own, { database, lease: spool.lease, host: hostname }),
      answer: (api) => answerPeers({ database, lease: spool.lease, api }),
      heir: {
        owner: { id, host: url },
        imports: (sender) => openStoreImports(database, sender),
      },
    },
    queue: sharedQueue(database, hostname),
    state: newStoreState(url, database.isThere),
  };
}

/** Since when it is there or away, as far as somebody asked. */
function newStoreState(url: string, isThere: () => boolean): () => StoreState {
  let there = isThere();
  let since = Date.now();
  const look = (): void => {
    if (isThere() === there) return;
    there = !there;
    since = Date.now();
  };
  setInterval(look, 1_000).unref();
  return () => {
    look();
    return { url, there, since };
  };
}
