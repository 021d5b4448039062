/** The socket at which `tpa-submit queue` reaches the running relay. */
import { setTimeout as pause } from "node:timers/promises";
import { type ActionContextParts, newActionContext } from "../../server/control/actions.ts";
import { openControlApi, type Wait } from "../../server/control/api.ts";
import { type DrainedSpool, newDrainer } from "../../server/control/draining.ts";
import { newParcelTaker } from "../../server/control/parcels.ts";
import { type ControlServer, startControlServer } from "../../server/control/server.ts";
import { log } from "../../server/log/log.ts";
import type { Scheduler } from "../../server/queue/scheduler.ts";
import { version } from "../../version.ts";
import { keptFiles } from "./quota.ts";

/** Takes requests, and parcels for `spool`, until it is closed. Throws a Failure where the socket cannot be made. */
export async function openControl(
  path: string,
  parts: ActionContextParts,
  scheduler: Scheduler,
  spool: DrainedSpool,
): Promise<ControlServer> {
  const context = newActionContext(parts, scheduler);
  const api = openControlApi(context, wait, keptFiles, newDrainer(spool));
  const server = await startControlServer(path, api, version, newParcelTaker(context, spool));
  log("listening", { door: "control", address: path });
  return server;
}

export const wait: Wait = (milliseconds) => pause(milliseconds, undefined, { ref: false });
