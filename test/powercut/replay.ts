/** The power cuts of a traced run: at each sync and each promise, with every kind of what was not fsynced. */
import { crc32 } from "node:zlib";
import { type Change, type MemoryDisk, memoryDisk, powerCut } from "../server/spool/memory-disk.ts";
import type { Chance } from "../torture/chance.ts";
import { owedAt, unpaid } from "./duty.ts";
import { along, imageOf, type Sync, selections } from "./image.ts";
import type { TracedRun } from "./run.ts";

export const directory = "/srv/spool";

export interface Replayed {
  /** Disks and what was owed then, each such pair once. */
  readonly states: number;
  /** A line for each promise that did not hold, with its place. */
  readonly broken: readonly string[];
}

export interface ReplayOptions {
  readonly chance: Chance;
  /** States of each moment, at most. */
  readonly most: number;
  /** Of a hundred states, after how many the power fails once more in the start that follows. */
  readonly again: number;
  /** Those fsyncs are taken for not done. */
  readonly without?: (sync: Sync) => boolean;
  /** Stops where it says so, given what is broken so far. */
  readonly isEnough?: (broken: readonly string[]) => boolean;
}

/** A disk that may be found, and the place of the cut. */
export interface FoundDisk {
  readonly image: readonly Change[];
  readonly place: number;
}

/** Before and after each sync, and just behind each word that left the program. */
function placesOf({ doings: { syncs }, copies, end }: TracedRun): readonly number[] {
  const all = syncs.flatMap(({ begun, ended = begun }) => [begun, ended, ended + 1]);
  const words = copies.flatMap(({ promised, removed }) => [promised, removed]);
  for (const word of words) if (word !== undefined) all.push(word + 1);
  return [...new Set([...all, end])].sort((one, other) => one - other);
}

/** Each disk that is tried, in the order of time. */
export function* disksOf(
  run: TracedRun,
  { chance, most, without = () => false }: Pick<ReplayOptions, "chance" | "most" | "without">,
): Generator<FoundDisk> {
  const places = placesOf(run);
  const doings = { ...run.doings, syncs: run.doings.syncs.filter((sync) => !without(sync)) };
  const move = (path: string): string => path.replace(run.root, "/srv");
  let at = 0;
  for (const uncertain of along(doings, places)) {
    const place = places[at++] ?? run.end;
    for (const selection of selections(uncertain, chance, most)) {
      yield { image: imageOf(uncertain, selection, move), place };
    }
  }
}

export async function replay(run: TracedRun, options: ReplayOptions): Promise<Replayed> {
  const { chance, again, isEnough = () => false } = options;
  const tried = new Set<string>();
  const broken: string[] = [];

  async function attempt(disk: readonly Change[], place: number): Promise<MemoryDisk | undefined> {
    const owed = owedAt(run.copies, place);
    const key = `${keyOf(disk)} ${[owed.isThere, owed.isGone, owed.isKnown].map(({ size }) => size).join(" ")}`;
    if (tried.has(key)) return undefined;
    tried.add(key);
    const memory = memoryDisk(disk);
    const wrong = await unpaid(memory, directory, run.journal, owed);
    broken.push(...wrong.map((line) => `${String(place)}: ${line}`));
    return memory;
  }

  for (const { image, place } of disksOf(run, options)) {
    const memory = await attempt(image, place);
    if (memory !== undefined && chance.percent(again)) {
      const moment = image.length + chance.below(memory.journal.length - image.length) + 1;
      const cuts = powerCut(memory.journal.slice(0, moment), 1);
      for (let times = 0; times < 4; times += 1)
        await attempt(cuts[chance.below(cuts.length)] ?? image, place);
    }
    if (isEnough(broken)) break;
  }
  return { states: tried.size, broken };
}

const sums = new WeakMap<Buffer, number>();

/** What tells two disks apart. */
function keyOf(disk: readonly Change[]): string {
  const names: string[] = [];
  for (const change of disk) {
    if ("path" in change) names.push(change.path);
    else if ("content" in change) {
      const sum = sums.get(change.content) ?? crc32(change.content);
      sums.set(change.content, sum);
      names.push(`${sum.toString(36)} ${String(change.content.length)}`);
    }
  }
  return names.join("\n");
}
