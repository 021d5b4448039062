/** The way back from format 3 to 2, for whoever wants the version before: all that the journal has becomes files. */
import { join } from "node:path";
import { exitStatus, Failure } from "../../failure.ts";
import { syncOnce, unlinkIfThere } from "./commit.ts";
import { type Disk, systemDisk } from "./disk.ts";
import { isDamaged } from "./envelope-file.ts";
import { parseJournalName } from "./journal-names.ts";
import { viewJournal, viewSegments } from "./journal-reading.ts";
import { format, journalFormat, journalIn, writeFormat } from "./open.ts";
import { openSpool } from "./spool.ts";

/**
 * Moves every message of the journal to `messages/` and `queue/`, and gives the spool the format 2. Resolves to how many moved.
 * May be done again after a crash. `now` is in milliseconds since the epoch. Throws a Failure of one line where another
 * process has the spool, or something in the journal cannot be read, and the system's error.
 */
export async function downgradeSpool(
  directory: string,
  now: () => number,
  disk: Disk = systemDisk,
): Promise<number> {
  const moved = await moveAll(directory, now, disk);
  // The spool had to be closed for its files to be closed: nobody may have opened it since.
  const note = `process ${String(process.pid)}, which downgrades it, since ${new Date(now()).toISOString()}`;
  const lock = await disk.lock(join(directory, "lock"), note);
  try {
    const found = (await disk.readText(join(directory, "format"))).trimEnd();
    if (found === journalFormat) await removeJournal(disk, directory);
  } finally {
    await lock.release();
  }
  return moved;
}

async function moveAll(directory: string, now: () => number, disk: Disk): Promise<number> {
  const spool = await openSpool(directory, now, disk);
  try {
    if ((await disk.readText(join(directory, "format"))).trimEnd() !== journalFormat) return 0;
    const ids = await viewJournal(disk, journalIn(directory)).ids();
    for (const id of ids) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) throw unreadable(envelope.damaged);
      await spool.record(envelope);
    }
    return ids.length;
  } finally {
    await spool.close();
  }
}

const unreadable = (what: string): Failure =>
  new Failure(exitStatus.data, `${what}; queue verify tells all of it, queue drop is rid of a message`);

/** Throws where it still promises something. */
async function removeJournal(disk: Disk, directory: string): Promise<void> {
  const path = journalIn(directory);
  if ((await disk.list(directory)).includes("journal")) {
    for await (const { name, content } of viewSegments(disk, path)) {
      if (content.live.length > 0 || content.unreadable.length > 0) {
        throw unreadable(`${join(path, name)}: it is not empty, and some of it may not be readable`);
      }
    }
    const names = await disk.list(path);
    const isDone = (name: string): boolean => parseJournalName(name)?.kind === "done";
    for (const name of names) {
      if (parseJournalName(name) !== undefined && !isDone(name)) await unlinkIfThere(disk, join(path, name));
    }
    await syncOnce(disk, path); // else a power cut could bring back a segment without its done lines
    for (const name of names.filter(isDone)) await unlinkIfThere(disk, join(path, name));
    await disk.removeDirectory(path);
    await syncOnce(disk, directory);
  }
  await writeFormat(disk, directory, format); // the version before may have it from here on
  await syncOnce(disk, directory);
}
