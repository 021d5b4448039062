/**
 * What lies in a journal: every segment read, with what its done files say. By its owner at the start, and beside the
 * owner by whoever looks.
 */
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { errorCode } from "../../failure.ts";
import type { Disk, PlacedFile } from "./disk.ts";
import { type DoneLine, type JournalName, parseDoneLines, parseJournalName } from "./journal-names.ts";
import {
  bodyOffset,
  type FoundRecord,
  isSound,
  readRecord,
  readSegment,
  type SegmentPart,
  type UnreadableOctets,
} from "./journal-record.ts";

/** The files of a journal, by what they are. */
export interface JournalListing {
  /** In the order of time. */
  readonly segments: readonly { readonly name: string; readonly number: number; readonly mark: string }[];
  readonly done: readonly { readonly name: string; readonly number: number; readonly edition: number }[];
  readonly free: readonly { readonly name: string; readonly number: number }[];
  /** The highest number of all, 0 where there is none. */
  readonly last: number;
}

const noFiles: JournalListing = { segments: [], done: [], free: [], last: 0 };

/** Throws the system's error. */
export async function listJournal(disk: Disk, path: string): Promise<JournalListing> {
  const found = (await disk.list(path)).flatMap((name) => {
    const parsed = parseJournalName(name);
    return parsed === undefined ? [] : [{ name, ...parsed }];
  });
  const of = <Kind extends JournalName["kind"]>(kind: Kind) =>
    found.filter((one): one is Extract<typeof one, { kind: Kind }> => one.kind === kind);
  return {
    segments: of("segment").sort((a, b) => a.number - b.number),
    done: of("done").sort((a, b) => a.edition - b.edition),
    free: of("free"),
    last: found.reduce((last, { number }) => Math.max(last, number), 0),
  };
}

/** A record whose message is not done with, or that is damaged. */
export interface LiveRecord {
  readonly id: string;
  readonly record: FoundRecord;
}

export interface SegmentContent {
  readonly lines: readonly DoneLine[];
  /** What is still to be done with, its envelope sound. A message that is not sound is damage. */
  readonly live: readonly LiveRecord[];
  /** IDs of all of its records. */
  readonly ids: readonly string[];
  /** Octets that cannot be read and were promised. */
  readonly unreadable: readonly UnreadableOctets[];
  /** Places of what cannot be read, was never promised, and is not noted yet. */
  readonly torn: readonly number[];
  /** Where its last sound record ends. */
  readonly end: number;
  /** Whether the done file says of all of it that it was durable. */
  readonly isWhole: boolean;
}

/** Octets that are read in one call. Our choice: others who wait for the disk come in between. */
const atOnce = 1024 * 1024;

/** Octets that a disk gives or refuses together. */
const sector = 4096;

/** A file's octets, with zeros where the disk refuses them. */
interface ReadOctets {
  readonly octets: Buffer;
  /** They are a part of it. */
  readonly room: Buffer;
  readonly refused: readonly OctetRange[];
}

interface OctetRange {
  readonly offset: number;
  readonly end: number;
}

/** Memory for the octets of one segment after the other: to ask for it anew costs more than to read them. */
export interface SegmentMemory {
  octets: Buffer;
}

/** For so many octets; nobody else gets it before it is given back. */
function takeRoom(memory: SegmentMemory, size: number): Buffer {
  const room = memory.octets.length < size ? Buffer.allocUnsafeSlow(size) : memory.octets;
  memory.octets = Buffer.alloc(0);
  return room;
}

/** All of a file, in parts; they may be in `memory`. Throws the system's error, but for a bad sector. */
async function readWhole(
  disk: Disk,
  path: string,
  memory: SegmentMemory = { octets: Buffer.alloc(0) },
): Promise<ReadOctets> {
  const file = await disk.openPlaced(path, "read");
  try {
    const size = await disk.size(path);
    const room = takeRoom(memory, size);
    const refused: OctetRange[] = [];
    let filled = 0;
    while (filled < size) {
      const offset = filled;
      const end = Math.min(size, offset + atOnce);
      const into = room.subarray(offset, end);
      const part = await file.read(end - offset, offset, into).catch((error: unknown) => {
        if (errorCode(error) !== "EIO") throw error;
        return readSectors(file, { offset, end }, refused);
      });
      if (part.buffer !== room.buffer) part.copy(room, filled);
      filled += part.length;
      if (part.length === 0) break; // cut off meanwhile
    }
    return { octets: room.subarray(0, filled), room, refused };
  } finally {
    await file.close();
  }
}

