/** Damage of a spool found and repaired: by its owner at work, or by whoever takes the lock while nobody is. */
import { dirname, join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { syncOnce, unlinkIfThere, writeDraft } from "./commit.ts";
import { type Disk, systemDisk } from "./disk.ts";
import type { Journal } from "./journal.ts";
import { listJournal, readDoneLines, readOctets } from "./journal-reading.ts";
import { openSegment } from "./journal-segment.ts";
import type { SpoolLock } from "./lock.ts";
import { format, journalFormat, journalIn, usualSegment, writeFormat } from "./open.ts";
import { type KeptFile, octal, type Repair, type SpoolFault, verify } from "./verify.ts";

/** In words, to stand behind "repair would " or "repaired: ". */
export function repairText(repair: Repair): string {
  switch (repair.do) {
    case "nothing":
      return `leave it: ${repair.because}`;
    case "set aside":
      return `set ${repair.files.join(" and ")} aside in damaged/`;
    case "remove":
      return `remove ${repair.file}`;
    case "set mode":
      return `set the mode of ${repair.file} to ${octal(repair.mode)}`;
    case "set owner":
      return `give ${repair.file} to user ${String(repair.uid)} and group ${String(repair.gid)}`;
    case "set octets aside":
      return `set these octets aside in damaged/, and let the segment go when the rest of it is delivered`;
    case "write format":
      return "write format anew";
  }
}

/**
 * Does it; durable when it resolves. False where there was nothing to do. May be done again after a crash. Throws the
 * system's error.
 */
export async function applyRepair(
  disk: Disk,
  directory: string,
  repair: Repair,
  journal: JournalOwner = idleJournal(disk, journalIn(directory)),
): Promise<boolean> {
  const path = (file: string): string => join(directory, file);
  switch (repair.do) {
    case "nothing":
      return false;
    case "set aside":
      await setAside(disk, directory, repair.files);
      return true;
    case "remove":
      await unlinkIfThere(disk, path(repair.file));
      return true;
    case "set mode":
      await disk.chmod(path(repair.file), repair.mode);
      return true;
    case "set owner":
      await disk.chown(path(repair.file), repair.uid, repair.gid);
      return true;
    case "set octets aside":
      await octetsAside(disk, directory, repair);
      await journal.setAside(repair.segment, repair.offset);
      return true;
    case "write format":
      // The folder is made behind the format that has it, so that it tells which one was lost.
      await writeFormat(
        disk,
        directory,
        (await disk.list(directory)).includes("journal") ? journalFormat : format,
      );
      await giveToOwner(disk, directory, path("format"));
      await syncOnce(disk, directory);
      return true;
  }
}

/**
 * Moves files, the envelope first, into damaged/. All of them have their second name on disk before the first one loses
 * its old name: a crash leaves a file under both, never under none, and never a body for the sweep to find alone.
 */
async function setAside(disk: Disk, directory: string, files: readonly string[]): Promise<void> {
  const damaged = join(directory, "damaged");
  if (await disk.makeDirectory(damaged)) await giveToOwner(disk, directory, damaged);
  await syncOnce(disk, directory);
  for (const file of files)
    await linkAnew(disk, join(directory, file), join(damaged, file.replace("/", "-")));
  await syncOnce(disk, damaged);
  for (const file of files) {
    const path = join(directory, file);
    await disk.unlink(path); // from here on it is out of the queue
    await syncOnce(disk, dirname(path));
  }
}

/** Who may note that something was set aside. */
type JournalOwner = Pick<Journal, "setAside">;

/** A journal that nobody has opened. */
function idleJournal(disk: Disk, path: string): JournalOwner {
  return {
    async setAside(number, offset) {
      const listing = await listJournal(disk, path);
      const found = listing.segments.find((segment) => segment.number === number);
      if (found === undefined) return;
      const folder = await disk.openDirectory(path);
      const lines = await readDoneLines(disk, path, listing, found);
      const editions = listing.done.flatMap((done) => (done.number === number ? [done.edition] : []));
      const segment = await openSegment({ disk, folder, size: usualSegment }, found, { editions, lines });
      await segment.note({ word: "aside", offset });
      await folder.sync(); // where it had no done file
      await segment.close();
      await folder.close();
    },
  };
}

/** Copies octets of a segment into damaged/, as far as the disk gives them. */
async function octetsAside(
  disk: Disk,
  directory: string,
  { file, offset, end }: Extract<Repair, { readonly do: "set octets aside" }>,
): Promise<void> {
  const damaged = join(directory, "damaged");
  if (await disk.makeDirectory(damaged)) await giveToOwner(disk, directory, damaged);
  await syncOnce(disk, directory);
  const octets = await readOctets(disk, join(directory, file), { offset, end });
  const path = join(damaged, `${file.replace("/", "-")}-${String(offset)}`);
  await writeDraft(disk, path, octets); // in place of what a repair before has begun
  await giveToOwner(disk, directory, path);
  await syncOnce(disk, damaged);
}

/** What root makes here must be the relay's: it could not read it otherwise. */
async function giveToOwner(disk: Disk, directory: string, path: string): Promise<void> {
  const { uid, gid } = await disk.look(directory);
  await disk.chown(path, uid, gid);
}

/** Names that are tried where something was set aside under this one before. Our choice. */
const mostTries = 1000;

async function linkAnew(disk: Disk, from: string, to: string): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      await disk.link(from, count === 1 ? to : `${to}.${String(count)}`);
      return;
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || count === mostTries) throw error;
    }
  }
}

