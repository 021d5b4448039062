/**
 * The reading half of a spool, which needs no lock: each file is replaced in one step or not at all, so that whoever
 * reads beside the owner finds an earlier state or a later one, or nothing.
 */
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type Disk, systemDisk } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { type Damaged, isDamaged, parseEnvelope } from "./envelope-file.ts";
import { type History, historyOf } from "./history.ts";
import { readableFormats } from "./open.ts";
import { isQueueId } from "./queue-id.ts";

export interface SpoolReader {
  /** The queue IDs of everything promised, oldest first. */
  ids(): Promise<readonly string[]>;
  /**
   * The envelope of `id`, or why it cannot be used: not there, not to be read, not one of ours, or its body missing
   * or of another size. Throws only what is about this process (EMFILE, …).
   */
  read(id: string): Promise<Envelope | Damaged>;
  /** Whether `id` is promised, be its envelope readable or not. Throws the system's error. */
  has(id: string): Promise<boolean>;
  /** The body as it was written; a body that is missing comes as the stream's error. */
  body(id: string): Readable;
  /** The first `octets` of the body. Throws the system's error. */
  bodyStart(id: string, octets: number): Promise<Buffer>;
  /** What was noted about a message, oldest first; nothing where nothing was. Throws the system's error. */
  history(id: string): Promise<History>;
}

/** Troubles of this process that say nothing about the file it was opening. */
const passing: readonly string[] = ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"];

export function newSpoolReader(disk: Disk, directory: string): SpoolReader {
  const queue = join(directory, "queue");
  const messages = join(directory, "messages");

  async function read(id: string): Promise<Envelope | Damaged> {
    const file = join(queue, id);
    try {
      const envelope = parseEnvelope(await disk.readText(file), id, file);
      if (isDamaged(envelope)) return envelope;
      const body = join(messages, id);
      const size = await disk.size(body);
      if (size === envelope.size) return envelope;
      return {
        damaged: `${body}: expected ${String(envelope.size)} octets, as ${file} says, found ${String(size)}`,
      };
    } catch (error) {
      if (errorCode(error) === "" || passing.includes(errorCode(error))) throw error;
      return { damaged: errorText(error) };
    }
  }

  async function has(id: string): Promise<boolean> {
    try {
      await disk.size(join(queue, id));
      return true;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  return {
    has,
    ids: async () => (await disk.list(queue)).filter(isQueueId).sort(),
    read,
    body: (id) => disk.stream(join(messages, id), Number.POSITIVE_INFINITY),
    bodyStart: (id, octets) =>
      buffer(octets > 0 ? disk.stream(join(messages, id), octets) : Readable.from([])),
    history: (id) => historyOf({ disk, history: join(directory, "history") }, id),
  };
}

/**
 * Looks into the spool in `directory` without owning it, also while its owner works: what is promised, as of this
 * moment. Throws a Failure of one line where it is none that this version can read.
 */
export async function viewSpool(directory: string, disk: Disk = systemDisk): Promise<SpoolReader> {
  const path = join(directory, "format");
  try {
    const format = (await disk.readText(path)).trimEnd();
    if (readableFormats.includes(format)) return newSpoolReader(disk, directory);
    const found = JSON.stringify(format.slice(0, 60));
    const known = readableFormats.map((one) => `"${one}"`).join(" or ");
    throw new Failure(exitStatus.data, `${path}: expected ${known}, found ${found}`);
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    const status = code === "EACCES" || code === "EPERM" ? exitStatus.noPermission : exitStatus.noInput;
    throw new Failure(status, `${directory}: the spool cannot be read: ${errorText(error)}`);
  }
}

/** One message of a spool. */
export interface StoredMessage {
  readonly id: string;
  readonly envelope: Envelope | Damaged;
}

/** Envelopes that are read side by side: our choice, so that 100 000 of them take neither minutes nor much memory. */
const sideBySide = 32;

/** All that is promised, oldest first. What was done with since the listing is left out. */
export async function* messages(reading: SpoolReader): AsyncGenerator<StoredMessage> {
  const ids = await reading.ids();
  for (let at = 0; at < ids.length; at += sideBySide) {
    const part = ids.slice(at, at + sideBySide);
    const found = await Promise.all(part.map(async (id) => ({ id, envelope: await reading.read(id) })));
    const doubtful = found.some(({ envelope }) => isDamaged(envelope));
    const still = doubtful ? new Set(await reading.ids()) : undefined;
    yield* found.filter(({ id, envelope }) => !isDamaged(envelope) || still?.has(id));
  }
}
