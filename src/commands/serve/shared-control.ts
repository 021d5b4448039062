/** What operators can do on any of the hosts that share a database. Loaded only where the configuration names one. */
import type { Config } from "../../config/settings.ts";
import type { Database } from "../../postgres/database.ts";
import type { SessionsEnded } from "../../server/control/ended-sessions.ts";
import { newHandOver } from "../../server/control/hand-over.ts";
import { answerPeers, sharedQueue, withPeers } from "../../server/control/peers.ts";
import type {
  ControlApi,
  ControlRequest,
  FreezeRequest,
  FreezeResult,
  FrozenLogin,
  StoreState,
} from "../../server/control/protocol.ts";
import type { SharedQueue } from "../../server/control/query.ts";
import { openStoreImports, readIdentity } from "../../server/spool/postgres/imports.ts";
import { type SharedControl, wait } from "./control.ts";
import type { SharedStore } from "./store.ts";

export interface StoreOperations {
  readonly control: SharedControl;
  readonly queue: SharedQueue;
  readonly state: () => StoreState;
}

/** What they need of the relay. */
export interface StoreOperators {
  /** Takes no new mail from its call on. */
  readonly shut: (to: string) => Promise<void>;
  readonly endedSessions: SessionsEnded;
  /** Logins of which the other hosts do not know yet that they are frozen. */
  readonly frozenHere: () => readonly FrozenLogin[];
}

/** Throws as a query does. */
export async function openStoreOperations(
  { hostname, spool: settings }: Pick<Config, "hostname" | "spool">,
  { database, spool }: SharedStore,
  { shut, endedSessions, frozenHere }: StoreOperators,
): Promise<StoreOperations> {
  const { store: url } = settings;
  const { id } = await readIdentity(database);
  return {
    control: {
      handOver: (active) => newHandOver({ database, spool, active, shut, wait }),
      withOthers: (own) => withPeers(own, { database, lease: spool.lease, host: hostname }),
      answer: (own) => answerPeers({ database, lease: spool.lease, api: countingEnded(own, endedSessions) }),
      heir: {
        owner: { id, host: url },
        imports: (sender) => openStoreImports(database, sender),
      },
    },
    queue: sharedQueue(database, hostname),
    state: newStoreState(url, database, frozenHere),
  };
}

/** `own`, whose freeze counts the sessions that it found ended already: it was told of the freeze before it was asked. */
function countingEnded(own: ControlApi, { take }: SessionsEnded): ControlApi {
  async function* frozen(order: FreezeRequest): AsyncGenerator<FreezeResult> {
    for await (const result of own(order)) yield { ...result, sessions: result.sessions + take(order.login) };
  }
  const counting = (order: ControlRequest): AsyncIterable<unknown> =>
    order.verb === "freeze" ? frozen(order) : own(order);
  return counting as ControlApi;
}

/** Since when it is there or away, as far as somebody asked. */
function newStoreState(
  url: string,
  { isThere, whyStalled }: Pick<Database, "isThere" | "whyStalled">,
  frozenHere: StoreOperators["frozenHere"],
): () => StoreState {
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
    const reason = whyStalled();
    const frozen = frozenHere().map(({ login, at }) => ({ login, at }));
    return {
      ...{ url, there, since },
      ...(reason !== undefined && { reason }),
      ...(frozen.length > 0 && { frozenHere: frozen }),
    };
  };
}
