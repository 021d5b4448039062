/** Where `tpa-submit queue` reaches the relay that runs, and what a freeze is to that. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { type Ground, layFloor } from "../../server/control/actions.ts";
import { openDesk, type Wait } from "../../server/control/api.ts";
import {
  type Frost,
  type FrozenLogins,
  frostedSpool,
  newFrost,
  openFrozen,
} from "../../server/control/frozen-logins.ts";
import { type ControlSocket, listenForOrders } from "../../server/control/server.ts";
import { log } from "../../server/log/log.ts";
import type { Scheduler } from "../../server/queue/scheduler.ts";
import type { Spool } from "../../server/spool/spool.ts";
import { version } from "../../version.ts";
import { keepsakes } from "./usage.ts";

/** The socket's path where the configuration names none: whoever finds the spool finds the relay that has it. */
export function controlSocket({ control, spool }: Pick<Config, "control" | "spool">): string {
  return control.socket === "" ? join(spool.directory, "control") : control.socket;
}

/** A spool with its frozen logins. */
export interface Winter {
  readonly frozen: FrozenLogins;
  readonly frost: Frost;
  /** As scheduler and desk are to see it. */
  readonly spool: Spool;
}

/** Throws a Failure where the file of frozen logins cannot be understood. */
export async function openWinter(spool: Spool, directory: string): Promise<Winter> {
  const frozen = await openFrozen(frozenFile(directory));
  const frost = newFrost(frozen);
  return { frozen, frost, spool: frostedSpool(spool, frost) };
}

export const frozenFile = (directory: string): string => join(directory, "frozen");

/** Takes orders until it is closed. Throws a Failure where nobody could give any. */
export async function openControl(
  path: string,
  ground: Ground,
  scheduler: Scheduler,
): Promise<ControlSocket> {
  const socket = await listenForOrders(path, openDesk(layFloor(ground, scheduler), wait, keepsakes), version);
  log("listening", { door: "control", address: path });
  return socket;
}

export const wait: Wait = (milliseconds) => pause(milliseconds, undefined, { ref: false });
