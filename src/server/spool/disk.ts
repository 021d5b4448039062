/**
 * The system calls that the spool is made of, and nothing else of the file system. They are an interface so that
 * tests can stop the program between any two of them, let one fail, or put a disk in memory in their place that
 * loses at a power cut what was not fsynced.
 */
import {
  closeSync,
  constants,
  open as openCallback,
  read as readCallback,
  writeSync,
  writevSync,
} from "node:fs";
import {
  appendFile,
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
} from "node:fs/promises";
import type { Readable } from "node:stream";
import { type Directory, openDirectory } from "../../durable.ts";
import { errorCode } from "../../failure.ts";
import { FileStream } from "./body-stream.ts";
import type { BulkRead } from "./bulk-read.ts";
import { type SpoolLock, takeLock } from "./lock.ts";

/** A file just made, written from its beginning to its end. */
export interface NewFile {
  /** Appends all of `octets`. */
  write(octets: Uint8Array): Promise<void>;
  /** Resolves when what was written is on disk; the file's name may not be. */
  sync(): Promise<void>;
  /** May be called again. */
  close(): Promise<void>;
}

/** A file that is written at any place of it, and read. */
export interface PlacedFile {
  /** Writes all of `parts`, one behind the other, from `at` on. */
  write(parts: readonly Uint8Array[], at: number): Promise<void>;
  /** The same before anything else happens in this process: for a few octets, which a kill then leaves there. */
  writeNow(octets: Uint8Array, at: number): void;
  /** So many octets from `at` on, or what there is of them; in `into`, where that is given and the disk can do it. */
  read(octets: number, at: number, into?: Buffer): Promise<Buffer>;
  /** Resolves when what was written, and the file's length, are on disk; its name may not be. */
  sync(): Promise<void>;
  /** May be called again. */
  close(): Promise<void>;
}

/** Room left for an unprivileged process. */
export interface FreeSpace {
  readonly octets: number;
  /** Infinity where the file system makes inodes as it needs them. */
  readonly inodes: number;
}

/** What lies under a name; a link is not followed. */
export interface FileInfo {
  readonly kind: "file" | "folder" | "other";
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a file. */
  readonly octets: number;
}

/** Every call throws the system's error. */
export interface Disk {
  /** Owns the file `path` until released or until the process dies in any way; writes `note` into it. */
  lock(path: string, note: string): Promise<SpoolLock>;
  /** Mode 0700. False where it was there. */
  makeDirectory(path: string): Promise<boolean>;
  /** ENOTEMPTY where something is in it. */
  removeDirectory(path: string): Promise<void>;
  openDirectory(path: string): Promise<Directory>;
  list(path: string): Promise<readonly string[]>;
  /** Mode 0600. EEXIST where it was there. */
  create(path: string): Promise<NewFile>;
  /** {@link create}, or else the file that is there, be it to be read alone. */
  openPlaced(path: string, as: "new" | "there" | "read"): Promise<PlacedFile>;
  rename(from: string, to: string): Promise<void>;
  /** Gives a file a second name. EEXIST where that was there. */
  link(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  look(path: string): Promise<FileInfo>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  /** Adds to the end of a file, made with mode 0600 where it is missing; a crash may leave part of it, or nothing. */
  append(path: string, text: string): Promise<void>;
  /** The file's first octets: as many as that, or all that there are. */
  readStart(path: string, octets: number): Promise<Buffer>;
  /** A small file, whole, as UTF-8. */
  readText(path: string): Promise<string>;
  /** A quick way to read many, where there is one. */
  readonly readMany?: BulkRead;
  /** The file's octets, at most the first `octets`; what goes wrong comes as the stream's error. */
  stream(path: string, octets: number): Readable;
  /** In octets. */
  size(path: string): Promise<number>;
  free(path: string): Promise<FreeSpace>;
}

/** The disk of this machine. */
export const systemDisk: Disk = {
  lock: takeLock,
  makeDirectory,
  removeDirectory: (path) => rmdir(path),
  openDirectory,
  list: (path) => readdir(path),
  create,
  openPlaced,
  rename,
  link,
  unlink,
  look,
  chmod,
  chown,
  append: (path, text) => appendFile(path, text, { mode: 0o600 }),
  readStart,
  readText: (path) => readFile(path, { encoding: "utf8", flag: withoutWaiting }),
  stream: (path, octets) => new FileStream(path, octets),
  size: async (path) => (await stat(path)).size,
  async free(path) {
    const { bavail, bsize, files, ffree } = await statfs(path);
    return { octets: bavail * bsize, inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree };
  },
};

/** A pipe that somebody put there is an empty text and no wait without an end. */
const withoutWaiting = constants.O_RDONLY | constants.O_NONBLOCK;

async function look(path: string): Promise<FileInfo> {
  const found = await lstat(path);
  const kind = found.isFile() ? "file" : found.isDirectory() ? "folder" : "other";
  return { kind, mode: found.mode & 0o7777, uid: found.uid, gid: found.gid, octets: found.size };
}

/** With fewer hops to the thread pool than `open` and its handle: each is dear where files are small. */
function readStart(path: string, octets: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    openCallback(path, "r", (failed, file) => {
      if (failed) return reject(failed);
      const start = Buffer.allocUnsafe(octets);
      readCallback(file, start, 0, octets, 0, (error, length) => {
        closeSync(file); // only read: nothing is left for the disk to do
        if (error) reject(error);
        else resolve(start.subarray(0, length)); // of a file a read gives less only at its end
      });
    });
  });
}

async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, 0o700);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

async function create(path: string): Promise<NewFile> {
  const handle = await open(path, "wx", 0o600);
  return {
    write: (octets) => handle.writeFile(octets), // goes on where the last write ended
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

/**
 * Octets that are written in this thread at most. They are copied into the kernel's memory sooner than another thread has begun,
 * and a batch of the journal waits for one thread less before its 250: only the sync that follows waits for the disk. Our choice.
 */
const writtenHere = 256 * 1024;

const octetsOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0);

const placedFlags = { new: "wx+", there: "r+", read: "r" } as const;

async function openPlaced(path: string, as: "new" | "there" | "read"): Promise<PlacedFile> {
  const handle = await open(path, placedFlags[as], 0o600);
  return {
    async write(parts, at) {
      let place = at;
      let rest = parts;
      const isShort = octetsOf(parts) <= writtenHere;
      while (rest.length > 0) {
        const bytesWritten = isShort
          ? writevSync(handle.fd, rest, place)
          : (await handle.writev([...rest], place)).bytesWritten;
        place += bytesWritten;
        rest = behind(rest, bytesWritten);
      }
    },
    writeNow(octets, at) {
      for (let done = 0; done < octets.length; ) {
        done += writeSync(handle.fd, octets, done, octets.length - done, at + done);
      }
    },
    async read(octets, at, buffer = Buffer.allocUnsafe(octets)) {
      let filled = 0;
      while (filled < octets) {
        const { bytesRead } = await handle.read(buffer, filled, octets - filled, at + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}

/** `parts` without their first `octets`: a write may end early. */
function behind(parts: readonly Uint8Array[], octets: number): readonly Uint8Array[] {
  let left = octets;
  const rest: Uint8Array[] = [];
  for (const part of parts) {
    if (part.length > left) rest.push(part.subarray(left));
    left = Math.max(0, left - part.length);
  }
  return rest;
}
