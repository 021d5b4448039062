/**
 * An act done to a spool on a disk in memory, and replayed with every power cut: at each moment of it, with each part of
 * what was not fsynced lost, again after a mere kill, and again during the start that follows. What the world had been
 * told by then must hold each time.
 */
import { dirname } from "node:path";
import { buffer } from "node:stream/consumers";
import { openFrozenLogins } from "../../../src/server/control/frozen-logins.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { isDamaged, type JournalSettings, openSpool } from "../../../src/server/spool/spool.ts";
import { type Change, type MemoryDisk, memoryDisk, powerCut } from "./memory-disk.ts";
import { mounted } from "./memory-files.ts";

export const directory = "/srv/spool";
/** Whether the spool that acts are done to has a journal. */
export const way: { journal: JournalSettings | undefined } = { journal: undefined };

export const frozenFile = `${directory}/frozen`;

/** What the start after a power cut finds. */
export interface Seen {
  /** Why it ends at once, or undefined. */
  readonly trouble: string | undefined;
  readonly messages: ReadonlyMap<string, { readonly envelope: Envelope; readonly body: string }>;
  /** Why a message cannot be read, by ID. */
  readonly damaged: ReadonlyMap<string, string>;
  /** Frozen logins, or why the file of them cannot be read. */
  readonly frozen: readonly string[] | string;
  /** Every file and its content, as the power cut left it, and after the start's sweep. */
  readonly before: ReadonlyMap<string, string | undefined>;
  readonly after: ReadonlyMap<string, string | undefined>;
}

/** What is wrong with what is seen, or undefined. */
export type Promised = (seen: Seen) => string | undefined;

export interface World {
  readonly disk: Disk;
  /** From this moment on `promised` holds, in place of what was told before about the same `subject`. */
  readonly tell: (subject: string, promised: Promised) => void;
}

export interface Act {
  readonly name: string;
  /** Makes what the act finds, all of it durable; gives what the act wants to know of it. */
  readonly before?: (disk: Disk) => Promise<void>;
  /** In place of it: the disk that the act finds. */
  readonly found?: () => Promise<readonly Change[]>;
  readonly run: (world: World) => Promise<void>;
}

/** What happened in one run of an act. */
interface Run {
  readonly journal: readonly Change[];
  /** How much of the journal was there before. */
  readonly from: number;
  readonly told: readonly { readonly at: number; readonly subject: string; readonly promised: Promised }[];
}

export interface Replayed {
  /** Disks and what was promised then, each such pair once. */
  readonly states: number;
  /** A line for each promise that did not hold. */
  readonly broken: readonly string[];
}

/** The disk of a machine on which nobody has opened a spool yet. */
const bare: readonly Change[] = [
  { path: "/srv", inode: 1 },
  { synced: "/", since: 1 },
];

/** Of every act: a start succeeds, and what is there can be read. */
const always: readonly Promised[] = [
  ({ trouble }) => trouble,
  ({ damaged }) => [...damaged.values()][0],
  ({ frozen }) => (typeof frozen === "string" ? frozen : undefined),
];

/** `wrap` stands before the disk during the act. */
export async function runAct(act: Act, wrap: (disk: Disk) => Disk = (disk) => disk): Promise<Run> {
  const memory = memoryDisk(await foundBy(act));
  const from = memory.journal.length;
  const told = always.map((promised, index) => ({ at: 0, subject: subjects[index] ?? "", promised }));
  const disk = wrap(memory);
  mounted.disk = disk;
  const tell = (subject: string, promised: Promised): void =>
    void told.push({ at: memory.journal.length, subject, promised });
  await act.run({ disk, tell });
  return { journal: memory.journal, from, told };
}

/** Of {@link always}, for an act that finds damage and tells when there is none any more. */
const subjects = ["start", "damage", "frozen"];

async function foundBy({ before, found }: Act): Promise<readonly Change[]> {
  if (found !== undefined) return found();
  if (before === undefined) return bare;
  const memory = memoryDisk(bare);
  mounted.disk = memory;
  await before(memory);
  return allSynced(memory);
}

/** What is on the disk, durable, and nothing of how it came there. */
function allSynced(memory: MemoryDisk): readonly Change[] {
  const inodes = memory.journal.flatMap((change) => ("inode" in change ? (change.inode ?? []) : []));
  const folders = [...memory.files().keys()].map((path) => dirname(path));
  const since = memory.journal.length;
  return [...memory.journal, ...[...new Set([...inodes, ...folders])].map((synced) => ({ synced, since }))];
}

/**
 * Every power cut of `run`. `first` stops at the first broken promise, and leaves out those during the start that follows:
 * for a run that is known to break one. Of each moment `most` disks are tried, or a linear number of them.
 */
export async function replay(run: Run, first = false, most = 5000): Promise<Replayed> {
  const { journal, from, told } = run;
  const tried = new Set<string>();
  const started = new Set<string>();
  const broken: string[] = [];
  const keyOf = (disk: readonly Change[], known: number): string =>
    JSON.stringify([[...memoryDisk(disk).files()], known]);

  async function attempt(disk: readonly Change[], known: number): Promise<void> {
    const key = keyOf(disk, known);
    if (tried.has(key)) return;
    tried.add(key);
    const seen = await look(memoryDisk(disk));
    const holds = new Map(told.slice(0, known).map(({ subject, promised }) => [subject, promised]));
    for (const promised of holds.values()) {
      const wrong = promised(seen);
      if (wrong !== undefined) broken.push(wrong);
    }
  }

  /** What a start does to the disk, and the power fails in the middle of that. */
  async function start(disk: readonly Change[], known: number): Promise<void> {
    const memory = memoryDisk(disk);
    await look(memory);
    for (let moment = disk.length + 1; moment <= memory.journal.length; moment += 1) {
      for (const cut of powerCut(memory.journal.slice(0, moment), Math.min(most, 200)))
        await attempt(cut, known);
    }
  }

  for (let moment = from; moment <= journal.length; moment += 1) {
    const known = told.filter(({ at }) => at <= moment).length;
    const killed = journal.slice(0, moment);
    for (const disk of [killed, ...powerCut(killed, most)]) {
      await attempt(disk, known);
      if (first && broken.length > 0) return { states: tried.size, broken };
      // A kill leaves what is not fsynced yet where it is: no two of them are the same to the start that follows.
      const key = disk === killed ? `killed ${String(moment)}` : keyOf(disk, known);
      if (first || started.has(key)) continue;
      started.add(key);
      await start(disk, known);
    }
  }
  return { states: tried.size, broken };
}

/** Starts on `memory`, and tells all that can be seen then. */
async function look(memory: MemoryDisk): Promise<Seen> {
  mounted.disk = memory;
  const before = memory.files();
  const messages = new Map<string, { envelope: Envelope; body: string }>();
  const damaged = new Map<string, string>();
  let trouble: string | undefined;
  try {
    const spool = await openSpool(directory, () => 0, memory);
    for (const id of await spool.ids()) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) damaged.set(id, `${id} is damaged: ${envelope.damaged}`);
      else messages.set(id, { envelope, body: (await buffer(spool.body(id))).toString("latin1") });
    }
    await spool.close();
  } catch (error) {
    trouble = String(error);
  }
  const frozen = await openFrozenLogins(frozenFile).then(
    (file) => file.all().map(({ login }) => login),
    (error: unknown) => String(error),
  );
  return { trouble, messages, damaged, frozen, before, after: memory.files() };
}
