/**
 * The one line of SPOOL/format, which says what the files of a spool may look like. Whoever changes the layout or the
 * envelope gives it another number (docs/spool.md, "Formats").
 */
import { join } from "node:path";
import type { Disk } from "./disk.ts";
import { writeDraft } from "./promise.ts";

export const format = "tpa-submit spool 2";

/**
 * Formats that become ours by their number alone: we read all that they hold, and from the new number on the old
 * program keeps away from what it could not read. Of 1 that is the envelope, version 1.
 */
export const earlierFormats: readonly string[] = ["tpa-submit spool 1"];

export const readableFormats: readonly string[] = [...earlierFormats, format];

/** Writes our format in one step; the caller brings the folder to disk. */
export async function writeFormat(disk: Disk, directory: string): Promise<void> {
  const draft = join(directory, "format.new");
  await writeDraft(disk, draft, `${format}\n`);
  await disk.rename(draft, join(directory, "format")); // a spool from here on, or one of the new format
}
