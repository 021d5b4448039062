/**
 * The spool: messages that were answered with 250 and are not done with yet. The submission side and the delivery
 * side meet in this folder and nowhere else. docs/spool.md and man/tpa-submit-spool.5 tell which files may exist,
 * what each combination means and what a crash leaves; spool/promise.ts holds the three steps that matter.
 */

import { join } from "node:path";
import { errorCode } from "../../failure.ts";
import { cachedBriefly } from "./cached.ts";
import { commit, draftEnvelope, type Folders, tryOut, unlinkIfThere, withdraw } from "./commit.ts";
import { type Disk, type FreeSpace, type NewFile, systemDisk } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { type Fsck, newFsck } from "./fsck.ts";
import { addToHistory, type History, type HistoryEntry, historyOf } from "./history.ts";
import { openFolders } from "./open.ts";
import { queueIds } from "./queue-id.ts";
import { newSpoolReader, type SpoolReader } from "./reader.ts";

export type { FreeSpace } from "./disk.ts";
export { type Damaged, isDamaged } from "./envelope-file.ts";
export type { FailedAttempt, History, HistoryEntry, LeftOut, OperatorAct } from "./history.ts";
export { type LoadedMessage, type SpoolReader, type StoredMessage, viewSpool } from "./reader.ts";

/**
 * A spool that is ours. What is done to one message is done one after the other: the caller sees to that.
 * Its fsck is for a spool at work.
 */
export interface Spool extends SpoolReader, Fsck {
  /** Begins a message. Throws the system's error. */
  draft(): Promise<Draft>;
  /**
   * Replaces the envelope of the same ID; durable when it resolves. Throws the system's error: the old one then
   * stands, or, where the very last step failed, the new one, for which no power cut is promised.
   */
  record(envelope: Envelope): Promise<void>;
  /** Lets the message go; after it resolves, no power cut brings it back. May be called again. */
  remove(id: string): Promise<void>;
  /**
   * Adds to the history of a message that stays. Resolves to why that could not be done, or undefined; whatever it is,
   * delivery goes on. It may be lost at a power cut, and long ones keep their beginning and their end only.
   */
  note(id: string, entries: readonly HistoryEntry[]): Promise<string | undefined>;
  /** What was noted. */
  history(id: string): Promise<History>;
  /** What the disk has left for us, as of at most a second ago: statfs(2) for each message is a measured cost. */
  free(): Promise<FreeSpace>;
  /**
   * Takes the steps of a message that comes, and leaves nothing behind. Throws the system's error where no message would
   * be taken.
   */
  trial(): Promise<void>;
  /** Resolves, perhaps never, to why nothing can be promised any more until the spool is opened anew. */
  readonly broken: Promise<unknown>;
  /** Gives the lock back. Call when nothing is going on any more. */
  close(): Promise<void>;
}

/**
 * Opens the spool in `directory`, making it (not the folders above it) where it is missing, and owns it until
 * {@link Spool.close} or the process's end. `now` is in milliseconds since the epoch.
 * Throws a Failure of one line: in use (75), no permission (77), cannot be made (73), of another format (65).
 */
export async function openSpool(
  directory: string,
  now: () => number,
  disk: Disk = systemDisk,
): Promise<Spool> {
  const note = `process ${String(process.pid)}, since ${new Date(now()).toISOString()}`;
  const { folders, lock, orphans, broken } = await openFolders(disk, directory, note);
  const { messages, drafts, queue } = folders;
  const nextId = queueIds(now);

  async function draft(): Promise<Draft> {
    for (;;) {
      const id = nextId();
      if (orphans.has(id)) continue; // accepting it would overwrite an envelope that a person has to look at
      try {
        return newDraft(folders, id, await disk.create(join(messages.path, id)));
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw error; // else the clock went back to a message still here
      }
    }
  }

  async function record(envelope: Envelope): Promise<void> {
    try {
      await draftEnvelope(folders, envelope);
      await commit(folders, envelope.id);
    } catch (error) {
      // The caller must know why it failed; a draft that cannot be removed either is swept at the next start.
      await unlinkIfThere(disk, join(drafts, envelope.id)).catch(() => undefined);
      throw error;
    }
  }

  return {
    ...newSpoolReader(disk, directory),
    ...newFsck(disk, directory, true),
    draft,
    record,
    remove: (id) => withdraw(folders, id),
    note: (id, entries) => addToHistory(folders, id, entries),
    history: (id) => historyOf(folders, id),
    trial: () => tryOut(folders),
    broken,
    free: cachedBriefly(() => disk.free(messages.path), now),
    async close() {
      await Promise.all([messages.close(), queue.close()]);
      await lock.release();
    },
  };
}

