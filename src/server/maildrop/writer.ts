/** Puts a message into the maildrop: whole and durable, or not at all. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../../durable.ts";
import { draftName, newDropName } from "../spool/drop-name.ts";
import { type Drop, formatDrop } from "./drop.ts";

/** The relay reads it as a member of the folder's group. */
const fileMode = 0o640;

/**
 * Writes the octets of `message`, whose lines end in CRLF. When it resolves the message is in `folder` and survives a power
 * cut. Throws the system's error; then nothing is there, or a draft that nobody reads.
 */
export async function putIntoMaildrop(
  folder: string,
  drop: Drop,
  message: AsyncIterable<Buffer>,
): Promise<void> {
  const name = newDropName(randomBytes);
  const draft = join(folder, draftName(name));
  const file = await open(draft, "wx", fileMode);
  try {
    await fill(file, drop, message);
    await rename(draft, join(folder, name)); // the moment of commitment
  } catch (error) {
    await unlink(draft).catch(() => undefined); // `error` tells more
    throw error;
  }
  await syncDirectory(folder);
}

async function fill(file: FileHandle, drop: Drop, message: AsyncIterable<Buffer>): Promise<void> {
  try {
    await file.writeFile(formatDrop(drop));
    for await (const octets of message) await file.writeFile(octets);
    await file.chmod(fileMode); // whatever the umask
    await file.sync();
  } finally {
    await file.close();
  }
}
