/**
 * One message on its way into the spool. Until it is accepted it means nothing: whoever dies leaves a body that the next
 * start sweeps away.
 */
import { join } from "node:path";
import { commit, draftEnvelope, type Folders, unlinkIfThere, withdraw } from "./commit.ts";
import type { NewFile } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { givePiece, takePiece } from "./piece-pool.ts";
import type { Spend, SpendRefusal } from "./spend.ts";

/** What the submission side knows; the spool adds the rest. */
export type NewEnvelope = Omit<Envelope, "id" | "size">;

export interface Draft {
  /** Queue ID. */
  readonly id: string;
  /**
   * Appends `chunk` to the body; call again when it has resolved. It need not be copied where it is `given`: nobody else uses
   * its memory from here on. Throws the system's error (ENOSPC, …).
   */
  write(chunk: Uint8Array, isGiven?: boolean): Promise<void>;
  /**
   * Makes the promise: when it resolves, the message survives a power cut and the client may hear 250.
   * When it throws (the system's error), nothing is promised and the draft is discarded. The same where `spend` is too much for
   * its login: a spool that one host has alone does not ask, since the limits are in its memory.
   */
  accept(envelope: NewEnvelope, spend: Spend | undefined): Promise<Envelope | SpendRefusal>;
  accept(envelope: NewEnvelope): Promise<Envelope>;
  accept(envelope: NewEnvelope, spend: Spend | undefined): Promise<Envelope | SpendRefusal>;
  /** Drops the draft. Does nothing after accept, nor when called again. */
  discard(): Promise<void>;
}

/** Smaller chunks are gathered until they fill a piece. Our choice. */
const worthCall = 64 * 1024;

/** Called in the turn in which a message is promised, with what its envelope says on the disk. */
export type Promised = (id: string, envelope: string) => void;

/** The draft `id` whose body goes to `body`, a file just made in the folder of messages. */
export function newDraft(folders: Folders, id: string, body: NewFile, tell: Promised): Draft {
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

  /** Writes what was gathered. */
  async function flush(): Promise<void> {
    if (buffer === undefined) return;
    await append(buffer.subarray(0, filled));
    filled = 0;
  }

  function letGo(): void {
    if (buffer !== undefined && failed === undefined) givePiece(buffer);
    buffer = undefined;
  }

  async function finishBody(): Promise<void> {
    if (filled > 0) await flush();
    letGo();
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
      if (chunk.length >= worthCall) {
        if (filled > 0) await flush();
        return append(chunk);
      }
      for (let at = 0; at < chunk.length; ) {
        buffer ??= takePiece();
        const some = chunk.subarray(at, at + buffer.length - filled);
        buffer.set(some, filled);
        filled += some.length;
        at += some.length;
        if (filled === buffer.length) await flush();
      }
    },

    async accept(envelope) {
      mustBeOpen();
      over = true;
      const promised: Envelope = { ...envelope, id, size };
      try {
        if (failed !== undefined) throw failed.error;
        const others = [finishBody(), messages.sync()];
        const drafting = draftEnvelope(folders, promised);
        await all([...others, drafting]);
        promising = true;
        await commit(folders, id);
        tell(id, await drafting);
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
async function all(steps: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(steps)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
