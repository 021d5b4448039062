/**
 * The reading half of a spool, which needs no lock: each file is replaced in one step or not at all, so that whoever
 * reads beside the owner finds an earlier state or a later one, or nothing.
 */
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { Soon } from "../../at-once.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { FoundStream } from "./body-stream.ts";
import { asReadError, type BulkFile, type ReadError } from "./bulk-read.ts";
import { type Disk, systemDisk } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { type Damaged, isDamaged, parseEnvelope } from "./envelope-file.ts";
import { scanEnvelope } from "./envelope-scan.ts";
import { type History, historyOf } from "./history.ts";
import type { Journal } from "./journal.ts";
import {
  type DamagedRecord,
  findOf,
  type JournalCopy,
  type JournalFind,
  type LiveRecord,
  viewJournal,
} from "./journal-reading.ts";
import { journalFormat, journalIn, readableFormats } from "./open.ts";
import { isQueueId } from "./queue-id.ts";

export interface SpoolReader {
  /** The queue IDs of everything promised, oldest first. */
  ids(): Promise<readonly string[]>;
  /**
   * The envelope of `id`, or why it cannot be used: not there, not to be read, not one of ours, or its body missing
   * or of another size. Throws only what is about this process (EMFILE, …).
   */
  read(id: string): Promise<Envelope | Damaged>;
  /**
   * The same for each of `ids`, in their order and in batches: the way to read many. Everybody else has a turn after each
   * batch. What left the spool meanwhile is damaged: {@link has} tells.
   */
  readMany(ids: readonly string[]): AsyncIterable<readonly StoredMessage[]>;
  /**
   * The message of `id` for a delivery, or why it cannot be used, as {@link read} has it. `envelope` where the caller has what
   * the spool has. The body comes with it where it has no more than `most` octets. Undefined where another host is to deliver
   * it. Throws as `read` does.
   */
  load(id: string, most: number, envelope?: Envelope): Soon<LoadedMessage | Damaged | undefined>;
  /** Whether `id` is promised, be its envelope readable or not. Throws the system's error. */
  has(id: string): Promise<boolean>;
  /** The body as it was written; a body that is missing comes as the stream's error. */
  body(id: string): Readable;
  /** The first `octets` of the body. Throws the system's error. */
  bodyStart(id: string, octets: number): Promise<Buffer>;
  /** What was noted about a message, oldest first; nothing where nothing was. Throws the system's error. */
  history(id: string): Promise<History>;
}

/** The reading half of a spool of files. */
export interface FileSpoolReader extends SpoolReader {
  /**
   * What an owner's journal had when it was opened, in batches, as it is read; it ends when all of it is known. {@link ids} has
   * the others as well. For one caller.
   */
  early(): AsyncIterable<readonly StoredMessage[]>;
}

/** One message of a spool. */
export interface StoredMessage {
  readonly id: string;
  readonly envelope: Envelope | Damaged;
}

/** Envelopes that are read at the same time: few, because listeners and deliveries want the disk as well. */
const sideBySide = 8;

/** Messages in a batch that comes from the journal and from files. Our choice, as in bulk-read.ts. */
const atATime = 64;

/** The messages of batches, one by one. */
function newCursor(batches: AsyncIterable<readonly StoredMessage[]>) {
  const iterator = batches[Symbol.asyncIterator]();
  let batch: readonly StoredMessage[] = [];
  let at = 0;
  const taken = (): StoredMessage | undefined => {
    at += 1;
    return batch[at - 1];
  };
  return {
    /** The next one, where that is at hand. */
    taken,
    /** Reads on where it was not. */
    async next(): Promise<StoredMessage | undefined> {
      for (;;) {
        const { value, done } = await iterator.next();
        if (done === true) return undefined;
        batch = value;
        at = 0;
        if (batch.length > 0) return taken();
      }
    },
  };
}

export interface LoadedMessage {
  readonly envelope: Envelope;
  /** All of it, where it is small. */
  readonly body?: Buffer;
}

