/**
 * Who the service runs as, and how this process becomes that user: only so are permissions seen as the service meets them,
 * groups, ACLs and read-only mounts included.
 */
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { ServiceUnit } from "./unit.ts";

/** A user with its groups, as numbers; the first group is its own. */
export interface ServiceUser {
  /** Its name; its number where it has none. */
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
  /** What makes us believe that it is this one. */
  readonly because: string;
}

/** What can tell who it is. */
export interface UserSources {
  readonly unit: ServiceUnit | undefined;
  /** The spool's folder. */
  readonly spool: string;
}

/**
 * The unit's user, or else the owner of the spool, or else whoever asks. Throws a Failure where the user or a group that is
 * named does not exist.
 */
export async function serviceUser({ unit, spool }: UserSources): Promise<ServiceUser> {
  if (unit && unit.user !== "") {
    const because = `User= of ${unit.path}`;
    const user = await userNamed(unit.user, because);
    const group = unit.group === "" ? user.gids : [await groupNamed(unit.group, `Group= of ${unit.path}`)];
    const others: number[] = [];
    for (const name of unit.supplementaryGroups) {
      others.push(await groupNamed(name, `SupplementaryGroups= of ${unit.path}`));
    }
    return { ...user, gids: [...new Set([...group, ...user.gids, ...others])] };
  }
  const owner = await ownerOf(spool);
  if (owner !== undefined) {
    return (await lookUp("passwd", String(owner.uid))) === undefined
      ? { name: String(owner.uid), uid: owner.uid, gids: [owner.gid], because: `it has ${spool}` }
      : userNamed(String(owner.uid), `it has ${spool}`);
  }
  return { ...(await asker()), because: "who runs this check" };
}

/** The user of this process. */
async function asker(): Promise<Omit<ServiceUser, "because">> {
  const uid = process.geteuid?.() ?? 0;
  const name = (await lookUp("passwd", String(uid)))?.[0] ?? String(uid);
  return { name, uid, gids: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] };
}

async function ownerOf(path: string): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}

/** By name or number, with all groups it is in. Throws a Failure where there is no such user. */
async function userNamed(user: string, because: string): Promise<ServiceUser> {
  const found = await lookUp("passwd", user);
  if (found === undefined) {
    throw new Failure(exitStatus.config, `there is no user ${user} (${because}): systemd-sysusers makes it`);
  }
  const [name = user, , uid = "", gid = ""] = found;
  const listed = (await output("id", ["-G", "--", name])) ?? gid;
  const gids = [gid, ...listed.trim().split(/\s+/)].map(Number);
  return { name, uid: Number(uid), gids: [...new Set(gids)], because };
}

async function groupNamed(group: string, because: string): Promise<number> {
  const gid = (await lookUp("group", group))?.[2];
  if (gid !== undefined) return Number(gid);
  throw new Failure(
    exitStatus.config,
    `there is no group ${group} (${because}): the service would not start`,
  );
}

/** The fields of an entry of one of the system's databases, whatever they are: getent(1). */
async function lookUp(database: "passwd" | "group", key: string): Promise<readonly string[] | undefined> {
  const line = await output("getent", ["--", database, key]);
  return line?.trimEnd().split(":");
}

async function output(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(program, [...words])).stdout;
  } catch (error) {
    // Status 2 is "no such entry" (getent(1)); a program that is missing is the same to us.
    if (errorCode(error) !== "" || (error instanceof Error && "code" in error)) return undefined;
    throw error;
  }
}

/** This process is `user` from now on, in every thread, for good. */
export function become({ uid, gids: [gid = uid, ...others] }: Pick<ServiceUser, "uid" | "gids">): void {
  try {
    process.setgroups?.([gid, ...others]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    throw new Failure(exitStatus.noPermission, `the user ${uid} cannot be taken on: ${errorText(error)}`, {
      cause: error,
    });
  }
}
