/**
 * Opening a spool: makes what is missing, takes the lock, checks the format and sweeps what a crash left behind.
 * Only what carries a queue ID as its name is ever removed.
 */
import { dirname, join } from "node:path";
import { type Directory, sharingSyncs } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type Folders, syncOnce, unlinkIfThere, writeDraft } from "./commit.ts";
import type { Disk } from "./disk.ts";
import { type Journal, openJournal } from "./journal.ts";
import type { SpoolLock } from "./lock.ts";
import { isQueueId } from "./queue-id.ts";

/** What may lie in a folder that is not a spool yet: ours, and what mkfs puts into every file system. */
const beforeFormat: readonly string[] = ["lock", "format.new", "lost+found"];

/** A spool that is ours, swept. */
export interface OpenedSpool {
  readonly folders: Folders;
  readonly lock: SpoolLock;
  /** Envelopes whose body is missing: no crash leaves that. They stay where they are. */
  readonly orphans: ReadonlySet<string>;
  /** Where the spool has one. */
  readonly journal: Journal | undefined;
  /** IDs that were there at the start and are not of the past: the clock was set back. */
  readonly isTaken: (id: string) => boolean;
  /** Resolves to the error of the first fsync of a folder that failed: what needs that folder fails from then on. */
  readonly broken: Promise<unknown>;
}

interface Paths {
  readonly messages: string;
  readonly drafts: string;
  readonly history: string;
  readonly queue: string;
}

/** How a spool is to be opened. */
export interface OpeningOptions {
  /** What the lock says, for people. */
  readonly note: string;
  /** Octets of a segment of the journal, which the spool then gets; a spool that has one keeps it. */
  readonly segment: number | undefined;
  /** Whether it is open while the journal is still being read. */
  readonly early: boolean;
  /** IDs from this one on are still to be given. */
  readonly nextId: string;
}

/** Octets of a segment where none are asked for. Our choice: some thousands of messages. */
export const usualSegment = 16 * 1024 * 1024;