/** Troubles of this process that say nothing about the file it was opening. */
const passing: readonly string[] = ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"];

/** Throws what is about this process. */
function unreadable({ code, message }: ReadError): Damaged {
  if (passing.includes(code)) throw Object.assign(new Error(message), { code });
  return { damaged: message };
}

/** What the journal of a spool promises. */
export interface JournalReader {
  /** What is known of it while it is being read, where it is; in batches. */
  found(): AsyncIterable<readonly JournalFind[]>;
  ids(): Promise<readonly string[]>;
  /** Those of `ids` that are there. */
  holds(ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** The envelopes of `ids`, in batches in their order. */
  readMany(ids: readonly string[]): AsyncIterable<readonly JournalFind[]>;
  /** Undefined where it has no record of `id` that is not done with. `ahead` as in journal.ts. Throws the system's error. */
  read(id: string, ahead?: boolean): Soon<JournalCopy | DamagedRecord | undefined>;
}

/** The journal of its owner, who knows it by heart. */
export function ownJournal(journal: Journal): JournalReader {
  return {
    found: () => journal.found(),
    async ids() {
      await journal.reading();
      return journal.ids();
    },
    async holds(ids) {
      await journal.reading();
      return new Set(ids.filter((id) => journal.has(id)));
    },
    read: (id, ahead) => journal.read(id, ahead),
    readMany: (ids) => journal.readMany(ids),
  };
}

function envelopeOf(
  id: string,
  copy: Exclude<JournalFind["copy"], undefined>,
  parse = parseEnvelope,
): Envelope | Damaged {
  return "damaged" in copy ? copy : parse(copy.envelope, id, `${id} in the journal`);
}

/** The messages of records of the segment at `path`, which somebody found there who does not own the journal. */
export function messagesOf(path: string, records: readonly LiveRecord[]): readonly StoredMessage[] {
  return records.map((live) => {
    const { id, copy } = findOf(live, path);
    return { id, envelope: envelopeOf(id, copy, scanEnvelope) };
  });
}

async function* nothing(): AsyncGenerator<never> {
  // There is none.
}

const noJournal: JournalReader = {
  found: nothing,
  ids: async () => [],
  holds: async () => new Set(),
  read: () => undefined,
  readMany: nothing,
};

/** How envelopes are understood, and who is told of each what it says, undefined where it cannot be used. */
export interface EnvelopeUse {
  readonly parse: typeof parseEnvelope;
  readonly found?: (id: string, text: string | undefined) => void;
}

export function newSpoolReader(
  disk: Disk,
  directory: string,
  journal: JournalReader = noJournal,
  { parse, found: tell = () => undefined }: EnvelopeUse = { parse: parseEnvelope },
): FileSpoolReader {
  const queue = join(directory, "queue");
  const messages = join(directory, "messages");

  /** Undefined where it cannot be read: what is the matter is told by who asks for its size, or streams it. */
  async function smallBody(path: string, octets: number): Promise<Buffer | undefined> {
    try {
      return await disk.readStart(path, octets);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      return undefined;
    }
  }

  /** Finds in its files the envelope of `id`, or what is wrong. */
  function envelopeIn(found: BulkFile): Envelope | Damaged {
    const { name: id, text } = found;
    const envelope = envelopeInFiles(found);
    const isThere = typeof text === "string" || text.code !== "ENOENT";
    if (isThere) tell(id, isDamaged(envelope) || typeof text !== "string" ? undefined : text);
    return envelope;
  }

  function envelopeInFiles({ name: id, text, size }: BulkFile): Envelope | Damaged {
    if (typeof text !== "string") return unreadable(text);
    const file = `${queue}/${id}`;
    const envelope = parse(text, id, file);
    if (isDamaged(envelope)) return envelope;
    if (typeof size !== "number") return unreadable(size);
    if (size === envelope.size) return envelope;
    const body = join(messages, id);
    return {
      damaged: `${body}: expected ${String(envelope.size)} octets, as ${file} says, found ${String(size)}`,
    };
  }

  function envelopeInRecord(id: string, copy: Exclude<JournalFind["copy"], undefined>): Envelope | Damaged {
    const envelope = envelopeOf(id, copy, parse);
    tell(id, isDamaged(envelope) || isDamaged(copy) ? undefined : copy.envelope);
    return envelope;
  }

  /** The envelope of a record, or undefined where it has a file. */
  async function readRecord(id: string): Promise<Envelope | Damaged | undefined> {
    try {
      const copy = await journal.read(id);
      return copy && envelopeInRecord(id, copy);
    } catch (error) {
      if (errorCode(error) === "" || passing.includes(errorCode(error))) throw error;
      return { damaged: errorText(error) };
    }
  }

  async function read(id: string): Promise<Envelope | Damaged> {
    const recorded = await readRecord(id);
    if (recorded !== undefined) return recorded;
    const text = await disk.readText(join(queue, id)).catch(asReadError);
    const size = typeof text === "string" ? await disk.size(join(messages, id)).catch(asReadError) : 0;
    return envelopeIn({ name: id, text, size });
  }

  async function* early(): AsyncGenerator<readonly StoredMessage[]> {
    for await (const batch of understood(journal.found())) {
      yield batch;
      await turn();
    }
  }

  async function* readMany(ids: readonly string[]): AsyncGenerator<readonly StoredMessage[]> {
    const recorded = await journal.holds(ids);
    if (recorded.size === 0) return yield* readFiles(ids);
    // Each of the two goes on as fast as it can, and is asked for what comes next in the order of the IDs.
    const records = newCursor(readRecords(ids.filter((id) => recorded.has(id))));
    const files = newCursor(readFiles(ids.filter((id) => !recorded.has(id))));
    let batch: StoredMessage[] = [];
    for (const id of ids) {
      const cursor = recorded.has(id) ? records : files;
      const found = cursor.taken() ?? (await cursor.next());
      if (found !== undefined) batch.push(found);
      if (batch.length < atATime) continue;
      yield batch;
      batch = [];
      await turn();
    }
    if (batch.length > 0) yield batch;
  }

  const readRecords = (ids: readonly string[]) => understood(journal.readMany(ids));

  async function* understood(
    records: AsyncIterable<readonly JournalFind[]>,
  ): AsyncGenerator<readonly StoredMessage[]> {
    for await (const finds of records) {
      const found: StoredMessage[] = [];
      for (const { id, copy } of finds) {
        found.push({ id, envelope: copy === undefined ? await read(id) : envelopeInRecord(id, copy) }); // it moved meanwhile
      }
      yield found;
    }
  }

  async function* readFiles(ids: readonly string[]): AsyncGenerator<readonly StoredMessage[]> {
    let read = 0;
    for await (const files of disk.readMany?.({ texts: queue, sizes: messages, names: ids }) ?? []) {
      yield files.map((file) => ({ id: file.name, envelope: envelopeIn(file) }));
      read += files.length;
      await turn();
    }
    yield* readOneByOne(ids.slice(read));
  }

  async function* readOneByOne(ids: readonly string[]): AsyncGenerator<readonly StoredMessage[]> {
    for (let at = 0; at < ids.length; at += sideBySide) {
      const part = ids.slice(at, at + sideBySide);
      yield await Promise.all(part.map(async (id) => ({ id, envelope: await read(id) })));
      await turn();
    }
  }

  function load(id: string, most: number, known?: Envelope): Soon<LoadedMessage | Damaged> {
    const copy = journal.read(id, true);
    return copy === undefined || copy instanceof Promise
      ? loadLater(copy, id, most, known)
      : loadRecord(copy, id, most, known);
  }

  function loadRecord(
    copy: JournalCopy | DamagedRecord,
    id: string,
    most: number,
    known: Envelope | undefined,
  ): LoadedMessage | Damaged {
    if ("damaged" in copy) return copy;
    const envelope = known ?? parseEnvelope(copy.envelope, id, `${id} in the journal`);
    if (isDamaged(envelope)) return envelope;
    return copy.body.length <= most ? { envelope, body: copy.body } : { envelope };
  }

  async function loadLater(
    inJournal: Soon<JournalCopy | DamagedRecord | undefined>,
    id: string,
    most: number,
    known: Envelope | undefined,
  ): Promise<LoadedMessage | Damaged> {
    const file = join(queue, id);
    try {
      const copy = await inJournal;
      if (copy !== undefined) return loadRecord(copy, id, most, known);
      const envelope = known ?? parseEnvelope(await disk.readText(file), id, file);
      if (isDamaged(envelope)) return envelope;
      const path = join(messages, id);
      const { size } = envelope;
      // One octet more than there should be shows a body that is too long, without asking for its size as well.
      const body = size <= most ? await smallBody(path, size + 1) : undefined;
      if (body?.length === size) return { envelope, body };
      const found = await disk.size(path);
      if (found === size) return { envelope };
      return { damaged: `${path}: expected ${String(size)} octets, as ${file} says, found ${String(found)}` };
    } catch (error) {
      if (errorCode(error) === "" || passing.includes(errorCode(error))) throw error;
      return { damaged: errorText(error) };
    }
  }

  async function has(id: string): Promise<boolean> {
    try {
      if ((await journal.read(id)) !== undefined) return true;
      await disk.size(join(queue, id));
      return true;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  /** The message of a record, or undefined where it has a file. Throws where it is damaged. */
  async function recorded(id: string): Promise<Buffer | undefined> {
    const copy = await journal.read(id);
    if (copy === undefined) return undefined;
    if ("damaged" in copy) throw Object.assign(new Error(copy.damaged), { code: "EBADMSG" });
    return copy.body;
  }

  const fileOf = (id: string): Readable => disk.stream(join(messages, id), Number.POSITIVE_INFINITY);

  return {
    has,
    async ids() {
      const early = await journal.ids(); // first: what moves meanwhile is found in the queue
      const inFiles = (await disk.list(queue)).filter(isQueueId);
      return early.length === 0 ? inFiles.sort() : [...new Set([...early, ...inFiles])].sort();
    },
    read,
    readMany,
    early,
    load,
    body: (id) =>
      journal === noJournal ? fileOf(id) : new FoundStream(async () => (await recorded(id)) ?? fileOf(id)),
    async bodyStart(id, octets) {
      const all = await recorded(id);
      if (all !== undefined) return all.subarray(0, octets);
      return disk.readStart(join(messages, id), octets);
    },
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
    if (format === journalFormat) return newSpoolReader(disk, directory, viewedJournal(disk, directory));
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

/** The journal beside its owner. A message that moved to the queue meanwhile is the queue's. */
function viewedJournal(disk: Disk, directory: string): JournalReader {
  const view = viewJournal(disk, journalIn(directory));
  const inQueue = (): Promise<readonly string[]> => disk.list(join(directory, "queue"));
  return {
    found: nothing,
    ids: () => view.ids(),
    async holds(ids) {
      const there = await view.envelopes();
      const moved = new Set(await inQueue());
      return new Set(ids.filter((id) => there.has(id) && !moved.has(id)));
    },
    async *readMany(ids) {
      const there = await view.envelopes();
      for (let at = 0; at < ids.length; at += atATime) {
        yield ids.slice(at, at + atATime).map((id) => ({ id, copy: there.get(id) }));
      }
    },
    async read(id) {
      const copy = await view.read(id);
      if (copy === undefined) return undefined;
      try {
        await disk.size(join(directory, "queue", id));
        return undefined;
      } catch (error) {
        if (errorCode(error) === "ENOENT") return copy;
        throw error;
      }
    },
  };
}
