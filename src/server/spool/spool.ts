/**
 * The spool: messages that were answered with 250 and are not done with yet. The submission side and the delivery
 * side meet in this folder and nowhere else. docs/spool.md and man/tpa-submit-spool.5 tell which files may exist,
 * what each combination means and what a crash leaves; commit.ts holds the three steps that matter.
 */

import { basename, join } from "node:path";
import { type Soon, whenThere } from "../../at-once.ts";
import { errorCode } from "../../failure.ts";
import { type Arrival, arrivalsIn } from "./arrivals.ts";
import { cachedBriefly } from "./cached.ts";
import { commit, draftEnvelope, tryOut, unlinkIfThere, withdraw } from "./commit.ts";
import { type Disk, type FreeSpace, systemDisk } from "./disk.ts";
import { type Draft, newDraft } from "./draft.ts";
import type { Envelope } from "./envelope.ts";
import { type Damaged, isDamaged } from "./envelope-file.ts";
import { scanEnvelope } from "./envelope-scan.ts";
import { type Fsck, newFsck } from "./fsck.ts";
import { addToHistory, type History, historyOf } from "./history.ts";
import { newJournalDraft, newMover } from "./journal-spool.ts";
import { type EnvelopeSnapshot, type KnownEnvelopes, newKnownEnvelopes } from "./known-envelopes.ts";
import { openFolders } from "./open.ts";
import { isQueueId, queueIds } from "./queue-id.ts";
import {
  type FileSpoolReader,
  type LoadedMessage,
  newSpoolReader,
  ownJournal,
  type SpoolReader,
} from "./reader.ts";
import { newScratch, type Scratch } from "./scratch.ts";
import type { SpoolFault } from "./verify.ts";

export type { Arrival } from "./arrivals.ts";
export type { FreeSpace } from "./disk.ts";
export type { Draft, NewEnvelope } from "./draft.ts";
export { type Damaged, isDamaged } from "./envelope-file.ts";
export type { FailedAttempt, History, HistoryEntry, LeftOut, OperatorAct } from "./history.ts";
export { type LoadedMessage, type SpoolReader, type StoredMessage, viewSpool } from "./reader.ts";
export type { Scratch } from "./scratch.ts";
export { isSpendRefusal, type Spend, type SpendRefusal } from "./spend.ts";

/** lost: another host has the message now, or may have it, and nothing was changed. */
export type RecordOutcome = "kept" | "lost";

/** A host of a spool that several share. */
export interface HostState {
  readonly name: string;
  /** The digit in which its queue IDs end. */
  readonly mark: string;
  /** When it was heard of last, in milliseconds since the epoch; null where it never was. */
  readonly seen: number | null;
  /** Whether it delivers, as far as the others know. */
  readonly live: boolean;
  /** It hands its messages over. */
  readonly draining: boolean;
  /** Messages that are its own. */
  readonly waiting: number;
  /** Of its program; "" where it was never there. */
  readonly version: string;
  /** It is this one. */
  readonly own: boolean;
}

/**
 * A spool that is ours. What is done to one message is done one after the other: the caller sees to that.
 * Its fsck is for a spool at work.
 */
