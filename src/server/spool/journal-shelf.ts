/** The segments of the journal that have no records: made, taken under a new name, and put back. */
import { join } from "node:path";
import { unlinkIfThere } from "./commit.ts";
import { formatJournalName } from "./journal-names.ts";
import { longestSegment } from "./journal-record.ts";
import { type JournalFolder, openSegment, type Segment } from "./journal-segment.ts";

export interface SegmentShelf {
  /** A segment for records; its name is durable. Throws the system's error: ENOSPC where the disk is full. */
  take(): Promise<Segment>;
  /** Puts a segment back whose records are all done with, durably. Throws the system's error. */
  putBack(segment: Segment): Promise<void>;
  /** Makes one, so that the next {@link take} need not. Throws the system's error. */
  prepare(): Promise<void>;
  /**
   * What is free and was used, with what old messages left in it, is replaced by new ones. Throws the system's error, and
   * leaves them then: they may be the last room that there is.
   */
  renew(): Promise<void>;
  /** Whether {@link take} has one at hand. */
  hasFree(): boolean;
  /** Resolves when nothing is being made any more. */
  settled(): Promise<void>;
}

/** Free segments that are kept. Our choice: one is written while the next one waits. */
const mostFree = 2;

/** Zeros that are written in one call, so that others who wait for the disk come in between. Our choice. */
const atOnce = 1024 * 1024;

/** `free` are the numbers of those that are there, `last` is the highest number that any file has. */
export function newSegmentShelf(
  place: JournalFolder,
  drawMark: () => string,
  free: readonly number[],
  last: number,
): SegmentShelf {
  const { disk, folder, size } = place;
  if (size > longestSegment) throw new RangeError(`a segment of ${size} octets is too long`);
  const spare = [...free];
  /** Of them, those that only ever had zeros. */
  const blank = new Set<number>();
  let highest = last;
  let preparing: Promise<void> = Promise.resolve();
  const pathOf = (number: number): string => join(folder.path, formatJournalName({ kind: "free", number }));
  const nextNumber = (): number => {
    highest += 1;
    return highest;
  };

  async function make(): Promise<void> {
    // What stays is for messages that leave the journal, and for the files of larger ones.
    if ((await disk.free(folder.path)).octets < 2 * size) {
      throw Object.assign(new Error("ENOSPC: no room for a segment of the journal"), { code: "ENOSPC" });
    }
    const number = nextNumber();
    try {
      const file = await disk.openPlaced(pathOf(number), "new");
      try {
        for (let at = 0; at < size; at += atOnce) {
          await file.write([Buffer.alloc(Math.min(atOnce, size - at))], at);
        }
        await file.sync(); // its blocks are ours from here on
      } finally {
        await file.close();
      }
    } catch (error) {
      await unlinkIfThere(disk, pathOf(number)).catch(() => undefined); // else the next start removes it, or uses it
      throw error;
    }
    spare.push(number);
    blank.add(number);
  }

  async function replaceUsed(): Promise<void> {
    for (const number of spare.filter((one) => !blank.has(one))) {
      await make();
      const at = spare.indexOf(number);
      if (at === -1) continue; // taken meanwhile
      spare.splice(at, 1);
      await unlinkIfThere(disk, pathOf(number));
    }
  }

  return {
    async take() {
      await preparing;
      if (spare.length === 0) await make();
      const free = spare.shift() ?? 0;
      blank.delete(free);
      const name = { kind: "segment", number: nextNumber(), mark: drawMark() } as const;
      await disk.rename(pathOf(free), join(folder.path, formatJournalName(name)));
      const segment = await openSegment(place, name);
      await folder.sync(); // no record lies under a name that a power cut takes back
      return segment;
    },
    async putBack(segment) {
      await segment.close();
      if (segment.isGivenUp || spare.length >= mostFree) await unlinkIfThere(disk, segment.path);
      else {
        const number = nextNumber();
        await disk.rename(segment.path, pathOf(number));
        spare.push(number);
      }
      await folder.sync(); // else a power cut could bring it back without its done lines
      for (const path of segment.donePaths()) await unlinkIfThere(disk, path);
    },
    renew() {
      const mine = preparing.then(replaceUsed);
      preparing = mine.catch(() => undefined);
      return mine;
    },
    hasFree: () => spare.length > 0,
    settled: () => preparing,
    prepare() {
      // One after the other; whoever takes one waits for it, and makes it himself where this failed.
      const mine = preparing.then(async () => {
        if (spare.length === 0) await make();
      });
      preparing = mine.catch(() => undefined);
      return mine;
    },
  };
}
