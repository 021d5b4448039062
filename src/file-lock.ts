/**
 * One writer of a file at a time, for those who read a file and replace it by what they made of it: an exclusive
 * flock(2) on `.NAME.lock` beside it. Node cannot call flock(2); flock(1), which every Debian has (util-linux is
 * essential), takes it on a descriptor that it inherits from us. The lock belongs to the open file and not to the
 * process, so it stays with us when flock(1) has ended, and the kernel drops it when we die, however we die: no stale
 * locks, no process IDs to compare. The file of the lock is never removed: whoever waits for it has it open, and would
 * get a lock that the next one does not see.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { removeDrafts } from "./durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "./failure.ts";

export interface FileLock {
  /** The file that is locked, where symbolic links lead. */
  readonly file: string;
  release(): Promise<void>;
}

/** Milliseconds that a writer waits for the others; each of them needs a few fsyncs. Our choice. */
const standardPatience = 10_000;

/**
 * Locks the file `path`, which need not be there, and removes the drafts beside it that dead writers left: only who
 * holds the lock writes any. `holder` is told to those who wait in vain. Throws a Failure where somebody holds it for
 * longer than `patience` milliseconds, or where what is beside the file is no lock; the system's error (EACCES, …)
 * where the lock cannot be opened or made.
 */
export async function takeFileLock(
  path: string,
  holder: string,
  patience = standardPatience,
): Promise<FileLock> {
  for (let time = 0; time < attempts; time += 1) {
    const file = await placeOf(path);
    const name = join(dirname(file), `.${basename(file)}.lock`);
    const lock = await openLock(name);
    try {
      if (!(await flock(lock, name, patience))) throw await heldTooLong(lock, name, patience);
      // While we waited the link may have been turned, or somebody may have removed the lock.
      if ((await isStillThere(lock, name)) && (await placeOf(path)) === file) {
        await rewrite(lock, `process ${process.pid} (${holder})\n`);
        await removeDrafts(file);
        return { file, release: () => release(lock) };
      }
    } catch (error) {
      await lock.close();
      throw error;
    }
    await lock.close();
  }
  throw new Failure(exitStatus.temporary, `${path}: its lock is replaced again and again; try again later`);
}

/** How often something that changes under our hands is tried again. */
const attempts = 20;

/** Milliseconds between two looks at a lock that somebody is just making. */
const beat = 50;

/**
 * Takes an exclusive flock(2) on `file`, which is open; false where somebody else holds it for longer than `patience`
 * milliseconds, and with 0 where somebody holds it now. Throws a Failure that names `path` where locking does not work.
 */
export async function flock(file: FileHandle, path: string, patience: number): Promise<boolean> {
  let said = "";
  // Short options, and no -w: busybox knows these as well.
  const child = spawn("flock", patience === 0 ? ["-x", "-n", "3"] : ["-x", "3"], {
    stdio: ["ignore", "ignore", "pipe", file.fd],
    timeout: patience,
  });
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  let ended: unknown[];
  try {
    ended = await once(child, "close");
  } catch (error) {
    const reason = `flock(1) of util-linux cannot be run: ${errorText(error)}`;
    throw new Failure(exitStatus.unavailable, `${path}: cannot be locked: ${reason}`);
  }
  const [status, signal] = ended;
  if (status === 0) return true;
  if (patience === 0 ? status === taken : child.killed) return false;
  const reason = said.trim() || `flock(1) ended with ${String(status ?? signal)}`;
  throw new Failure(exitStatus.unavailable, `${path}: cannot be locked: ${reason}`);
}

/** flock(1) -n ends with this when somebody else holds the lock. */
const taken = 1;

/** What is in a lock is for people: a full disk keeps it from being written, and nothing else from being done. */
export async function rewrite(file: FileHandle, note: string): Promise<void> {
  try {
    await file.truncate(0);
    await file.write(note, 0);
  } catch (error) {
    if (!["ENOSPC", "EDQUOT"].includes(errorCode(error))) throw error;
  }
}