export interface Spool extends SpoolReader, Fsck {
  /**
   * Begins a message: with the ID `wanted` where nothing has it, or may get it, else with the next one. Throws the system's
   * error.
   */
  draft(wanted?: string): Promise<Draft>;
  /** A nameless file for what is thought of the draft `id`. Throws the system's error. */
  scratch(id: string): Promise<Scratch>;
  /**
   * Replaces the envelope of the same ID; durable when it resolves. Throws the system's error: the old one then
   * stands, or, where the very last step failed, the new one, for which no power cut is promised.
   */
  record(envelope: Envelope): Promise<RecordOutcome>;
  /**
   * Lets the message go; after it resolves, no power cut brings it back. Of one in the journal the kernel knows when this
   * returns, so that no kill does. May be called again.
   */
  remove(id: string): Promise<RecordOutcome>;
  /** Whether `id` is still this host's to deliver, as far as is known at this moment. Throws the system's error. */
  owns(id: string): Promise<boolean>;
  /**
   * Whether what is delivered at this very moment is delivered by nobody else: asked before the last octet of a message goes
   * out, without waiting for anything.
   */
  mayDeliver(): boolean;
  /**
   * What is to be delivered here: first all that waits, then, where several hosts share the spool, what comes from others, until
   * `stop` is raised. Ask once. Throws the system's error.
   */
  arrivals(stop: AbortSignal): AsyncIterable<Arrival>;
  /**
   * The envelopes that it has, from memory: all that there are, once {@link arrivals} gave what waited at the start. Undefined
   * where they are to be read.
   */
  known(): EnvelopeSnapshot | undefined;
  /** How many hosts deliver what is in it, this one included, as far as is known at this moment. */
  liveHosts(): number;
  /** The hosts that share it, in the order of their names; none where it is one host's alone. Throws the system's error. */
  hosts(): Promise<readonly HostState[]>;
  /**
   * Adds to the history of a message that stays. Resolves to why that could not be done, or undefined; whatever it is,
   * delivery goes on. It may be lost at a power cut, and long ones keep their beginning and their end only.
   */
  note(id: string, entries: History): Promise<string | undefined>;
  /** What was noted. */
  history(id: string): Promise<History>;
  /** What the disk has left for us, as of at most a second ago: statfs(2) for each message is a measured cost. */
  free(): Promise<FreeSpace>;
  /** Inodes that a message of so many octets would take. */
  inodesFor(octets: number): number;
  /**
   * Takes the steps of a message that comes, and leaves nothing behind. Throws the system's error where no message would
   * be taken.
   */
  trial(): Promise<void>;
  /** Removes from the disk what messages that are gone left in the journal. Throws the system's error; call again then. */
  forget(): Promise<void>;
  /** Resolves, perhaps never, to why nothing can be promised any more until the spool is opened anew. */
  readonly broken: Promise<unknown>;
  /** Gives the lock back. Call when nothing is going on any more. */
  close(): Promise<void>;
}

/** A spool in files. */
export interface FileSpool extends Spool, Pick<FileSpoolReader, "early"> {}

/** A body and an envelope. */
const filesOfMessage = 2;

/** That new messages go to the front journal first. */
export interface JournalSettings {
  /** Octets of a segment. */
  readonly segment: number;
  /** Octets of the largest message that goes there. */
  readonly largest: number;
  /** Whether the spool is open while the journal is still being read: {@link SpoolReader.early}. */
  readonly early?: boolean;
}

/**
 * Opens the spool in `directory`, making it (not the folders above it) where it is missing, and owns it until
 * {@link Spool.close} or the process's end. `now` is in milliseconds since the epoch. With `settings` it gets a journal; one
 * that it has is read in any case. `mark` is the digit in which new queue IDs end, where that is not of the clock.
 * Throws a Failure of one line: in use (75), no permission (77), cannot be made (73), of another format (65).
 */
