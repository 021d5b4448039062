/** A file that sync keeps: read as it is, replaced as a whole, with an owner and a time that its readers can use. */
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { replaceFile } from "../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";
import { type FileLock, takeFileLock } from "../file-lock.ts";

/** A file as it was found. */
export interface FileState {
  readonly octets: Buffer;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** Whose the file shall be, in numbers; as it is now where they are absent. `mode` is its permission bits. */
export interface Ownership {
  readonly uid?: number;
  readonly gid?: number;
  readonly mode: number;
}

/** From names or numbers, "" for as it is now. Throws a Failure where the system knows no such name. */
export async function readOwnership(owner: string, group: string, mode: number): Promise<Ownership> {
  const uid = owner === "" ? {} : { uid: await numberOf("passwd", owner, "sync.owner") };
  const gid = group === "" ? {} : { gid: await numberOf("group", group, "sync.group") };
  return { ...uid, ...gid, mode };
}

/** The file, or undefined where there is none yet. Throws a Failure where it cannot be read. */
export async function findFile(path: string): Promise<FileState | undefined> {
  try {
    const { uid, gid, mode, mtimeMs } = await stat(path);
    return { octets: await readFile(path), uid, gid, mode: mode & 0o7777, modified: mtimeMs };
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") return undefined;
    if (code === "") throw error;
    throw new Failure(exitStatus.ioError, `cannot read ${path}: ${errorText(error)}; nothing was changed`);
  }
}

/**
 * Keeps other writers from the file until it is released. Throws a Failure (status 73, 75 or 77) where that is not to
 * be had.
 */
export async function lockFile(path: string): Promise<FileLock> {
  try {
    return await takeFileLock(path, "tpa-submit sync");
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Whether a file already is what it should be. */
export function isAsWanted(found: FileState | undefined, text: string, wanted: Ownership): boolean {
  if (found === undefined || !found.octets.equals(Buffer.from(text))) return false;
  const { uid = found.uid, gid = found.gid, mode } = wanted;
  return found.uid === uid && found.gid === gid && found.mode === mode;
}

/**
 * Replaces the file `path`, which was `before`, at the time `now`. The new one is later by a whole second at least:
 * Dovecot notices a file by its size and the second of its time alone.
 * Throws a Failure (status 73) where it cannot be written; the old file stays.
 */
export async function putFile(
  path: string,
  text: string,
  as: Ownership,
  { before, now }: { readonly before: FileState | undefined; readonly now: number },
): Promise<void> {
  const next = before === undefined ? now : (Math.floor(before.modified / 1000) + 1) * 1000;
  const owner = before === undefined ? {} : { uid: before.uid, gid: before.gid };
  try {
    await replaceFile(path, text, { ...owner, ...as, mtime: Math.max(now, next) });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): unknown {
  if (errorCode(error) === "") return error;
  return new Failure(
    exitStatus.cannotCreate,
    `cannot write ${path}: ${errorText(error)}; the file stays as it was`,
    { cause: error },
  );
}

/** The number of a user or group; the system's own databases, whatever they are, are asked by getent(1). */
async function numberOf(database: "passwd" | "group", name: string, setting: string): Promise<number> {
  if (/^\d{1,10}$/.test(name)) return Number(name);
  try {
    const { stdout } = await promisify(execFile)("getent", ["--", database, name]);
    return Number(stdout.split(":")[2]);
  } catch (error) {
    throw new Failure(exitStatus.config, `${setting}: there is no ${name} in ${database}`, { cause: error });
  }
}