/** What there is in `range`, and adds to `refused` what is not. Throws the system's error, but for a bad sector. */
async function readSectors(file: PlacedFile, range: OctetRange, refused: OctetRange[]): Promise<Buffer> {
  const octets = Buffer.alloc(range.end - range.offset);
  for (let at = range.offset; at < range.end; at += sector) {
    const end = Math.min(range.end, at + sector);
    try {
      (await file.read(end - at, at)).copy(octets, at - range.offset);
    } catch (error) {
      if (errorCode(error) !== "EIO") throw error;
      const last = refused.at(-1);
      if (last?.end === at) refused[refused.length - 1] = { offset: last.offset, end };
      else refused.push({ offset: at, end });
    }
  }
  return octets;
}

/** The octets of a segment from `offset` to `end`, with zeros where the disk refuses them. Throws the system's error otherwise. */
export async function readOctets(disk: Disk, path: string, { offset, end }: OctetRange): Promise<Buffer> {
  const file = await disk.openPlaced(path, "read");
  try {
    return await readSectors(file, { offset, end: Math.min(end, await disk.size(path)) }, []);
  } finally {
    await file.close();
  }
}

/** What the done files of one segment say, the earliest first. */
export async function readDoneLines(
  disk: Disk,
  path: string,
  { done }: Pick<JournalListing, "done">,
  { number, mark }: { readonly number: number; readonly mark: string },
): Promise<readonly DoneLine[]> {
  const lines: DoneLine[] = [];
  for (const { name, number: of } of done) {
    if (of !== number) continue;
    const { octets } = await readWhole(disk, join(path, name));
    lines.push(...parseDoneLines(octets.toString("latin1"), mark));
  }
  return lines;
}

/** Reads one segment. `lines` are those of its done files. Throws the system's error. */
export async function readContent(
  disk: Disk,
  path: string,
  mark: string,
  lines: readonly DoneLine[],
  memory?: SegmentMemory,
): Promise<SegmentContent> {
  const { octets, room, refused } = await readWhole(disk, path, memory);
  const parts = await partsOf(octets, mark, wholeOf(lines));
  if (memory !== undefined) memory.octets = room;
  return contentOf(parts, lines, refused);
}

const wholeOf = (lines: readonly DoneLine[]): number =>
  lines.reduce((most, line) => (line.word === "whole" ? Math.max(most, line.offset) : most), 0);

/** In turns: others go on after each so many octets. */
async function partsOf(octets: Buffer, mark: string, whole: number): Promise<readonly SegmentPart[]> {
  const parts: SegmentPart[] = [];
  let turn = atOnce;
  for (const part of readSegment(octets, mark, whole)) {
    parts.push(part);
    if (part.end < turn) continue;
    turn = part.end + atOnce;
    await setImmediate();
  }
  return parts;
}

/** Draws the conclusions. Where the disk `refused` octets, what cannot be read may have been promised. */
export function contentOf(
  parts: readonly SegmentPart[],
  lines: readonly DoneLine[],
  refused: readonly OctetRange[] = [],
): SegmentContent {
  const done = new Set(lines.flatMap((line) => (line.word === "done" ? [line.id] : [])));
  const known = new Set(
    lines.flatMap((line) => (line.word === "torn" || line.word === "aside" ? [line.offset] : [])),
  );
  const lastBatch = parts.reduce(
    (last, part) => (part.kind === "record" ? Math.max(last, part.batch) : last),
    wholeOf(lines),
  );
  const ids: string[] = [];
  const live: LiveRecord[] = [];
  const unreadable: UnreadableOctets[] = [];
  const torn: number[] = [];
  for (const part of parts) {
    const { offset, end } = part;
    if (!isSound(part) && known.has(offset)) continue;
    if (!isSound(part) && offset >= lastBatch && refused.length === 0) torn.push(offset);
    else if (part.kind === "unreadable") unreadable.push(part);
    else {
      const id = idIn(part.envelope);
      if (id === undefined) {
        if (!known.has(offset)) unreadable.push({ kind: "unreadable", offset, end });
      } else {
        ids.push(id);
        if (!done.has(id)) live.push({ id, record: part });
      }
    }
  }
  for (const { offset, end } of refused) {
    const untold = parts.reduce((at, part) => (part.offset <= at ? Math.max(at, part.end) : at), offset);
    if (untold < end && !known.has(untold)) unreadable.push({ kind: "unreadable", offset: untold, end });
  }
  const end = parts.findLast(isSound)?.end ?? 0;
  const isWhole = end <= wholeOf(lines) || refused.length > 0; // else that line would say too much
  return { lines, live, ids, unreadable, torn, end, isWhole };
}

