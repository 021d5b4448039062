/**
 * One process owns a spool: an exclusive flock(2) on SPOOL/lock, which the kernel drops when we die, however we die.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { flock, rewrite } from "../../file-lock.ts";

export interface SpoolLock {
  release(): Promise<void>;
}

/**
 * Locks the file `path`, making it where it is missing, and writes `note` into it for people.
 * Throws a Failure that says who holds it, or why locking does not work here; the system's error where the file
 * cannot be opened.
 */
export async function takeLock(path: string, note: string): Promise<SpoolLock> {
  const file = await openOwn(path);
  try {
    await mustBeOwn(file, path);
    await mustBeFree(file, path);
    await rewrite(file, `${note}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    async release() {
      await rewrite(file, ""); // an old note would name a process that has nothing to do with it any more
      await file.close();
    },
  };
}

/** What is written into must be a file of this name, not what a link of this name points to. */
async function openOwn(path: string): Promise<FileHandle> {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    return await open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    if (errorCode(error) !== "ELOOP") throw error;
    throw new Failure(
      exitStatus.noPermission,
      `${path}: is a symbolic link, which is not followed; remove it`,
    );
  }
}

/** Another name of somebody's file would be emptied as well. */
async function mustBeOwn(file: FileHandle, path: string): Promise<void> {
  const found = await file.stat();
  const { uid, nlink } = found;
  const own = process.geteuid?.() ?? uid;
  const fault = !found.isFile()
    ? "is no file"
    : nlink > 1
      ? "has another name as well"
      : uid !== own && own !== 0
        ? `belongs to the user ${uid}, and this is the user ${own}`
        : "";
  if (fault !== "") throw new Failure(exitStatus.noPermission, `${path}: ${fault}; remove it`);
}

async function mustBeFree(file: FileHandle, path: string): Promise<void> {
  if (await flock(file, path, 0)) return;
  const holder = (await file.readFile("utf8")).trim() || "another process";
  throw new Failure(
    exitStatus.temporary,
    `${dirname(path)}: this spool is in use by ${holder}; stop that first, or name another directory in [spool]`,
  );
}