// One message on its way in. Until it is accepted it means nothing: whoever dies leaves a body that the next start
// sweeps away.

/** What the submission side knows; the spool adds the rest. */
export type NewEnvelope = Omit<Envelope, "id" | "size">;

export interface Draft {
  /** Queue ID. */
  readonly id: string;
  /** Appends `chunk` to the body; call again when it has resolved. Throws the system's error (ENOSPC, …). */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Makes the promise: when it resolves, the message survives a power cut and the client may hear 250.
   * When it throws (the system's error), nothing is promised and the draft is discarded.
   */
  accept(envelope: NewEnvelope): Promise<Envelope>;
  /** Drops the draft. Does nothing after accept, nor when called again. */
  discard(): Promise<void>;
}

/** Small chunks are gathered until they are worth a system call. Our choice: what one read of a socket gives. */
const gathered = 64 * 1024;

/** The draft `id` whose body goes to `body`, a file just made in the folder of messages. */
export function newDraft(folders: Folders, id: string, body: NewFile): Draft {
  const { disk, messages, drafts } = folders;
  let buffer: Buffer | undefined;
  let filled = 0;
  let size = 0;
  let failed: { readonly error: unknown } | undefined;
  let promising = false;
  let over = false;

  async function append(octets: Uint8Array): Promise<void> {
    try {
      await body.write(octets);
    } catch (error) {
      failed = { error }; // some of it may be in the file: such a body is never accepted
      throw error;
    }
  }

  async function flush(): Promise<void> {
    if (buffer === undefined || filled === 0) return;
    const octets = buffer.subarray(0, filled);
    filled = 0;
    await append(octets);
  }

  async function finishBody(): Promise<void> {
    await flush();
    await body.sync();
    await body.close();
  }

  async function drop(): Promise<void> {
    await body.close();
    try {
      await unlinkIfThere(disk, join(drafts, id));
    } finally {
      if (promising) await withdraw(folders, id);
      else await unlinkIfThere(disk, join(messages.path, id));
    }
  }

  function mustBeOpen(): void {
    if (over) throw new Error(`draft ${id} was accepted or discarded before`);
  }

  return {
    id,

    async write(chunk) {
      mustBeOpen();
      size += chunk.length;
      if (filled + chunk.length > gathered) await flush();
      if (chunk.length >= gathered) return append(chunk);
      buffer ??= Buffer.allocUnsafe(gathered);
      buffer.set(chunk, filled);
      filled += chunk.length;
    },

    async accept(envelope) {
      mustBeOpen();
      over = true;
      const promised: Envelope = { ...envelope, id, size };
      try {
        if (failed !== undefined) throw failed.error;
        await all([finishBody(), messages.sync(), draftEnvelope(folders, promised)]);
        promising = true;
        await commit(folders, id);
      } catch (error) {
        // Why it failed is what the caller must know; what cannot be cleared away now, the next start sweeps.
        await drop().catch(() => undefined);
        throw error;
      }
      return promised;
    },

    async discard() {
      if (over) return;
      over = true;
      await drop();
    },
  };
}

/** Waits for every step, so that nothing is still being written when the first error is thrown. */
async function all(steps: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(steps)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
