/** Where `tpa-submit queue` reaches the relay that runs, and what a freeze is to that. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { type ActionContextParts, newActionContext } from "../../server/control/actions.ts";
import { openControlApi, type Wait } from "../../server/control/api.ts";
import {
  type FreezeHold,
  type FrozenLogins,
  newFreezeHold,
  openFrozenLogins,
  spoolWithFreezes,
} from "../../server/control/frozen-logins.ts";
import { type ControlServer, startControlServer } from "../../server/control/server.ts";
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
export interface Freezes {
  readonly frozen: FrozenLogins;
  readonly freezeHold: FreezeHold;
  /** For the scheduler and the control API. */
  readonly spool: Spool;
}

/** Throws a Failure where the file of frozen logins cannot be understood. */
export async function openFreezes(spool: Spool, directory: string): Promise<Freezes> {
  const frozen = await openFrozenLogins(frozenFile(directory));
  const freezeHold = newFreezeHold(frozen);
  return { frozen, freezeHold, spool: spoolWithFreezes(spool, freezeHold) };
}

export const frozenFile = (directory: string): string => join(directory, "frozen");

/** Takes orders until it is closed. Throws a Failure where nobody could give any. */
export async function openControl(
  path: string,
  ground: ActionContextParts,
  scheduler: Scheduler,
): Promise<ControlServer> {
  const socket = await startControlServer(
    path,
    openControlApi(newActionContext(ground, scheduler), wait, keepsakes),
    version,
  );
  log("listening", { door: "control", address: path });
  return socket;
}

export const wait: Wait = (milliseconds) => pause(milliseconds, undefined, { ref: false });
