/** A file for what is too long to be kept in memory while it is looked at. It has no name, so that no crash leaves it. */
import { join } from "node:path";
import { type Folders, unlinkIfThere } from "./commit.ts";

export interface Scratch {
  /** Octets so far. */
  readonly size: number;
  /** Appends; call again when it has resolved. Throws the system's error (ENOSPC, …). */
  write(octets: Uint8Array): Promise<void>;
  /** The octets from `start` on, in pieces. Call when all is written. Throws the system's error. */
  read(start: number): AsyncGenerator<Buffer, void>;
  /** May be called again. */
  close(): Promise<void>;
}

/** Small pieces are gathered until they are worth a system call, and so much is read at a time. Our choice. */
const gathered = 64 * 1024;

/** Begins one for the message `id`, whose name is free in the folder of drafts until it is accepted. */
export async function newScratch({ disk, drafts }: Folders, id: string): Promise<Scratch> {
  const path = join(drafts, id);
  await unlinkIfThere(disk, path);
  const file = await disk.openPlaced(path, "new");
  await unlinkIfThere(disk, path);
  let waiting: Uint8Array[] = [];
  let length = 0; // of what waits
  let size = 0;
  let closed = false;

  async function flush(): Promise<void> {
    const parts = waiting;
    const at = size - length;
    waiting = [];
    length = 0;
    if (parts.length > 0) await file.write(parts, at);
  }

  return {
    get size() {
      return size;
    },
    async write(octets) {
      waiting.push(Buffer.from(octets)); // a copy: a piece may be part of a buffer that is used again
      length += octets.length;
      size += octets.length;
      if (length >= gathered) await flush();
    },
    async *read(start) {
      await flush();
      for (let at = start; at < size; ) {
        const octets = await file.read(Math.min(gathered, size - at), at);
        if (octets.length === 0) return;
        at += octets.length;
        yield octets;
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      await file.close();
    },
  };
}
