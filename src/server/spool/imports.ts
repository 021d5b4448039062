/**
 * SPOOL/imports/HANDOVER: what came from another spool, so that no message comes twice, however often a parcel is sent and
 * whoever dies meanwhile. A message is noted before its promise, with the ID that it gets here, and after it, before
 * anything of it is delivered. Where only the first note is there, the queue tells: `settleImports` looks at each start.
 * docs/spool.md, "Imports", tells the states.
 */
import { join } from "node:path";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { syncOnce } from "./commit.ts";
import type { Disk, PlacedFile } from "./disk.ts";
import { isMark } from "./owner.ts";
import type { ParcelSender } from "./parcel.ts";
import { isQueueId } from "./queue-id.ts";

/** A message of the other spool, and the ID that it has here. */
export interface ImportPair {
  readonly there: string;
  readonly here: string;
}

/** What is taken over once, and is no message. */
export type Extra = "frozen" | "sent";

export interface Imports {
  /** The ID here of what came. */
  readonly done: ReadonlyMap<string, string>;
  readonly extras: ReadonlySet<Extra>;
  /** Notes that these are about to be promised. Durable when it resolves. Throws the system's error. */
  begin(pairs: readonly ImportPair[]): Promise<void>;
  /** Notes that they are. Durable when it resolves. */
  finish(pairs: readonly ImportPair[]): Promise<void>;
  /** Notes that it is done. Durable when it resolves. */
  add(extra: Extra): Promise<void>;
  close(): Promise<void>;
}

const title = "tpa-submit import 1";
const folderOf = (directory: string): string => join(directory, "imports");

/** What a file says. */
interface Notes {
  readonly kind: string;
  readonly spool: string;
  readonly host: string;
  readonly begun: Map<string, string>;
  readonly done: Map<string, string>;
  readonly extras: Set<Extra>;
  /** Octets up to the end of the last whole line: what a crash cut short is written over. */
  readonly end: number;
}

/** Undefined where the first line is not there yet: nothing was begun. */
function parseNotes(text: string): Notes | undefined {
  const end = text.lastIndexOf("\n") + 1;
  const [first = "", ...lines] = text.slice(0, end).split("\n");
  const [kind = "", spool = "", host = ""] = first.startsWith(`${title} `)
    ? first.slice(title.length + 1).split(" ")
    : [];
  if (!isMark(spool)) return undefined;
  const [begun, done, extras] = [new Map<string, string>(), new Map<string, string>(), new Set<Extra>()];
  for (const line of lines) {
    const [word = "", there = "", here = ""] = line.replaceAll("\0", "").split(" "); // zeros of a power cut
    if (word === "frozen" || word === "sent") extras.add(word);
    if (!isQueueId(there) || !isQueueId(here)) continue;
    if (word === "begin") begun.set(there, here);
    if (word === "done") done.set(there, here);
  }
  return { kind, spool, host, begun, done, extras, end: Buffer.byteLength(text.slice(0, end)) };
}

async function listNotes(disk: Disk, directory: string): Promise<readonly string[]> {
  try {
    return (await disk.list(folderOf(directory))).filter(isMark);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

const textOf = (disk: Disk, directory: string, name: string): Promise<string> =>
  disk.readText(join(folderOf(directory), name));

/**
 * Opens the notes about what comes from `sender`. Throws a Failure where the same spool was taken over before: then this is
 * a copy of it.
 */
export async function openImports(disk: Disk, directory: string, sender: ParcelSender): Promise<Imports> {
  const { kind, handover, spool, host } = sender;
  const folder = folderOf(directory);
  const path = join(folder, handover);
  const names = await listNotes(disk, directory);
  if (kind === "take") {
    for (const name of names.filter((one) => one !== handover)) {
      const other = parseNotes(await textOf(disk, directory, name));
      if (other?.kind !== "take" || other.spool !== spool || other.begun.size === 0) continue;
      throw new Failure(
        exitStatus.data,
        `this spool of ${host} was taken over before, and this is another copy of it: its messages would be delivered twice; ` +
          `${join(folder, name)} has what came`,
      );
    }
  }
  await disk.makeDirectory(folder);
  await syncOnce(disk, directory);
  const found = names.includes(handover) ? parseNotes(await textOf(disk, directory, handover)) : undefined;
  const file = await disk.openPlaced(path, names.includes(handover) ? "there" : "new");
  try {
    let end = found?.end ?? 0;
    const write = async (lines: readonly string[]): Promise<void> => {
      if (lines.length === 0) return;
      const octets = Buffer.from(lines.map((line) => `${line}\n`).join(""));
      await file.write([octets], end);
      await file.sync();
      end += octets.length;
    };
    if (found === undefined) await write([`${title} ${kind} ${spool} ${host}`]);
    await syncOnce(disk, folder);
    return notesIn(file, found, write);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function notesIn(
  file: PlacedFile,
  found: Notes | undefined,
  write: (lines: readonly string[]) => Promise<void>,
): Imports {
  const done = found?.done ?? new Map<string, string>();
  const extras = found?.extras ?? new Set<Extra>();
  return {
    done,
    extras,
    begin: (pairs) => write(pairs.map(({ there, here }) => `begin ${there} ${here}`)),
    async finish(pairs) {
      await write(pairs.map(({ there, here }) => `done ${there} ${here}`));
      for (const { there, here } of pairs) done.set(there, here);
    },
    async add(extra) {
      await write([extra]);
      extras.add(extra);
    },
    close: () => file.close(),
  };
}

/**
 * Before anything is delivered: what was noted as begun, and is in the queue, came. `has` tells of an ID here. Throws the
 * system's error.
 */
export async function settleImports(
  disk: Disk,
  directory: string,
  has: (id: string) => Promise<boolean>,
): Promise<void> {
  for (const name of await listNotes(disk, directory)) {
    const notes = parseNotes(await textOf(disk, directory, name));
    if (notes === undefined) continue;
    const came: string[] = [];
    for (const [there, here] of notes.begun) {
      if (!notes.done.has(there) && (await has(here))) came.push(`done ${there} ${here}\n`);
    }
    if (came.length === 0) continue;
    const file = await disk.openPlaced(join(folderOf(directory), name), "there");
    try {
      await file.write([Buffer.from(came.join(""))], notes.end);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
