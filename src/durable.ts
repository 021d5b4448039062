/**
 * Files that must survive a power cut: written whole, fsynced, renamed, and their directory fsynced.
 * Nothing else in the program replaces a file that matters.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode } from "./failure.ts";

/** A directory whose entries can be made durable. */
export interface Directory {
  readonly path: string;
  /**
   * Resolves when every rename, creation and removal in the directory made before the call is on disk.
   * Calls that come while an fsync runs share the next one: with 32 writers that saves most of them.
   */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens `path` for {@link Directory.sync}. */
export async function openDirectory(path: string): Promise<Directory> {
  const handle = await open(path, "r");
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;

  async function syncAfter(earlier: Promise<void>): Promise<void> {
    await earlier.catch(() => undefined); // its own callers are told
    next = undefined; // from here on a new call is too late for this fsync
    await handle.sync();
  }

  return {
    path,
    sync() {
      if (next === undefined) {
        next = syncAfter(running);
        running = next;
      }
      return next;
    },
    close: () => handle.close(),
  };
}

/** Makes the entries of the directory `path` durable, once. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
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
 * or the new one and nothing between. Resolves when the new one is on disk.
 * Throws the system's error (ENOSPC, EACCES, …); the old file then stands untouched.
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  as: FileAttributes,
): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.new`);
  const file = await open(draft, "wx", 0o600);
  try {
    await fill(file, content, as);
    await rename(draft, path); // the moment of commitment
  } catch (error) {
    await unlink(draft).catch((second: unknown) => {
      if (errorCode(second) !== "ENOENT") throw second;
    });
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function fill(file: FileHandle, content: string | Uint8Array, as: FileAttributes): Promise<void> {
  try {
    await file.writeFile(content);
    if (as.uid !== undefined || as.gid !== undefined) await file.chown(as.uid ?? -1, as.gid ?? -1);
    await file.chmod(as.mode); // after chown, which clears bits
    if (as.mtime !== undefined) await file.utimes(as.mtime / 1000, as.mtime / 1000);
    await file.sync();
  } finally {
    await file.close();
  }
}
