/**
 * The front journal: messages as records in segments that all sessions write together. What waits at one time is written
 * with one call and made durable with one more. docs/spool.md, "The front journal", tells each state and what a crash leaves.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type Soon, whenThere } from "../../at-once.ts";
import type { Directory } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import { unlinkIfThere } from "./commit.ts";
import type { Disk } from "./disk.ts";
import {
  copyOf,
  type DamagedRecord,
  type JournalCopy,
  type JournalFind,
  type JournalListing,
  listJournal,
  readContent,
  readDoneLines,
  type SegmentContent,
  type SegmentMemory,
} from "./journal-reading.ts";
import { formatRecord, headLength, recordLength, sumOf } from "./journal-record.ts";
import { type JournalFolder, openSegment, type Segment } from "./journal-segment.ts";
import { newSegmentShelf, type SegmentShelf } from "./journal-shelf.ts";

/** A message on its way into the journal. */
export interface JournalMessage {
  readonly id: string;
  /** One line of JSON, without its end. */
  readonly envelope: string;
  /** Not changed from here on. */
  readonly body: readonly Buffer[];
}

export interface Journal {
  /**
   * While what was there is still being read: resolves when all of it is known, and rejects with the system's error. Until then
   * {@link has}, {@link ids} and {@link knows} tell of what has been read so far, and the others wait where that matters.
   */
  reading(): Promise<void> | undefined;
  /** The envelopes of what was there at the start, in batches, as they are read. For one caller. Throws the system's error. */
  found(): AsyncIterable<readonly JournalFind[]>;
  /** Octets of the longest record that it takes. */
  readonly longest: number;
  /** Durable when it resolves. Throws the system's error: then it is not there. */
  add(message: JournalMessage): Promise<void>;
  /** Whether {@link add} threw this because the disk has no room for a segment: nothing was written. */
  isForSegment(error: unknown): boolean;
  /** Whether a message with an envelope, of so many octets together, takes nothing new from the disk. */
  hasRoomFor(octets: number): boolean;
  /** Finds out whether the disk takes what {@link add} would write, and leaves nothing behind. Throws as that does. */
  trial(): Promise<void>;
  has(id: string): boolean;
  /** What is not done with. */
  ids(): readonly string[];
  /** Whether it had this ID when it was opened, also of a message that is done with: it must not come again. */
  knows(id: string): boolean;
  /**
   * Throws the system's error; undefined where it is not there. `ahead` where others are read soon: then it may be what the disk
   * gave for one of those a moment ago.
   */
  read(id: string, ahead?: boolean): Soon<JournalCopy | DamagedRecord | undefined>;
  /** The envelope for each of `ids`, in batches in their order; quick where they are in the order of time. */
  readMany(ids: readonly string[]): AsyncIterable<readonly JournalFind[]>;
  /** What begins at `offset` in the segment, and cannot be read, is in damaged/: durable when it resolves. Throws the system's error. */
  setAside(segment: number, offset: number): Promise<void>;
  /**
   * The message is done with, or has `moved`: its files are durable in `queue/` and `messages/`. Gone as soon as this is called,
   * also for a kill, and no power cut brings it back when it resolves. Does nothing where it is not there. Throws the system's
   * error, and has it again unless it moved: call again.
   */
  end(id: string, moved?: boolean): Promise<void>;
  /**
   * Removes from the disk what messages that are done with left in segments without others. Throws the system's error, and
   * leaves something of it then.
   */
  forget(): Promise<void>;
  /** Call when nothing is going on any more. */
  close(): Promise<void>;
}

export interface JournalOptions {
  /** Octets of a segment. */
  readonly size: number;
  /** Whether `queue/` has the message: then its record is done with. */
  readonly isInQueue: (id: string) => boolean;
  /** What is thrown in place of a system's error that keeps it from being read. */
  readonly asFailure?: (error: unknown) => unknown;
  /** 16 upper-case hexadecimal digits that nobody can guess; drawn by chance where absent. */
  readonly drawMark?: () => string;
}

