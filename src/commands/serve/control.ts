/** The socket at which `tpa-submit queue` reaches the running relay. */
import { setTimeout as pause } from "node:timers/promises";
import { type ActionContextParts, newActionContext } from "../../server/control/actions.ts";
import { openControlApi, type Wait } from "../../server/control/api.ts";
import { type DrainedSpool, newDrainer } from "../../server/control/draining.ts";
import type { HandOver } from "../../server/control/hand-over.ts";
import { type Heir, newParcelTaker } from "../../server/control/parcels.ts";
import type { ControlApi } from "../../server/control/protocol.ts";
import { type ControlServer, startControlServer } from "../../server/control/server.ts";
import { log } from "../../server/log/log.ts";
import type { Scheduler } from "../../server/queue/scheduler.ts";
import { version } from "../../version.ts";
import { keptFiles } from "./quota.ts";

/** What a relay adds that shares its queue with others. */
export interface SharedControl {
  /** The messages for which an attempt is under way decide what is handed over. */
  readonly handOver: (active: Scheduler["active"]) => HandOver;
  /** Asks the other hosts as well. */
  readonly withOthers: (own: ControlApi) => ControlApi;
  /** Answers them. */
  readonly answer: (own: ControlApi) => { close(): Promise<void> };
  readonly heir: Pick<Heir, "owner" | "imports">;
}

/** Takes requests, and parcels for `spool`, until it is closed. Throws a Failure where the socket cannot be made. */
export async function openControl(
  path: string,
  parts: ActionContextParts,
  scheduler: Scheduler,
  spool: DrainedSpool,
  shared?: SharedControl,
): Promise<ControlServer> {
  const context = newActionContext(parts, scheduler);
  const handOver = shared?.handOver(() => scheduler.active());
  const own = openControlApi(context, wait, keptFiles, newDrainer(spool), handOver?.handle);
  const api = shared?.withOthers(own) ?? own;
  const take = newParcelTaker(context, { ...spool, ...shared?.heir });
  const known = () => parts.spool.known();
  const server = await startControlServer(path, api, version, { take, known });
  const answering = shared?.answer(own);
  log("listening", { door: "control", address: path });
  return {
    async close() {
      handOver?.close();
      await server.close();
      await answering?.close();
    },
  };
}

export const wait: Wait = (milliseconds) => pause(milliseconds, undefined, { ref: false });