export type { KeptFile } from "./verify.ts";

export interface Fsck {
  /** Every damage; `keptFiles` are the files that others keep in the spool. Throws the system's error. */
  damage(keptFiles: readonly KeptFile[]): AsyncIterable<SpoolFault>;
  /** Does what the finding says; false where that is nothing. Throws the system's error. */
  repair(finding: SpoolFault): Promise<boolean>;
}

/** `live` where the relay works on the spool meanwhile: its drafts, and what it lets go, are no damage. */
export function newFsck(disk: Disk, directory: string, live: boolean, journal?: JournalOwner): Fsck {
  return {
    damage: (keepsakes) => verify(disk, directory, { live, keptFiles: keepsakes }),
    repair: ({ repair }) => applyRepair(disk, directory, repair, journal),
  };
}

/**
 * Looks for damage and changes nothing, whoever owns the spool. Where nobody does, it is locked for that while, so that what
 * a crash has left is seen before a start sweeps it.
 * Throws a Failure of one line where `directory` is no spool, not even a damaged one.
 */
export async function fsckBeside(directory: string, disk: Disk = systemDisk): Promise<Pick<Fsck, "damage">> {
  await mustBeSpool(disk, directory);
  return {
    async *damage(keepsakes) {
      const lock = await lockIfFree(disk, directory);
      yield* newFsck(disk, directory, lock === undefined).damage(keepsakes);
      await lock?.release();
    },
  };
}

/** Undefined where somebody has the lock, or may have it, or where taking it would make a file that is not the owner's. */
async function lockIfFree(disk: Disk, directory: string): Promise<SpoolLock | undefined> {
  if (!(await disk.list(directory)).includes("lock")) return undefined;
  try {
    return await disk.lock(join(directory, "lock"), `process ${String(process.pid)}, which looks for damage`);
  } catch (error) {
    if (error instanceof Failure || errorCode(error) !== "") return undefined;
    throw error;
  }
}

/**
 * Takes the lock of the spool in `directory` and nothing else: no sweep, no upgrade, whatever state it is in. `now` is
 * in milliseconds since the epoch. Throws a Failure of one line: in use (75), no permission (77), not a spool (66).
 */
export async function fsckLocked(
  directory: string,
  now: () => number,
  disk: Disk = systemDisk,
): Promise<Fsck & { close(): Promise<void> }> {
  await mustBeSpool(disk, directory);
  const note = `process ${String(process.pid)}, which verifies it, since ${new Date(now()).toISOString()}`;
  const lock = await disk.lock(join(directory, "lock"), note).catch((error: unknown) => {
    throw refusal(error, directory);
  });
  return { ...newFsck(disk, directory, false), close: () => lock.release() };
}

async function mustBeSpool(disk: Disk, directory: string): Promise<void> {
  try {
    const names = await disk.list(directory);
    if (names.includes("format") || (names.includes("queue") && names.includes("messages"))) return;
  } catch (error) {
    throw refusal(error, directory);
  }
  throw new Failure(exitStatus.noInput, `${directory}: not a spool: it has neither "format" nor "queue"`);
}

function refusal(error: unknown, directory: string): unknown {
  const code = errorCode(error);
  if (code === "" || error instanceof Failure) return error;
  const status = code === "EACCES" || code === "EPERM" ? exitStatus.noPermission : exitStatus.noInput;
  return new Failure(status, `${directory}: the spool cannot be verified: ${errorText(error)}`);
}
