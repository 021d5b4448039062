/** What the checks have in common: the configuration, and who the service is. */
import { access, constants, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, Failure } from "../../failure.ts";
import type { SystemUser } from "../system-user.ts";
import { failure, type Judgement } from "./rows.ts";
import type { ServiceUnit } from "./unit.ts";

/** Who the service runs as. */
export interface ServiceUser extends SystemUser {
  /** What makes us believe that it is this one. */
  readonly because: string;
}

export interface CheckContext {
  readonly config: Config;
  /** The file of the configuration. */
  readonly file: string;
  /** The service's, where it was started by one. */
  readonly unit: ServiceUnit | undefined;
  readonly user: ServiceUser;
  /** What to run to be the relay: Node.js and the program. */
  readonly program: readonly string[];
  /** Nobody else is asked, not even for the address of a relay. */
  readonly isOffline: boolean;
  /** Whose MX is tried at port 25. */
  readonly mxOf: string;
  /** Milliseconds after which a check that has found nothing is given up; null where each may take its time. */
  readonly patience: number | null;
  readonly now: () => number;
}

export type Look = (context: CheckContext) => Promise<readonly Judgement[]>;

/** What `work` finds; a Failure of it is a finding for each of its lines. */
export async function orFailures(work: () => Promise<readonly Judgement[]>): Promise<readonly Judgement[]> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message.split("\n").map(failure);
  }
}

/** What `work` gives, or undefined where the system refuses it. */
export async function orUndefined<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}

/** Why this process may not do `mode` (constants of node:fs) with `path`, naming the folder that is in the way. */
export async function whyClosed(path: string, mode: number): Promise<string | undefined> {
  try {
    await access(path, mode);
    return undefined;
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    if (code !== "EACCES") return errorText(error);
    const closed = await closedAbove(path);
    return closed === undefined ? "permission denied" : `permission denied in ${closed}`;
  }
}

/** The outermost folder above `path` that we may not enter. */
async function closedAbove(path: string): Promise<string | undefined> {
  const folders: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    folders.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  for (const folder of folders) {
    if ((await orUndefined(access(folder, constants.X_OK).then(() => true))) === undefined) return folder;
  }
  return undefined;
}

/** `path`, or the nearest folder above it that is there. */
export async function nearestThere(path: string): Promise<string> {
  let there = path;
  while ((await orUndefined(stat(there))) === undefined && there !== dirname(there)) there = dirname(there);
  return there;
}