export async function openSpool(
  directory: string,
  now: () => number,
  disk: Disk = systemDisk,
  settings?: JournalSettings,
  mark = "",
): Promise<FileSpool> {
  const note = `process ${String(process.pid)}, since ${new Date(now()).toISOString()}`;
  const { segment, early = false } = settings ?? {};
  const opened = await openFolders(disk, directory, { note, segment, early, nextId: queueIds(now)() });
  const { folders, lock, orphans, broken, journal, isTaken } = opened;
  const { messages, drafts, queue } = folders;
  const nextId = queueIds(now, mark);
  const mover = journal && newMover(folders, journal);
  const memory = { octets: 0 };
  /** From when on somebody delivers from it: who only changes something has no use for it. */
  let known: KnownEnvelopes | undefined;
  const reader = newSpoolReader(disk, directory, journal && ownJournal(journal), {
    parse: scanEnvelope,
    found: (id, text) => known?.found(id, text),
  });
  const fsck = newFsck(disk, directory, true, journal);
  const promised = (id: string, text: string): void => known?.put(id, text);

  /** IDs that were asked for: the journal knows of them only once they are promised. */
  const givenOut = new Set<string>();

  async function isFree(id: string): Promise<boolean> {
    if (id >= nextId() || givenOut.has(id) || orphans.has(id) || isTaken(id)) return false;
    return !(await reader.has(id));
  }

  async function draft(wanted?: string): Promise<Draft> {
    await journal?.reading(); // until then it does not know all IDs that there are
    let first = wanted !== undefined && (await isFree(wanted)) ? wanted : undefined;
    for (;;) {
      const id = first ?? nextId();
      if (first !== undefined) givenOut.add(first);
      first = undefined;
      if (orphans.has(id)) continue; // accepting it would overwrite an envelope that a person has to look at
      if (journal !== undefined) {
        if (isTaken(id)) continue;
        if (settings !== undefined)
          return newJournalDraft(id, { journal, largest: settings.largest, memory, spill, promised });
      }
      try {
        return await spill(id);
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw error; // else the clock went back to a message still here
      }
    }
  }

  const spill = async (id: string): Promise<Draft> =>
    newDraft(folders, id, await disk.create(join(messages.path, id)), promised);

  async function record(envelope: Envelope): Promise<RecordOutcome> {
    const { id } = envelope;
    if (journal?.has(id) === false) await journal.reading();
    try {
      const text =
        mover !== undefined && journal?.has(id) ? await mover.move(envelope) : await replace(envelope);
      known?.put(id, text);
      return "kept";
    } catch (error) {
      known?.put(id, undefined); // the new one may stand
      throw error;
    }
  }

  async function replace(envelope: Envelope): Promise<string> {
    try {
      const text = await draftEnvelope(folders, envelope);
      await commit(folders, envelope.id);
      return text;
    } catch (error) {
      // The caller must know why it failed; a draft that cannot be removed either is swept at the next start.
      await unlinkIfThere(disk, join(drafts, envelope.id)).catch(() => undefined);
      throw error;
    }
  }

  /** Histories of messages that are in the journal alone. */
  const noted = new Set<string>();

  function remove(id: string): Promise<RecordOutcome> {
    const isRecordAlone = journal?.has(id) === true && mover?.hasBegun(id) !== true && !noted.has(id);
    const removal = isRecordAlone ? journal.end(id) : removeFiles(id);
    const putBack = known?.remove(id);
    return removal.then(
      () => "kept",
      (error: unknown) => {
        putBack?.();
        throw error;
      },
    );
  }

  async function removeFiles(id: string): Promise<void> {
    // The record first: once the envelope is gone, nothing else says that it is done with.
    if (journal?.has(id) === false) await journal.reading();
    await journal?.end(id);
    await withdraw(folders, id);
    noted.delete(id);
  }

  async function* arrivals(stop: AbortSignal): AsyncGenerator<Arrival, void> {
    const filling = newKnownEnvelopes();
    known = filling;
    for await (const arrival of arrivalsIn(reader, stop, reader.early())) {
      if (arrival.kind === "read") filling.complete();
      yield arrival;
    }
  }

  /** What a delivery cannot use may be damaged since it was read. */
  function load(id: string, most: number, envelope?: Envelope): Soon<LoadedMessage | Damaged | undefined> {
    return whenThere(reader.load(id, most, envelope), (found) => {
      if (found !== undefined && isDamaged(found)) known?.put(id, undefined);
      return found;
    });
  }

  async function repair(finding: SpoolFault): Promise<boolean> {
    const { repair: remedy } = finding;
    const isDone = await fsck.repair(finding);
    const files = remedy.do === "set aside" ? remedy.files : remedy.do === "remove" ? [remedy.file] : [];
    for (const file of files) if (isQueueId(basename(file))) known?.put(basename(file), undefined);
    if (remedy.do === "set octets aside") known?.forget(); // which messages these are is not told
    return isDone;
  }

  return {
    ...reader,
    ...fsck,
    load,
    repair,
    draft,
    scratch: (id) => newScratch(folders, id),
    record,
    remove,
    owns: async () => true,
    mayDeliver: () => true,
    arrivals,
    known: () => known?.snapshot(),
    liveHosts: () => 1,
    hosts: async () => [],
    note(id, entries) {
      if (journal?.has(id)) noted.add(id);
      return addToHistory(folders, id, entries);
    },
    history: (id) => historyOf(folders, id),
    async trial() {
      await tryOut(folders);
      if (journal === undefined || settings === undefined) return;
      await journal.trial().catch((error: unknown) => {
        if (!journal.isForSegment(error)) throw error; // then messages are files, which were tried
      });
    },
    forget: async () => journal?.forget(),
    inodesFor: (octets) =>
      octets <= (settings?.largest ?? -1) && journal?.hasRoomFor(octets) === true ? 0 : filesOfMessage,
    broken,
    free: cachedBriefly(() => disk.free(messages.path), now),
    async close() {
      await journal?.close();
      await Promise.all([messages.close(), queue.close()]);
      await lock.release();
    },
  };
}
