/** Where files of a running relay are, for whoever looks for them. */
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";

/** The socket's path where the configuration names none: whoever finds the spool finds the relay that has it. */
export function controlSocket({ control, spool }: Pick<Config, "control" | "spool">): string {
  return control.socket === "" ? join(spool.directory, "control") : control.socket;
}

export const frozenFile = (directory: string): string => join(directory, "frozen");