/** The queue ID in the envelope's line, whose sum is right. */
function idIn(envelope: string): string | undefined {
  return /^\{"version":\d+,"id":"([0-9A-F]{12})"/.exec(envelope)?.[1];
}

/** A segment as somebody finds it who does not own the journal. */
export interface ViewedSegment {
  readonly name: string;
  readonly number: number;
  readonly mark: string;
  readonly content: SegmentContent;
}

/** The files of the journal in `path`, for who does not own it. */
export async function viewJournalFiles(disk: Disk, path: string): Promise<JournalListing> {
  try {
    return await listJournal(disk, path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return noFiles; // it is made behind the format, and removed before it
    throw error;
  }
}

/** One of the segments of the journal in `path`, without owning it; undefined where it was recycled since the listing. */
export async function viewSegment(
  disk: Disk,
  path: string,
  listing: Pick<JournalListing, "done">,
  segment: JournalListing["segments"][number],
  memory?: SegmentMemory,
): Promise<ViewedSegment | undefined> {
  try {
    // The segment before its done file: what comes to its end between the two is left out.
    const { octets, room, refused } = await readWhole(disk, join(path, segment.name), memory);
    const lines = await readDoneLines(disk, path, listing, segment);
    const parts = await partsOf(octets, segment.mark, wholeOf(lines));
    if (memory !== undefined) memory.octets = room;
    return { ...segment, content: contentOf(parts, lines, refused) };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Every segment of the journal in `path`, without owning it. What was recycled since the listing is left out. */
export async function* viewSegments(disk: Disk, path: string): AsyncGenerator<ViewedSegment> {
  const listing = await viewJournalFiles(disk, path);
  const memory: SegmentMemory = { octets: Buffer.alloc(0) };
  for (const segment of listing.segments) {
    const viewed = await viewSegment(disk, path, listing, segment, memory);
    if (viewed !== undefined) yield viewed;
  }
}

/** A message as it was promised. */
export interface JournalCopy {
  readonly envelope: string;
  readonly body: Buffer;
}

/** Where a record lies that is not as it was written. */
export interface DamagedRecord {
  readonly damaged: string;
}

/** One of many that are read. */
export interface JournalFind {
  readonly id: string;
  /** Undefined where the journal does not have it any more. */
  readonly copy: Pick<JournalCopy, "envelope"> | DamagedRecord | undefined;
}

/** A record that is to be done with; `path` is its segment. */
export function findOf(
  { id, record }: LiveRecord,
  path: string,
): JournalFind & { readonly copy: Exclude<JournalFind["copy"], undefined> } {
  const { offset, envelope, isBodySound } = record;
  return { id, copy: isBodySound ? { envelope } : notAsWritten(path, offset) };
}

const notAsWritten = (path: string, offset: number): DamagedRecord => ({
  damaged: `${path}: the record at ${String(offset)} is not as it was written`,
});

/** A record's octets, which begin at `offset` in the segment; all of it is looked at, so that nothing else is given out. */
export function copyOf(
  octets: Buffer,
  { path, mark }: { readonly path: string; readonly mark: string },
  offset: number,
): JournalCopy | DamagedRecord {
  const record = readRecord(octets, mark, 0, offset);
  if (record?.isBodySound !== true) return notAsWritten(path, offset);
  const begin = bodyOffset(record) - offset;
  return { envelope: record.envelope, body: octets.subarray(begin, begin + record.bodyLength) };
}

/** The journal beside its owner, as it was at the last call of `ids`, or else at the first one of `read`. */
export function viewJournal(
  disk: Disk,
  path: string,
): {
  ids(): Promise<readonly string[]>;
  read(id: string): Promise<JournalCopy | DamagedRecord | undefined>;
  /** The envelopes of all. */
  envelopes(): Promise<ReadonlyMap<string, JournalFind["copy"]>>;
} {
  interface Place {
    readonly segment: ViewedSegment;
    readonly offset: number;
    readonly octets: number;
    readonly copy: JournalFind["copy"];
  }
  let places: ReadonlyMap<string, Place> | undefined;

  async function look(): Promise<ReadonlyMap<string, Place>> {
    const found = new Map<string, Place>();
    for await (const segment of viewSegments(disk, path)) {
      for (const live of segment.content.live) {
        const { offset, end } = live.record;
        const { id, copy } = findOf(live, join(path, segment.name));
        found.set(id, { segment, offset, octets: end - offset, copy });
      }
    }
    places = found;
    return found;
  }

  return {
    ids: async () => [...(await look()).keys()],
    envelopes: async () => new Map([...(places ?? (await look()))].map(([id, { copy }]) => [id, copy])),
    async read(id) {
      const place = (places ?? (await look())).get(id);
      if (place === undefined) return undefined;
      const { name, mark } = place.segment;
      try {
        const file = await disk.openPlaced(join(path, name), "read");
        try {
          const octets = await file.read(place.octets, place.offset);
          return copyOf(octets, { path: join(path, name), mark }, place.offset);
        } finally {
          await file.close();
        }
      } catch (error) {
        if (errorCode(error) === "ENOENT") return undefined; // recycled: all that it had is done with
        throw error;
      }
    },
  };
}