/** Throws a Failure of one line for everything that can be wrong with the folder `directory`. */
export async function openFolders(
  disk: Disk,
  directory: string,
  { note, segment, early, nextId }: OpeningOptions,
): Promise<OpenedSpool> {
  try {
    await makeDurably(disk, directory);
    await mustBeOurs(disk, directory);
    const lock = await disk.lock(join(directory, "lock"), note);
    try {
      const hasJournal = await settleFormat(disk, directory, segment !== undefined);
      const paths = await makeFolders(disk, directory, hasJournal);
      const { orphans, histories, promised } = await sweep(disk, paths);
      let tell: (error: unknown) => void = () => undefined;
      const broken = new Promise((resolve) => {
        tell = resolve;
      });
      const open = async (path: string) => telling(sharingSyncs(await disk.openDirectory(path)), tell);
      const folders = {
        ...paths,
        disk,
        histories,
        messages: await open(paths.messages),
        queue: await open(paths.queue),
      };
      const journal = hasJournal
        ? await openJournal(disk, await open(journalIn(directory)), {
            size: segment ?? usualSegment,
            isInQueue: (id) => promised.has(id),
            asFailure: (error) => asFailure(error, directory),
          })
        : undefined;
      if (!early) await journal?.reading();
      const later = new Set([...promised].filter((id) => id >= nextId));
      const isTaken = (id: string): boolean => later.has(id) || journal?.knows(id) === true;
      return { folders, lock, orphans, broken, journal, isTaken };
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw asFailure(error, directory);
  }
}

/** The directory, with `tell` for an fsync that failed. */
function telling(directory: Directory, tell: (error: unknown) => void): Directory {
  return {
    ...directory,
    async sync() {
      try {
        await directory.sync();
      } catch (error) {
        tell(error);
        throw error;
      }
    },
  };
}

/** Makes the folder where it is missing, and its name durable in any case: an earlier start may have died here. */
async function makeDurably(disk: Disk, path: string): Promise<void> {
  const made = await disk.makeDirectory(path);
  try {
    await syncOnce(disk, dirname(path));
  } catch (error) {
    // A parent that we may not read is somebody else's care, and so was making this folder in it.
    if (made || errorCode(error) !== "EACCES") throw error;
  }
}

/** Who else may write into a folder of the spool may send mail as anybody. A link is followed: somebody laid it. */
async function mustBeOurs(disk: Disk, path: string): Promise<void> {
  const { kind, uid, mode } = await disk.look(path);
  const own = process.geteuid?.() ?? uid;
  if (kind !== "folder") return;
  const fault =
    uid !== own
      ? `belongs to the user ${uid}, and tpa-submit runs as the user ${own}; start it as the owner, or chown the folder`
      : (mode & 0o022) !== 0
        ? `others may write into it (mode 0${mode.toString(8)}); chmod 0700 it`
        : "";
  if (fault !== "") throw new Failure(exitStatus.noPermission, `${path}: ${fault}`);
}

/**
 * Makes sure of the format on disk before any folder is made: a folder without this file is no spool of ours. Resolves to
 * whether it has a journal.
 */
async function settleFormat(disk: Disk, directory: string, wantsJournal: boolean): Promise<boolean> {
  const present = await disk.list(directory);
  if (!present.includes("format")) refuseStrangers(directory, present);
  const path = join(directory, "format");
  const found = present.includes("format") ? await readFormat(disk, path) : undefined;
  const wanted = wantsJournal || found === journalFormat ? journalFormat : format;
  if (found !== wanted) await writeFormat(disk, directory, wanted);
  await syncOnce(disk, directory); // also where it was there: an earlier start may have died before this line
  return wanted === journalFormat;
}

async function readFormat(disk: Disk, path: string): Promise<string> {
  const found = (await disk.readText(path)).trimEnd();
  if (readableFormats.includes(found)) return found;
  throw new Failure(
    exitStatus.data,
    `${path}: expected "${format}" or "${journalFormat}", found ${JSON.stringify(found.slice(0, 60))}; ` +
      "run the version of tpa-submit that wrote this spool",
  );
}

function refuseStrangers(directory: string, present: readonly string[]): void {
  const stranger = present.find((name) => !beforeFormat.includes(name));
  if (stranger === undefined) return;
  throw new Failure(
    exitStatus.cannotCreate,
    `${directory}: not a spool: it holds ${JSON.stringify(stranger)} but no file "format"; name an empty folder`,
  );
}

async function makeFolders(disk: Disk, directory: string, hasJournal: boolean): Promise<Paths> {
  const paths = {
    messages: join(directory, "messages"),
    drafts: join(directory, "drafts"),
    history: join(directory, "history"),
    queue: join(directory, "queue"),
  };
  const all = Object.values(paths);
  for (const path of hasJournal ? [...all, journalIn(directory)] : all) {
    await disk.makeDirectory(path);
    await mustBeOurs(disk, path);
  }
  await syncOnce(disk, directory);
  return paths;
}

/** The folder of the journal. */
export const journalIn = (directory: string): string => join(directory, "journal");

/** What a sweep leaves. */
interface Swept {
  /** IDs of all envelopes. */
  readonly promised: ReadonlySet<string>;
  /** Those of them without a body. */
  readonly orphans: ReadonlySet<string>;
  /** Messages with a history. */
  readonly histories: Set<string>;
}

/** Removes drafts, and bodies and histories that no envelope promises. */
async function sweep(disk: Disk, { messages, drafts, history, queue }: Paths): Promise<Swept> {
  // Who died while letting a message go may have removed the envelope in memory only. First make that true on
  // disk: a body removed under an envelope that a power cut brings back would be a promise without a message.
  await syncOnce(disk, queue);
  const idsIn = async (path: string) => (await disk.list(path)).filter(isQueueId);
  const [promised, bodies, histories] = await Promise.all([
    idsIn(queue).then((ids) => new Set(ids)),
    idsIn(messages).then((ids) => new Set(ids)),
    idsIn(history).then((ids) => new Set(ids)),
  ]);
  for (const id of await idsIn(drafts)) await unlinkIfThere(disk, join(drafts, id));
  for (const id of bodies) if (!promised.has(id)) await unlinkIfThere(disk, join(messages, id));
  for (const id of histories) {
    if (promised.has(id)) continue;
    await unlinkIfThere(disk, join(history, id));
    histories.delete(id);
  }
  return { promised, orphans: new Set([...promised].filter((id) => !bodies.has(id))), histories };
}

function asFailure(error: unknown, directory: string): unknown {
  const code = errorCode(error);
  if (error instanceof Failure || !/^E[A-Z0-9]+$/.test(code)) return error; // else a bug
  const hint =
    code === "ENOENT"
      ? "; make the folder above it first"
      : "; it must be a folder of the user who runs tpa-submit, on a disk that can be written";
  return new Failure(statusOf(code), `${directory}: the spool cannot be opened: ${errorText(error)}${hint}`);
}

function statusOf(code: string): number {
  if (code === "EACCES" || code === "EPERM") return exitStatus.noPermission;
  return code === "EIO" ? exitStatus.ioError : exitStatus.cannotCreate;
}

// The one line of SPOOL/format, which says what the files of a spool may look like. Whoever changes the layout or the
// envelope gives it another number (docs/spool.md, "Formats").

export const format = "tpa-submit spool 2";

/**
 * Formats that become ours by their number alone: we read all that they hold, and from the new number on the old
 * program keeps away from what it could not read. Of 1 that is the envelope, version 1.
 */
export const earlierFormats: readonly string[] = ["tpa-submit spool 1"];

/** That of a spool with a journal: who does not know of that would not see what it promises. */
export const journalFormat = "tpa-submit spool 3";

export const readableFormats: readonly string[] = [...earlierFormats, format, journalFormat];

/** Writes the format in one step; the caller brings the folder to disk. */
export async function writeFormat(disk: Disk, directory: string, as: string): Promise<void> {
  const draft = join(directory, "format.new");
  await writeDraft(disk, draft, `${as}\n`);
  await disk.rename(draft, join(directory, "format")); // a spool from here on, or one of the new format
}
