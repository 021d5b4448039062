/**
 * The files of the history: one for a day, or for a part of `history.keep` where that is short. A file is named by the
 * moment from which it was written, and goes as a whole, once its first line is too old or all together are too large:
 * so nothing is ever kept longer than `history.keep`, and at worst a day less. Pure, but for the listing.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../failure.ts";

export interface HistoryFile {
  readonly name: string;
  /** No line in it is older: milliseconds since the epoch, a whole second. */
  readonly start: number;
  readonly octets: number;
}

/** How much is kept. */
export interface HistoryLimits {
  /** Milliseconds. 0: nothing. */
  readonly keep: number;
  /** Octets of all files together. */
  readonly size: number;
}

const day = 86_400_000;

/** Files that the limits are divided into. Our choice: a purge then takes a seventh of what is kept at most. */
const parts = 7;

/** Milliseconds that a file is written to: a day, where a week is kept or more. */
const spanOf = ({ keep }: HistoryLimits): number => Math.min(day, Math.max(Math.ceil(keep / parts), 1_000));

/** Whether a file that began at `start` and has `octets` does not take `more` at `now`. With files of a day, midnight (UTC) ends it. */
export function isFull(
  { start, octets }: Omit<HistoryFile, "name">,
  more: number,
  now: number,
  limits: HistoryLimits,
): boolean {
  const span = spanOf(limits);
  return Math.floor(now / span) !== Math.floor(start / span) || octets + more > limits.size / parts;
}

/** Those of `files`, oldest first, that must go at `now`, so that one more may begin. */
export function expired(
  files: readonly HistoryFile[],
  now: number,
  { keep, size }: HistoryLimits,
): readonly HistoryFile[] {
  const room = size - size / parts;
  let total = files.reduce((sum, { octets }) => sum + octets, 0);
  return files.filter(({ start, octets }) => {
    const goes = start + keep <= now || total > room;
    if (goes) total -= octets;
    return goes;
  });
}

/** `20261129T000000Z.jsonl` */
export function nameOf(start: number): string {
  return `${new Date(start).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z.jsonl`;
}

const namePattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.jsonl$/;

/** The moment in a name, undefined where it is not one of a file of the history. */
function startIn(name: string): number | undefined {
  const [, ...parts] = namePattern.exec(name) ?? [];
  if (parts.length === 0) return undefined;
  const [year, month, date, ...clock] = parts;
  const start = Date.parse(`${year}-${month}-${date}T${clock.join(":")}Z`);
  return Number.isNaN(start) ? undefined : start;
}

/** The files in `directory`, oldest first; none where it is missing. Throws the system's error. */
export async function listHistory(directory: string): Promise<readonly HistoryFile[]> {
  const found: HistoryFile[] = [];
  for (const name of await names(directory)) {
    const start = startIn(name);
    if (start === undefined) continue;
    const octets = await sizeOf(join(directory, name));
    if (octets !== undefined) found.push({ name, start, octets });
  }
  return found.sort((one, other) => one.start - other.start);
}

async function names(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Undefined where it has just been purged. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