/** An old note would name a process that has nothing to do with it any more. */
async function release(lock: FileHandle): Promise<void> {
  try {
    await rewrite(lock, "");
  } finally {
    await lock.close();
  }
}

/** Where the file is that `path` names; one that is not there is to be in its folder. */
async function placeOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    return join(await realpath(dirname(path)), basename(path));
  }
}

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
const plainly = O_RDWR | O_NOFOLLOW | O_NONBLOCK;

/** What is there, or a new one. It is written into, so it must be a file of this name and of no other. */
async function openLock(name: string): Promise<FileHandle> {
  for (let time = 1; ; time += 1) {
    try {
      return await mustBePlain(await open(name, plainly), name);
    } catch (error) {
      const code = errorCode(error);
      const kind = linkOrFolder[code];
      if (kind !== undefined) throw new Failure(exitStatus.noPermission, `${name}: ${kind}; remove it`);
      // Whoever makes one gives it away a moment later.
      if (time === attempts || !["ENOENT", "EACCES"].includes(code)) throw error;
      const made = code === "ENOENT" ? await makeLock(name) : undefined;
      if (made !== undefined) return made;
    }
    await pause(beat);
  }
}

const linkOrFolder: Readonly<Record<string, string>> = {
  ELOOP: "is a symbolic link, which is not followed",
  EISDIR: "is no file",
  ENXIO: "is no file",
};

async function mustBePlain(lock: FileHandle, name: string): Promise<FileHandle> {
  const found = await lock.stat();
  const fault = !found.isFile() ? "is no file" : found.nlink > 1 ? "has another name as well" : "";
  if (fault === "") return lock;
  await lock.close();
  throw new Failure(exitStatus.noPermission, `${name}: ${fault}; remove it`);
}

/** Undefined where somebody else was quicker. */
async function makeLock(name: string): Promise<FileHandle | undefined> {
  const folder = await stat(dirname(name));
  let lock: FileHandle;
  try {
    lock = await open(name, plainly | O_CREAT | O_EXCL, 0o600);
  } catch (error) {
    if (errorCode(error) === "EEXIST") return undefined;
    throw error;
  }
  try {
    await share(lock, folder);
    return lock;
  } catch (error) {
    await lock.close();
    throw error;
  }
}

/**
 * Whoever may replace a file in the folder may lock, root's locks included, and nobody else: whoever can open the lock
 * can hold it, and so keep the others from writing.
 */
async function share(lock: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const isGiven =
    (await give(lock, uid, gid)) || (await give(lock, -1, gid)) || (await lock.stat()).gid === gid;
  const group = isGiven && (mode & 0o020) !== 0 ? 0o060 : 0;
  const others = (mode & 0o002) !== 0 ? 0o006 : 0;
  await lock.chmod(0o600 | group | others);
}

async function give(lock: FileHandle, uid: number, gid: number): Promise<boolean> {
  try {
    await lock.chown(uid, gid);
    return true;
  } catch (error) {
    if (errorCode(error) !== "EPERM") throw error;
    return false;
  }
}

async function isStillThere(lock: FileHandle, name: string): Promise<boolean> {
  const ours = await lock.stat({ bigint: true });
  try {
    const { dev, ino } = await lstat(name, { bigint: true });
    return dev === ours.dev && ino === ours.ino;
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    return false;
  }
}

async function heldTooLong(lock: FileHandle, name: string, patience: number): Promise<Failure> {
  const { buffer, bytesRead } = await lock.read(Buffer.alloc(longestNote), 0, longestNote, 0);
  const [note = ""] = buffer.toString("utf8", 0, bytesRead).split("\n");
  const holder = note.replaceAll(/[^\x20-\x7e]/g, "?") || "another process";
  return new Failure(
    exitStatus.temporary,
    `${name} has been held by ${holder} for more than ${patience / 1000} seconds; nothing was changed, try again`,
  );
}

/** Octets of a note that are told. */
const longestNote = 200;
