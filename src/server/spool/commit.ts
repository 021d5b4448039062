/**
 * The three steps by which the spool promises a message, changes its mind about it and lets it go. Everything else
 * in this folder is about making and sweeping files that mean nothing by themselves.
 * docs/spool.md lists what a crash leaves after each line.
 */
import { dirname, join } from "node:path";
import type { Directory } from "../../durable.ts";
import { errorCode } from "../../failure.ts";
import type { Disk, NewFile } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { formatEnvelope } from "./envelope-file.ts";

/** The folders of an open spool. */
export interface Folders {
  readonly disk: Disk;
  /** Bodies, by queue ID. */
  readonly messages: Directory;
  /** Path of the folder of envelopes being written. */
  readonly drafts: string;
  /** Path of the folder of what was tried, by queue ID. */
  readonly history: string;
  /** Queue IDs that may have a history: most messages never get one, and need no call to be rid of it. */
  readonly histories: Set<string>;
  /** Envelopes, by queue ID: each is a promise. */
  readonly queue: Directory;
}

/** Writes the envelope where it promises nothing yet. Gives what it wrote. */
export async function draftEnvelope({ disk, drafts }: Folders, envelope: Envelope): Promise<string> {
  const text = formatEnvelope(envelope);
  await writeDraft(disk, join(drafts, envelope.id), text);
  return text;
}

/** Puts the drafted envelope in its place, or in the place of the one before it. Durable when it resolves. */
export async function commit({ disk, drafts, queue }: Folders, id: string): Promise<void> {
  await disk.rename(join(drafts, id), join(queue.path, id)); // the promise
  await queue.sync(); // from here on a power cut does not break it
}

/**
 * Lets a message go: the envelope first, for good, then the body. In the other order, or without the fsync between
 * them, a power cut could leave a promise without a message. Whatever is missing is passed over.
 */
export async function withdraw(folders: Folders, id: string): Promise<void> {
  const { disk, messages, history, histories, queue } = folders;
  await unlinkIfThere(disk, join(queue.path, id));
  await queue.sync();
  await unlinkIfThere(disk, join(messages.path, id));
  if (!histories.delete(id)) return;
  // A history that stays is swept at the next start, and no reason to try all this again.
  await unlinkIfThere(disk, join(history, id)).catch(() => undefined);
}

/** Removes a file that a crash, or an earlier try, may have removed before. */
export async function unlinkIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

/**
 * Writes a draft, in place of one that could not be removed when the disk refused everything for a while. Its content
 * is on disk when it resolves, its name need not be.
 */
export async function writeDraft(disk: Disk, path: string, content: string | Uint8Array): Promise<void> {
  const file = await createAnew(disk, path);
  try {
    await file.write(typeof content === "string" ? Buffer.from(content) : content);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function createAnew(disk: Disk, path: string): Promise<NewFile> {
  try {
    return await disk.create(path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    await unlinkIfThere(disk, path);
    return disk.create(path);
  }
}

/** Makes the entries of the folder `path` durable. */
export async function syncOnce(disk: Disk, path: string): Promise<void> {
  const directory = await disk.openDirectory(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

// Whether a message could be taken now: the steps above, with files that mean nothing, each in its folder.

/** No queue ID, so that nobody reads it; what a crash leaves of it is overwritten by the next trial. */
export const trialName = ".trial";

/** Throws the system's error of the first step that fails. */
export async function tryOut({ disk, messages, drafts, queue }: Folders): Promise<void> {
  const paths = [messages.path, drafts, queue.path].map((folder) => join(folder, trialName));
  try {
    await Promise.all(paths.map((path) => writeDraft(disk, path, `${dirname(path)} can be written\n`)));
    await Promise.all([messages.sync(), queue.sync()]);
  } finally {
    // Promise.all gives up at the first: a file that is made later than this is overwritten by the next trial.
    await Promise.all(paths.map((path) => unlinkIfThere(disk, path).catch(() => undefined)));
  }
}
