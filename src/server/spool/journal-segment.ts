/**
 * A segment of the journal as it is used: its file, and the done file that says what became of its records.
 * docs/spool.md, "The front journal", says what a crash leaves after each step.
 */
import { join } from "node:path";
import { type Directory, sharingSyncs } from "../../durable.ts";
import { errorCode } from "../../failure.ts";
import type { Disk, PlacedFile } from "./disk.ts";
import { type DoneLine, formatDoneLine, formatJournalName } from "./journal-names.ts";

/** Where segments lie, and what they are like. */
export interface JournalFolder {
  readonly disk: Disk;
  /** SPOOL/journal. */
  readonly folder: Directory;
  /** Octets of a segment. */
  readonly size: number;
}

export interface Segment {
  readonly number: number;
  readonly mark: string;
  readonly path: string;
  readonly file: PlacedFile;
  /** Its records that are not done with, or whose done line is not durable yet. */
  live: number;
  /** Places of what was promised and cannot be read: it is kept as it is while there are any. */
  readonly unreadable: Set<number>;
  /** Whether the disk refused it: it is removed in the end, not taken again. */
  isGivenUp: boolean;
  /**
   * Writes the line in this very call; durable when it resolves. Throws the system's error; the line is then written again with
   * the next one, and a kill spares it where the disk took the write.
   */
  note(line: DoneLine): Promise<void>;
  /** Paths of its done files. */
  donePaths(): readonly string[];
  close(): Promise<void>;
}

/** A done file, and where its next line goes. */
interface DoneFile {
  readonly file: PlacedFile;
  readonly syncs: Directory;
  end: number;
}

/** What a start found of a segment's done files. */
export interface FoundNotes {
  readonly editions: readonly number[];
  readonly lines: readonly DoneLine[];
}

const none: FoundNotes = { editions: [], lines: [] };

const doneFile = (file: PlacedFile, end: number): DoneFile => ({
  file,
  syncs: sharingSyncs({ path: "", sync: () => file.sync(), close: () => file.close() }),
  end,
});

/** Opens the segment, which has its name; a done file is made where none was found, and its name not made durable. */
export async function openSegment(
  { disk, folder, size }: JournalFolder,
  { number, mark }: { readonly number: number; readonly mark: string },
  found: FoundNotes = none,
): Promise<Segment> {
  const pathOf = (edition: number): string =>
    join(folder.path, formatJournalName({ kind: "done", number, edition }));
  const path = join(folder.path, formatJournalName({ kind: "segment", number, mark }));
  const lines = found.lines.map((line) => formatDoneLine(line, mark));
  const editions = [...found.editions];
  const file = await disk.openPlaced(path, "there");
  let done = await (editions.length === 0 ? begin() : goOn(pathOf(Math.max(...editions))));
  let failed = false;
  let mending: Promise<void> | undefined;

  /** Zeros first, so that a line makes the file no longer: its fdatasync then brings nothing but data to the disk. */
  async function begin(): Promise<DoneFile> {
    const edition = Math.max(-1, ...editions) + 1;
    const made = await disk.openPlaced(pathOf(edition), "new");
    editions.push(edition);
    const text = Buffer.from(lines.join(""));
    await made.write([Buffer.alloc(Math.max(size >> 7, text.length))], 0);
    if (text.length > 0) await made.write([text], 0);
    return doneFile(made, text.length);
  }

  /** In place of one that failed. */
  async function mend(): Promise<void> {
    const failing = done;
    const next = await begin();
    await next.syncs.sync();
    await folder.sync();
    done = next;
    failed = false;
    await failing.file.close();
  }

  async function goOn(last: string): Promise<DoneFile> {
    const there = await disk.openPlaced(last, "there");
    const octets = await there.read(await disk.size(last), 0);
    let end = octets.length;
    while (end > 0 && octets[end - 1] === 0) end -= 1;
    if (end > 0 && octets[end - 1] !== 0x0a) {
      there.writeNow(Buffer.from("\n"), end); // behind a torn line
      end += 1;
    }
    return doneFile(there, end);
  }

  function put(line: string): void {
    try {
      write(line);
    } catch (error) {
      failed = true;
      throw error;
    }
  }

  function write(line: string): void {
    done.file.writeNow(Buffer.from(line), done.end);
    done.end += line.length;
  }

  /** A file whose fsync failed keeps what is written to it from a kill at least, while there is none in its place. */
  function writeAllTheSame(line: string): void {
    try {
      write(line);
    } catch (error) {
      if (errorCode(error) === "") throw error; // else `mend` tells
    }
  }

  return {
    number,
    mark,
    path,
    file,
    live: 0,
    unreadable: new Set(),
    isGivenUp: false,
    async note(line) {
      const text = formatDoneLine(line, mark);
      lines.push(text);
      if (failed) {
        writeAllTheSame(text);
        mending ??= mend().finally(() => {
          mending = undefined;
        });
        await mending;
      }
      put(text);
      const { syncs } = done;
      try {
        await syncs.sync();
      } catch (error) {
        if (done.syncs === syncs) failed = true;
        throw error;
      }
    },
    donePaths: () => editions.map(pathOf),
    async close() {
      await file.close();
      await done.file.close();
    },
  };
}
