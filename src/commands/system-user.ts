/** Users and groups of this system by their names, and becoming one of them for good. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";

/** A user with its groups, as numbers; the first group is its own. */
export interface SystemUser {
  /** Its name; its number where it has none. */
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** By name or number, with all groups it is in; undefined where there is no such user. */
export async function findUser(user: string): Promise<SystemUser | undefined> {
  const found = await lookUp("passwd", user);
  if (found === undefined) return undefined;
  const [name = user, , uid = "", gid = ""] = found;
  const listed = (await output("id", ["-G", "--", name])) ?? gid;
  const gids = [gid, ...listed.trim().split(/\s+/)].map(Number);
  return { name, uid: Number(uid), gids: [...new Set(gids)] };
}

/** The same; throws a Failure where there is none. `named` is what names it: `user`, "User= of FILE". */
export async function userNamed(user: string, named: string): Promise<SystemUser> {
  const found = await findUser(user);
  if (found) return found;
  throw new Failure(
    exitStatus.config,
    `there is no user ${user} (${named}); systemd-sysusers or adduser makes it`,
  );
}

/** The number of a group, by its name or number. Throws a Failure where there is none. */
export async function groupNamed(group: string, named: string): Promise<number> {
  const gid = (await lookUp("group", group))?.[2];
  if (gid !== undefined) return Number(gid);
  throw new Failure(
    exitStatus.config,
    `there is no group ${group} (${named}); systemd-sysusers or addgroup makes it`,
  );
}

/** `user`, with the group `first` in front of its own. */
export const inGroup = (user: SystemUser, first: number): SystemUser => ({
  ...user,
  gids: [...new Set([first, ...user.gids])],
});

/** The user of this process. */
export async function currentUser(): Promise<SystemUser> {
  const uid = process.geteuid?.() ?? 0;
  const name = (await lookUp("passwd", String(uid)))?.[0] ?? String(uid);
  return { name, uid, gids: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] };
}

/** The fields of an entry of one of the system's databases, whatever they are: getent(1). */
async function lookUp(database: "passwd" | "group", key: string): Promise<readonly string[] | undefined> {
  const line = await output("getent", ["--", database, key]);
  return line?.trimEnd().split(":");
}

/** Undefined where the program ends otherwise than well: "no such entry" has status 2 (getent(1)). */
async function output(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(program, [...words])).stdout;
  } catch (error) {
    if (error instanceof Error && "code" in error) return undefined;
    throw error;
  }
}

/**
 * Whether this Node.js lets a process change its user. Debian 13's does not: it cannot ask Debian's libuv whether that uses
 * io_uring, which would keep the rights of before (CVE-2024-22017).
 */
export function canBecome(): boolean {
  try {
    process.setgroups?.(process.getgroups?.() ?? []);
    return true;
  } catch (error) {
    if (errorCode(error) === "EPERM") return true; // not root, but it would be let
    return false;
  }
}

/** What runs `words` as `user`: setpriv(1), which is essential to Debian. */
export function wordsAs(
  { uid, gids: [gid = uid, ...others] }: SystemUser,
  words: readonly string[],
): readonly [string, ...string[]] {
  const groups = [gid, ...others].join(",");
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups}`, "--", ...words];
}

/** This process is `user` from now on, in every thread, and cannot go back. */
export function become({ name, uid, gids: [gid = uid, ...others] }: SystemUser): void {
  try {
    process.setgroups?.([gid, ...others]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    const advice = canBecome() ? "" : "; let systemd or setpriv(1) start it as that user";
    throw new Failure(
      exitStatus.noPermission,
      `cannot become the user ${name}: ${errorText(error)}${advice}`,
      {
        cause: error,
      },
    );
  }
}
