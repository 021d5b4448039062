/**
 * One process owns a spool: an exclusive flock(2) on SPOOL/lock. Node cannot call flock(2); flock(1), which every
 * Debian has (util-linux is essential), takes it on a descriptor that it inherits from us. The lock belongs to the
 * open file and not to the process, so it stays with us when flock(1) has ended, and the kernel drops it when we
 * die, however we die: no stale lock files, no process IDs to compare.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface Lock {
  release(): Promise<void>;
}

/** flock(1) ends with this when somebody else holds the lock. */
const taken = 1;

/**
 * Locks the file `path`, making it where it is missing, and writes `note` into it for people.
 * Throws a Failure that says who holds it, or why locking does not work here; the system's error where the file
 * cannot be opened.
 */
export async function takeLock(path: string, note: string): Promise<Lock> {
  const file = await openOwn(path);
  try {
    await mustBeOwn(file, path);
    await flock(file, path);
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

/** The note is for people: a full disk keeps it from being written, not the relay from starting. */
async function rewrite(file: FileHandle, note: string): Promise<void> {
  try {
    await file.truncate(0);
    await file.writeFile(note);
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes(errorCode(error))) throw error;
  }
}

async function flock(file: FileHandle, path: string): Promise<void> {
  let said = "";
  // Short options: busybox knows these as well.
  const child = spawn("flock", ["-x", "-n", "3"], { stdio: ["ignore", "ignore", "pipe", file.fd] });
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  let status: unknown;
  try {
    [status] = await once(child, "close");
  } catch (error) {
    const reason = `flock(1) of util-linux cannot be run: ${errorText(error)}`;
    throw new Failure(exitStatus.unavailable, `${path}: cannot be locked: ${reason}`);
  }
  if (status === 0) return;
  if (status !== taken) {
    const reason = said.trim() || `flock(1) ended with ${String(status)}`;
    throw new Failure(exitStatus.unavailable, `${path}: cannot be locked: ${reason}`);
  }
  const holder = (await file.readFile("utf8")).trim() || "another process";
  throw new Failure(
    exitStatus.temporary,
    `${dirname(path)}: this spool is in use by ${holder}; stop that first, or name another directory in [spool]`,
  );
}
