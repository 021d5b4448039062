/**
 * Files that must survive a power cut: written whole, fsynced, renamed, and their directory fsynced.
 * Nothing else in the program replaces a file that matters, but for the spool, whose own steps
 * (src/server/spool/commit.ts) end in a directory's fsync from here.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode } from "./failure.ts";

/** A directory whose entries can be made durable. */
export interface Directory {
  readonly path: string;
  /** Resolves when every rename, creation and removal in the directory made before the call is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens `path` for {@link Directory.sync}. Throws the system's error (ENOENT, EACCES, …). */
export async function openDirectory(path: string): Promise<Directory> {
  const handle = await open(path, "r");
  return { path, sync: () => handle.sync(), close: () => handle.close() };
}

/**
 * The same directory for many writers at once: calls that come while an fsync runs share the next one,
 * which with 32 writers saves most of them.
 * An fsync that failed fails every later call too. The kernel reports a lost write once and then takes the
 * page for clean, so that the next fsync would succeed for entries that never reached the disk (the lesson
 * PostgreSQL learned in 2018); only opening the directory anew starts afresh.
 */
export function sharingSyncs(directory: Directory): Directory {
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;

  async function syncAfter(earlier: Promise<void>): Promise<void> {
    await earlier;
    next = undefined; // from here on a new call is too late for this fsync
    await directory.sync();
  }

  return {
    path: directory.path,
    sync() {
      if (next === undefined) {
        next = syncAfter(running);
        running = next;
      }
      return next;
    },
    close: () => directory.close(),
  };
}

/** Makes the entries of the directory `path` durable, once. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await openDirectory(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

export interface FileAttributes {
  /** Permission bits, for example 0o640. */
  readonly mode: number;
  /** Numeric owner and group; left as the process makes them where absent. */
  readonly uid?: number;
  readonly gid?: number;
  /** Modification time to give the file, in milliseconds since the epoch; the time of writing where absent. */
  readonly mtime?: number;
}

/**
 * Replaces the file `path` by `content` in one step: a reader, or a crash at any moment, finds the old file
 * or the new one and nothing between. Resolves when the new one is on disk. A crash can leave the draft beside
 * it, `.NAME.HEX.new`, which nobody reads; see {@link removeDrafts}.
 * Throws the system's error (ENOSPC, EACCES, …). The old file then stands untouched, unless it was the last
 * step that failed, the directory's fsync: then the new one stands, but may not survive a power cut.
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  as: FileAttributes,
): Promise<void> {
  const draft = join(dirname(path), `${draftStart(path)}${randomBytes(6).toString("hex")}${draftEnd}`);
  const file = await open(draft, "wx", 0o600);
  try {
    await fill(file, content, as);
    await rename(draft, path); // the moment of commitment
  } catch (error) {
    await unlink(draft).catch((second: unknown) => {
      if (errorCode(second) !== "ENOENT") throw new AggregateError([error, second], String(error));
    });
    throw error;
  }
  await syncDirectory(dirname(path));
}

const draftStart = (path: string): string => `.${basename(path)}.`;
const draftEnd = ".new";

/**
 * Removes the drafts of `path` that crashes left. Only for who knows that nobody else is replacing it: a draft that is
 * being written cannot be told from a dead one. What we may not remove stays: it is in nobody's way.
 */
export async function removeDrafts(path: string): Promise<void> {
  const folder = dirname(path);
  const start = draftStart(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(start) || !name.endsWith(draftEnd)) continue;
    if (!/^[0-9a-f]{12}$/.test(name.slice(start.length, -draftEnd.length))) continue;
    await unlink(join(folder, name)).catch((error: unknown) => {
      if (!["ENOENT", "EPERM", "EACCES", "EISDIR"].includes(errorCode(error))) throw error;
    });
  }
}

async function fill(file: FileHandle, content: string | Uint8Array, as: FileAttributes): Promise<void> {
  try {
    await file.writeFile(content);
    await give(file, as);
    await file.chmod(as.mode); // after chown, which clears bits
    if (as.mtime !== undefined) await file.utimes(as.mtime / 1000, as.mtime / 1000);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Only where it has another owner: services may be forbidden the call itself (systemd's `@privileged` has fchown). */
async function give(file: FileHandle, { uid, gid }: FileAttributes): Promise<void> {
  if (uid === undefined && gid === undefined) return;
  const now = await file.stat();
  if ((uid ?? now.uid) === now.uid && (gid ?? now.gid) === now.gid) return;
  await file.chown(uid ?? now.uid, gid ?? now.gid);
}
