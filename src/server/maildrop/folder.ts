/**
 * The maildrop: a folder like /tmp in which every user of this host may put messages, and where the relay finds them. Who
 * sends is the owner of the file, which the kernel knows: nobody can give a file away. The folder's group, which files in it
 * inherit, lets the relay read them, and as the folder's owner it may remove them.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import { isDraftName, isDropName } from "../spool/drop-name.ts";
import { type Drop, longestFirstLine, parseDrop } from "./drop.ts";

/** Where programs look for it unless they are told: they need not be able to read the configuration. */
export const standardMaildrop = "/var/spool/tpa-submit-maildrop";

/** Sticky, so that nobody removes another's; with the group's bit, so that files have the folder's group. */
export const folderMode = 0o3777;

/**
 * Why `folder` cannot be the maildrop of a relay that runs as the user `uid`, and what to do; undefined where it can. Root's relay
 * takes anybody's.
 */
export async function maildropFault(folder: string, uid: number): Promise<string | undefined> {
  const mode = folderMode.toString(8);
  const advice = `sendmail.maildrop names it; make it with: install -d -m ${mode} -o USER -g GROUP ${folder}, of the relay's user`;
  try {
    const found = await stat(folder);
    if (!found.isDirectory()) return `is no folder; ${advice}`;
    const isOurs = uid === 0 || found.uid === uid;
    if (isOurs && (found.mode & 0o7777) === folderMode) return undefined;
    return `expected a folder of the relay's user with mode ${mode}; ${advice}`;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return `cannot be used (${errorText(error)}); ${advice}`;
  }
}

/** A message that is there. */
export interface FoundDrop {
  readonly name: string;
  /** Number of the user who put it there. */
  readonly uid: number;
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly drop: Drop;
  /** Where the message begins in the file, and how many octets it has. */
  readonly start: number;
  readonly size: number;
  /** To be closed by the caller. */
  readonly file: FileHandle;
}

/** Why a file in the maildrop is none of ours. */
export interface WrongDrop {
  readonly wrong: string;
}

/** Names of whole messages. Throws the system's error. */
export async function dropNames(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter(isDropName);
}

/** Opens one; undefined where it is gone. Throws the system's error. */
export async function openDrop(folder: string, name: string): Promise<FoundDrop | WrongDrop | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file: FileHandle;
  try {
    file = await open(join(folder, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    if (errorCode(error) === "ELOOP") return { wrong: "it is a symbolic link" };
    if (errorCode(error) === "EACCES") return { wrong: "its group may not read it" };
    if (errorCode(error) === "ENXIO") return { wrong: "it is no file" };
    throw error;
  }
  const found = await readDrop(file, name).catch(async (error: unknown) => {
    await file.close();
    throw error;
  });
  if ("wrong" in found) await file.close();
  return found;
}

async function readDrop(file: FileHandle, name: string): Promise<FoundDrop | WrongDrop> {
  const found = await file.stat();
  const { uid, size, nlink, mtimeMs } = found;
  if (!found.isFile()) return { wrong: "it is no file" };
  // A second name for somebody else's file would make a message theirs.
  if (nlink !== 1) return { wrong: "it has several names" };
  const line = await firstLine(file);
  if (line === undefined)
    return { wrong: `its first line is longer than ${longestFirstLine} octets, or has no end` };
  const drop = parseDrop(line.toString("utf8"));
  if (typeof drop === "string") return { wrong: drop };
  const start = line.length + 1;
  return { name, uid, at: mtimeMs, drop, start, size: size - start, file };
}

/** Without its end; undefined where it has none within {@link longestFirstLine}. */
async function firstLine(file: FileHandle): Promise<Buffer | undefined> {
  let octets = Buffer.alloc(4_096);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(octets, length, octets.length - length, length);
    const end = octets.subarray(length, length + bytesRead).indexOf("\n");
    if (end >= 0) return octets.subarray(0, length + end);
    length += bytesRead;
    if (bytesRead === 0 || length >= longestFirstLine) return undefined;
    if (length === octets.length) octets = Buffer.concat([octets], 4 * octets.length);
  }
}

/** Removes one for good: after this no power cut brings it back. Throws the system's error. */
export async function removeDrop(folder: string, name: string): Promise<void> {
  await unlink(join(folder, name)).catch((error: unknown) => {
    if (errorCode(error) !== "ENOENT") throw error;
  });
  await syncDirectory(folder);
}

/** What a killed sendmail left is removed after so many milliseconds. Nothing was promised for it. */
const staleAfter = 86_400_000;

/** Removes what was begun and never ended. `now` is in milliseconds since the epoch. Throws the system's error. */
export async function removeStaleDrafts(folder: string, now: number): Promise<void> {
  for (const name of (await readdir(folder)).filter(isDraftName)) {
    const path = join(folder, name);
    const age = now - ((await stat(path).catch(() => undefined))?.mtimeMs ?? now);
    if (age > staleAfter) await unlink(path).catch(() => undefined); // gone, or none of ours
  }
}