/** Where a message is. */
interface Entry {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
  /** As the start read it, until somebody asks for it. */
  envelope: string | undefined;
}

/** Durable octets of a segment, read in one call. */
interface Stretch {
  readonly segment: Segment;
  readonly from: number;
  /** Behind its last octet. */
  readonly end: number;
  readonly octets: Promise<Buffer>;
  /** The same once it has been read. */
  here?: Buffer;
  /** Messages that were taken from it. */
  uses: number;
}

/** A message that waits for its batch. */
interface WaitingAppend {
  readonly message: JournalMessage;
  readonly envelope: Buffer;
  readonly length: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Octets of a batch at the most. Our choice: so much is written in a few milliseconds. */
const largestBatch = 4 * 1024 * 1024;

/** Octets of messages that are kept in memory besides. Our choice: some thousands. */
const remembered = 16 * 1024 * 1024;

/** Characters of envelopes that a start keeps for whoever asks for all of them next. Our choice: some hundred thousand. */
const keptFromStart = 64 * 1024 * 1024;

/** Of them, so many in one go. Our choice, as in bulk-read.ts. */
const keptAtOnce = 64;

/** Octets of records that are read in one call. Our choice. */
const readAtOnce = 1024 * 1024;

/**
 * Octets that are read for one message, since the next ones are often asked for soon, and how many such stretches are kept.
 * Our choices: some twenty messages, and one MiB for all.
 */
const readAhead = 128 * 1024;
const mostStretches = 8;

/** Messages after which the stretch behind is read as well: then they are asked for in their order. Our choice. */
const usesInOrder = 4;

const full: readonly string[] = ["ENOSPC", "EDQUOT"];

/** What a trial writes where the next record will be: no record. */
const blank = Buffer.alloc(headLength);

/** A record may take this part of a segment, so that little is left over at its end. */
const shareOfSegment = 4;

const drawByChance = (): string => randomBytes(8).toString("hex").toUpperCase();

/**
 * Opens the journal in `folder`, which is there and is ours, and begins to read it: when {@link Journal.reading} is over, what was
 * promised is known, and what was torn or moved is noted. Throws the system's error.
 */
export async function openJournal(
  disk: Disk,
  folder: Directory,
  { size, isInQueue, asFailure = (error) => error, drawMark = drawByChance }: JournalOptions,
): Promise<Journal> {
  const place: JournalFolder = { disk, folder, size };
  const index = new Map<string, Entry>();
  /** Their done line is written, but not known to be durable. */
  const ending = new Map<string, Entry>();
  const known = new Set<string>();
  /** Messages that came a moment ago, the oldest first. */
  const recent = new Map<string, JournalCopy>();
  let recentOctets = 0;
  /** The one that was read last comes first. */
  let stretches: readonly Stretch[] = [];
  let keptCharacters = 0;
  const segments = new Set<Segment>();
  const memory: SegmentMemory = { octets: Buffer.alloc(0) };
  // Who died while putting a segment back may have renamed it in memory only. First make that true on disk: its done
  // lines are removed below, and a power cut could bring it back without them.
  await folder.sync();
  const listing = await listJournal(disk, folder.path);
  let lastRead: Promise<readonly string[]> = Promise.resolve([]);
  /** For each segment that is there, the IDs of what is to be done with. */
  const reads = listing.segments.map((one) => {
    lastRead = lastRead.then(() => recoverSegment(one));
    return lastRead;
  });
  /** Nothing is written to a new segment before: a free one may be an old one that is still to be read, under a second name. */
  const recovered = lastRead.then(recoverRest).catch((error: unknown) => {
    throw asFailure(error);
  });
  let shelf: SegmentShelf | undefined;
  let reading: Promise<void> | undefined = recovered.then((made) => {
    shelf = made;
    reading = undefined;
  });
  reading.catch(() => undefined); // whoever waits for it is told
  const waiting: WaitingAppend[] = [];
  /** Who wants to know whether the disk works. */
  const trials: Pick<WaitingAppend, "resolve" | "reject">[] = [];
  let writing: Promise<void> | undefined;
  /** The segment that takes records, and where the next one goes. */
  let current: { readonly segment: Segment; end: number } | undefined;
  let housekeeping: Promise<void> = Promise.resolve();
  /** The last one that says that there is no room for a segment. */
  let withoutSegment: unknown;

  async function recoverSegment(one: JournalListing["segments"][number]): Promise<readonly string[]> {
    const lines = await readDoneLines(disk, folder.path, listing, one);
    const content = await readContent(disk, join(folder.path, one.name), one.mark, lines, memory);
    const editions = listing.done.flatMap(({ number, edition }) => (number === one.number ? [edition] : []));
    const segment = await openSegment(place, one, { editions, lines });
    await segment.file.sync(); // who was killed may have written what no power cut would leave
    segments.add(segment);
    return settle(segment, content);
  }

  async function recoverRest(): Promise<SegmentShelf> {
    memory.octets = Buffer.alloc(0);
    for (const { name, number } of listing.done) {
      if (!listing.segments.some((segment) => segment.number === number)) {
        await unlinkIfThere(disk, join(folder.path, name));
      }
    }
    const free: number[] = [];
    for (const { name, number } of listing.free) {
      const path = join(folder.path, name);
      if ((await disk.size(path)) === size) free.push(number);
      else await unlinkIfThere(disk, path);
    }
    const made = newSegmentShelf(place, drawMark, free, listing.last);
    for (const segment of segments) {
      if (segment.live > 0 || segment.unreadable.size > 0) continue;
      segments.delete(segment);
      segment.isGivenUp = true; // a power cut may have left its file under a free one's name as well
      await made.putBack(segment);
    }
    await folder.sync();
    return made;
  }

  /** Takes up what is promised in a segment, and notes what is not, and what moved. Gives the IDs of what is to be done with. */
  async function settle(
    segment: Segment,
    { ids, live, unreadable, torn, end, isWhole }: SegmentContent,
  ): Promise<readonly string[]> {
    const here: string[] = [];
    for (const id of ids) known.add(id);
    for (const { offset } of unreadable) segment.unreadable.add(offset);
    const notes = torn.map((offset) => segment.note({ word: "torn", offset }));
    for (const { id, record } of live) {
      if (isInQueue(id)) notes.push(segment.note({ word: "done", id }));
      else {
        segment.live += 1;
        const { offset, end: behind, envelope, isBodySound } = record;
        const isKept = isBodySound && keptCharacters + envelope.length <= keptFromStart;
        if (isKept) keptCharacters += envelope.length;
        const kept = isKept ? envelope : undefined;
        index.set(id, { segment, offset, length: behind - offset, envelope: kept });
        here.push(id);
      }
    }
    if (!isWhole) notes.push(segment.note({ word: "whole", offset: end }));
    await all(notes);
    return here;
  }

  async function write(): Promise<void> {
    await setImmediate(); // what else comes in this turn shares the batch
    while (waiting.length + trials.length > 0) {
      try {
        await writeBatch(await segmentWithRoom(waiting[0]?.length ?? blank.length));
      } catch (error) {
        if (full.includes(errorCode(error))) withoutSegment = error;
        for (const one of [...waiting.splice(0), ...trials.splice(0)]) one.reject(error);
      }
    }
    writing = undefined;
  }

  async function segmentWithRoom(octets: number): Promise<{ readonly segment: Segment; end: number }> {
    if (current !== undefined && current.end + octets <= size) return current;
    const last = current;
    current = undefined;
    if (last !== undefined) leave(last);
    const from = await recovered;
    const segment = await from.take();
    segments.add(segment);
    current = { segment, end: 0 };
    from.prepare().catch(() => undefined); // whoever needs it is told
    return current;
  }

  /** All of its records are durable, and no more come. */
  function leave({ segment, end }: { readonly segment: Segment; readonly end: number }): void {
    segment.note({ word: "whole", offset: end }).catch(() => undefined); // it only helps to find damage
    recycleIfDone(segment);
  }

  /** Writes as many as there is room for, and tells each what came of it. */
  async function writeBatch(into: { readonly segment: Segment; end: number }): Promise<void> {
    const { segment, end: batch } = into;
    const taken: { readonly one: WaitingAppend; readonly entry: Entry }[] = [];
    const octets: Uint8Array[] = [];
    let end = batch;
    for (const one of waiting) {
      const { message, envelope, length } = one;
      if (end + length > size || (taken.length > 0 && end + length - batch > largestBatch)) break;
      const { mark } = segment;
      const sum = message.body.reduce((before, part) => sumOf(part, before), 0);
      octets.push(...formatRecord({ mark, offset: end, batch }, envelope, message.body, sum));
      taken.push({ one, entry: { segment, offset: end, length, envelope: undefined } });
      end += length;
    }
    waiting.splice(0, taken.length);
    const trying = trials.splice(0);
    if (taken.length === 0) octets.push(blank);
    try {
      await segment.file.write(octets, batch);
      await segment.file.sync(); // the promise
    } catch (error) {
      const failed = taken.map(({ one }) => one);
      for (const one of trying) one.reject(error);
      // Their clients hear of it once a death at this moment can no longer bring the messages back.
      void giveUp(
        into,
        failed.map(({ message }) => message.id),
      ).then(() => {
        for (const one of failed) one.reject(error);
      });
      return;
    }
    into.end = end;
    for (const one of trying) one.resolve();
    for (const { one, entry } of taken) {
      segment.live += 1;
      index.set(one.message.id, entry);
      remember(one);
      one.resolve();
    }
  }

  /** So that its first delivery need not read it. The oldest ones make room. */
  function remember({ message: { id, envelope, body }, length }: WaitingAppend): void {
    if (length > remembered) return;
    const [only, ...more] = body;
    recent.set(id, { envelope, body: only !== undefined && more.length === 0 ? only : Buffer.concat(body) });
    recentOctets += length;
    for (const old of recent.keys()) {
      if (recentOctets <= remembered) break;
      forget(old);
    }
  }

  function forget(id: string): void {
    if (recent.delete(id)) recentOctets -= index.get(id)?.length ?? 0;
  }

  /**
   * The kernel reports a lost write once and takes the page for clean then, so that a later fdatasync proves nothing
   * about this segment. `failed` was not promised: what of it reached the disk shall not be delivered. Resolves when the lines
   * that say so are written, or cannot be.
   */
  async function giveUp(
    into: { readonly segment: Segment; readonly end: number },
    failed: readonly string[],
  ): Promise<void> {
    const { segment } = into;
    segment.isGivenUp = true;
    current = undefined;
    segment.live += 1; // it is not recycled before these lines are tried
    await Promise.allSettled(failed.map((id) => segment.note({ word: "done", id })));
    segment.live -= 1;
    leave(into);
  }

  function recycleIfDone(segment: Segment): void {
    if (segment.live > 0 || segment.unreadable.size > 0) return;
    if (segment === current?.segment || !segments.has(segment)) return;
    segments.delete(segment);
    // A segment that cannot be put back now is looked at by the next start; a folder that fails is told by its own sync.
    housekeeping = housekeeping
      .then(async () => {
        await reading?.catch(() => undefined); // whoever waits for it is told
        await shelf?.putBack(segment);
      })
      .catch((error: unknown) => {
        if (errorCode(error) === "") throw error;
      });
  }

  /** What the start has kept of `ids`, from `at` on, as far as it goes for one batch; nobody gets it a second time. */
  function keptFrom(ids: readonly string[], at: number): readonly JournalFind[] {
    const kept: JournalFind[] = [];
    for (const id of ids.slice(at, at + keptAtOnce)) {
      const entry = index.get(id);
      if (entry?.envelope === undefined) break;
      kept.push({ id, copy: { envelope: entry.envelope } });
      entry.envelope = undefined;
    }
    return kept;
  }

  /** How many of `ids`, from `at` on, are read in one call: they follow each other in a segment, or nearly so. */
  function runOf(ids: readonly string[], at: number): number {
    const first = index.get(ids[at] ?? "");
    if (first === undefined) return 1;
    const from = first.offset;
    let before = from;
    let next = at + 1;
    for (; next < ids.length; next += 1) {
      const entry = index.get(ids[next] ?? "");
      if (entry?.segment !== first.segment || entry.offset < before) break;
      if (entry.offset + entry.length - from > readAtOnce) break;
      before = entry.offset;
    }
    return next - at;
  }

  async function readRun(ids: readonly string[]): Promise<readonly JournalFind[]> {
    const places = ids.map((id) => ({ id, entry: index.get(id) }));
    const [first] = places;
    const last = places.at(-1);
    if (first?.entry === undefined || last?.entry === undefined)
      return ids.map((id) => ({ id, copy: undefined }));
    const { segment, offset: from } = first.entry;
    const octets = await segment.file
      .read(last.entry.offset + last.entry.length - from, from)
      .catch((error: unknown) => {
        if (errorCode(error) === "") throw error;
        return undefined;
      });
    // The disk does not give one of them, or for the moment none: each by itself then.
    if (octets === undefined)
      return Promise.all(ids.map(async (id) => ({ id, copy: await readOrFault(id) })));
    return places.map(({ id, entry }) => {
      if (entry === undefined) return { id, copy: undefined };
      const { offset, length } = entry;
      return { id, copy: copyOf(octets.subarray(offset - from, offset - from + length), segment, offset) };
    });
  }

  async function end(id: string, moved = false): Promise<void> {
    const there = index.get(id);
    const entry = there ?? ending.get(id);
    if (entry === undefined) return;
    forget(id);
    index.delete(id);
    ending.set(id, entry);
    const { segment } = entry;
    try {
      await segment.note({ word: "done", id }); // the line is written in this very call
    } catch (error) {
      if (there !== undefined && !moved && ending.delete(id)) index.set(id, entry);
      throw error;
    }
    if (!ending.delete(id)) return; // it was called twice
    segment.live -= 1;
    recycleIfDone(segment);
  }

  function read(id: string, ahead = false): Soon<JournalCopy | DamagedRecord | undefined> {
    const entry = index.get(id);
    if (entry === undefined) return reading?.then(() => read(id, ahead));
    const recently = recent.get(id);
    if (recently !== undefined) return recently;
    const { segment, offset, length } = entry;
    const octets = ahead ? readWithNext(entry) : segment.file.read(length, offset);
    return whenThere(octets, (found) => copyOf(found, segment, offset));
  }

  function readWithNext(entry: Entry): Soon<Buffer> {
    const { segment, offset, length } = entry;
    const end = offset + length;
    // What is not durable yet may be written anew.
    const durable = segment === current?.segment ? current.end : size;
    if (length > readAhead / 4 || end > durable) return segment.file.read(length, offset);
    const stretch =
      stretches.find((one) => one.segment === segment && one.from <= offset && end <= one.end) ??
      readStretch(segment, offset, Math.min(durable, offset + readAhead));
    stretch.uses += 1;
    if (stretch.uses === usesInOrder) readBehind(stretch, durable);
    return stretch.here === undefined
      ? readInStretch(stretch, entry)
      : partOf(stretch.here, offset - stretch.from, length);
  }

  async function readInStretch(stretch: Stretch, { segment, offset, length }: Entry): Promise<Buffer> {
    try {
      return partOf(await stretch.octets, offset - stretch.from, length);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      stretches = stretches.filter((one) => one !== stretch);
      return segment.file.read(length, offset); // another place of the stretch may be the one that cannot be read
    }
  }

  /** Reads on, from where a record may begin that is cut by the end of `stretch`. */
  function readBehind({ segment, from: before, end: last }: Stretch, durable: number): void {
    const from = last - readAhead / 4;
    const end = Math.min(durable, from + readAhead);
    const isThere = stretches.some((one) => one.segment === segment && one.from <= from && last < one.end);
    if (from > before && end > last && !isThere) readStretch(segment, from, end);
  }

  /** Of its own: it may be in hand for long. */
  const partOf = (octets: Buffer, from: number, length: number): Buffer =>
    Buffer.from(octets.subarray(from, from + length));

  function readStretch(segment: Segment, from: number, end: number): Stretch {
    const stretch: Stretch = { segment, from, end, octets: segment.file.read(end - from, from), uses: 0 };
    stretches = [stretch, ...stretches.slice(0, mostStretches - 1)];
    stretch.octets.then(
      (octets) => {
        stretch.here = octets;
      },
      () => undefined, // who waits for it is told
    );
    return stretch;
  }

  async function readOrFault(id: string): Promise<JournalCopy | DamagedRecord | undefined> {
    try {
      return await read(id);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      return { damaged: errorText(error) };
    }
  }

  async function* manyOf(ids: readonly string[]): AsyncGenerator<readonly JournalFind[]> {
    for (let at = 0; at < ids.length; ) {
      const kept = keptFrom(ids, at);
      const run = kept.length > 0 ? kept : await readRun(ids.slice(at, at + runOf(ids, at)));
      yield run;
      at += run.length;
    }
  }

  return {
    reading: () => reading,
    async *found() {
      for (const read of reads) {
        const ids = await read.catch(() => undefined);
        if (ids === undefined) return reading;
        yield* manyOf(ids);
      }
    },
    longest: Math.floor(size / shareOfSegment),
    isForSegment: (error) => error !== undefined && error === withoutSegment,
    hasRoomFor(octets) {
      return (
        (current !== undefined && current.end + headLength + octets + 2 <= size) || shelf?.hasFree() === true
      );
    },
    trial: () =>
      new Promise((resolve, reject) => {
        trials.push({ resolve, reject });
        writing ??= write();
      }),
    readMany: manyOf,
    async setAside(number, offset) {
      await reading;
      const segment = [...segments].find((one) => one.number === number);
      if (segment === undefined) return;
      await segment.note({ word: "aside", offset });
      for (const [id, entry] of index) {
        if (entry.segment === segment && entry.offset === offset) await end(id);
      }
      segment.unreadable.delete(offset);
      recycleIfDone(segment);
    },
    add(message) {
      const envelope = Buffer.from(message.envelope);
      const body = message.body.reduce((sum, part) => sum + part.length, 0);
      const length = recordLength(envelope.length, body);
      if (length > size)
        throw new RangeError(`a record of ${String(length)} octets is too long for the journal`);
      return new Promise((resolve, reject) => {
        waiting.push({ message, envelope, length, resolve, reject });
        writing ??= write();
      });
    },
    has: (id) => index.has(id),
    ids: () => [...index.keys()],
    knows: (id) => known.has(id),
    read,
    end,
    async forget() {
      const last = current;
      if (writing === undefined && last !== undefined && last.end > 0 && last.segment.live === 0) {
        current = undefined;
        last.segment.isGivenUp = true; // so that it is removed, not put back
        leave(last);
      }
      await housekeeping;
      await (await recovered).renew();
    },
    async close() {
      await reading?.catch(() => undefined); // whoever waited for it was told
      await writing;
      const last = current;
      current = undefined;
      if (last !== undefined) {
        await last.segment.note({ word: "whole", offset: last.end }).catch(() => undefined);
        recycleIfDone(last.segment);
      }
      await housekeeping;
      await shelf?.settled();
      for (const segment of segments) await segment.close();
      await folder.close();
    },
  };
}

async function all(steps: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(steps)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
