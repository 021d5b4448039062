/**
 * A disk in memory that keeps a journal of what was done to it, so that a test can ask: which disks could a machine
 * find after a power cut at this moment? POSIX promises little, and the model promises no more:
 * - a name in a directory is durable only after an fsync of that directory that began after the change,
 * - the content of a file only after such an fsync of the file,
 * - of everything else any part may be lost and any part may have reached the disk, in any order; of a write also
 *   its first half alone, and of a rename one of its two names,
 * - of a write at a place of its own ({@link PlacedFile}) nothing, any part, zeros in its place, or it without those
 *   before it; what was in the file and durable stays.
 */
import { dirname, sep } from "node:path";
import { Readable } from "node:stream";
import type { Disk, PlacedFile } from "../../../src/server/spool/disk.ts";

/** A file or directory, whatever its names. */
type Inode = number;

/** What happened to the disk; `since` of a sync is the journal's length when it began. */
export type Change =
  | { readonly path: string; readonly inode: Inode | undefined }
  | {
      readonly inode: Inode;
      readonly content: Buffer;
      /** What else a power cut may leave of the file, in place of the first half of `content`. */
      readonly torn?: readonly Buffer[];
      /** The same, where what was written before it, and is not durable, is lost. */
      readonly alone?: Buffer;
    }
  | { readonly synced: string | Inode; readonly since: number };

export interface MemoryDisk extends Disk {
  readonly journal: readonly Change[];
  /** Each file's path and content, as the running system sees them; directories have none. */
  files(): ReadonlyMap<string, string | undefined>;
}

/**
 * A disk on which `journal` has happened: the same one after the program was killed and started again. `step` is
 * awaited before each call takes effect, and lets a test order calls that are under way together.
 */
export function memoryDisk(
  journal: readonly Change[] = [],
  step: () => Promise<unknown> = () => Promise.resolve(),
): MemoryDisk {
  const changes: Change[] = [];
  const names = new Map<string, Inode>();
  const contents = new Map<Inode, Buffer>();
  /** What of a placed file is durable: the content that a sync found when it began. */
  const durable = new Map<Inode, Buffer>();
  let inodes = 1;

  function apply(change: Change): void {
    changes.push(change);
    if ("synced" in change && typeof change.synced === "number") {
      const found = changes.slice(0, change.since).findLast((one) => isContentOf(one, change.synced));
      if (found !== undefined && "content" in found) durable.set(change.synced, found.content);
    }
    if ("content" in change) contents.set(change.inode, change.content);
    else if ("path" in change && change.inode === undefined) names.delete(change.path);
    else if ("path" in change && change.inode !== undefined) {
      names.set(change.path, change.inode);
      inodes = Math.max(inodes, change.inode + 1);
    }
  }
  for (const change of journal) apply(change);

  function find(path: string): Inode {
    const inode = names.get(path);
    if (inode === undefined) throw systemError("ENOENT", path);
    return inode;
  }

  function contentOf(path: string): Buffer {
    const content = contents.get(find(path));
    if (content === undefined) throw systemError("EISDIR", path);
    return content;
  }

  async function sync(target: string | Inode): Promise<void> {
    const since = changes.length;
    await step();
    apply({ synced: target, since });
  }

  function placed(inode: Inode): PlacedFile {
    const put = (octets: Buffer, at: number): void => {
      const before = contents.get(inode) ?? Buffer.alloc(0);
      const content = overwritten(before, octets, at);
      const old = durable.get(inode) ?? Buffer.alloc(0);
      apply({ inode, content, torn: tornWrites(before, octets, at), alone: overwritten(old, octets, at) });
    };
    return {
      async write(parts, at) {
        await step();
        put(Buffer.concat(parts), at);
      },
      writeNow: (octets, at) => put(Buffer.from(octets), at),
      async read(octets, at) {
        await step();
        return Buffer.from((contents.get(inode) ?? Buffer.alloc(0)).subarray(at, at + octets));
      },
      sync: () => sync(inode),
      close: () => Promise.resolve(),
    };
  }

  return {
    journal: changes,
    files: () => new Map([...names].map(([path, inode]) => [path, contents.get(inode)?.toString("latin1")])),
    lock: async () => ({ release: () => Promise.resolve() }),
    async makeDirectory(path) {
      await step();
      if (names.has(path)) return false;
      apply({ path, inode: inodes });
      return true;
    },
    async removeDirectory(path) {
      await step();
      find(path);
      if ([...names.keys()].some((name) => dirname(name) === path)) throw systemError("ENOTEMPTY", path);
      apply({ path, inode: undefined });
    },
    async openDirectory(path) {
      await step();
      if (path !== dirname(path)) find(path);
      return { path, sync: () => sync(path), close: () => Promise.resolve() };
    },
    async list(path) {
      await step();
      return [...names.keys()]
        .filter((name) => dirname(name) === path)
        .map((name) => name.slice(path.length + 1));
    },
    async create(path) {
      await step();
      if (names.has(path)) throw systemError("EEXIST", path);
      const inode = inodes;
      apply({ path, inode });
      apply({ inode, content: Buffer.alloc(0) });
      return {
        async write(octets) {
          await step();
          apply({ inode, content: Buffer.concat([contents.get(inode) ?? Buffer.alloc(0), octets]) });
        },
        sync: () => sync(inode),
        close: () => Promise.resolve(),
      };
    },
    async openPlaced(path, as) {
      await step();
      if (as !== "new") return placed(find(path));
      if (names.has(path)) throw systemError("EEXIST", path);
      const inode = inodes;
      apply({ inode, content: Buffer.alloc(0) });
      apply({ path, inode });
      return placed(inode);
    },
    async rename(from, to) {
      await step();
      const inode = find(from);
      apply({ path: to, inode });
      apply({ path: from, inode: undefined });
    },
    async link(from, to) {
      await step();
      if (names.has(to)) throw systemError("EEXIST", to);
      apply({ path: to, inode: find(from) });
    },
    async look(path) {
      await step();
      const kind = contents.has(find(path)) ? "file" : "folder";
      return {
        kind,
        mode: kind === "file" ? 0o600 : 0o700,
        uid: process.geteuid?.() ?? 0, // a spool of its own
        gid: 0,
        octets: contents.get(find(path))?.length ?? 0,
      };
    },
    chmod: () => Promise.resolve(),
    chown: () => Promise.resolve(),
    async unlink(path) {
      await step();
      find(path);
      apply({ path, inode: undefined });
    },
    async append(path, text) {
      await step();
      const inode = names.get(path) ?? inodes;
      if (!names.has(path)) apply({ path, inode });
      apply({ inode, content: Buffer.concat([contents.get(inode) ?? Buffer.alloc(0), Buffer.from(text)]) });
    },
    async readStart(path, octets) {
      await step();
      return contentOf(path).subarray(0, octets);
    },
    async readText(path) {
      await step();
      return contentOf(path).toString();
    },
    stream(path, octets) {
      return Readable.from([contentOf(path).subarray(0, octets)]);
    },
    async size(path) {
      await step();
      return contentOf(path).length;
    },
    free: () => Promise.resolve({ octets: 1e9, inodes: 1e6 }),
  };
}

function isContentOf(change: Change, inode: string | Inode): boolean {
  return "content" in change && change.inode === inode;
}

/** `content` with `octets` at `at`; a gap has zeros. */
function overwritten(content: Buffer, octets: Buffer, at: number): Buffer {
  const all = Buffer.alloc(Math.max(content.length, at + octets.length));
  content.copy(all);
  octets.copy(all, at);
  return all;
}

/**
 * What may be left of a write of `octets` at `at` into a file that has `before`: its first half, its second one, and zeros
 * in its place.
 */
function tornWrites(before: Buffer, octets: Buffer, at: number): readonly Buffer[] {
  const half = octets.length >> 1;
  return [
    overwritten(before, octets.subarray(0, half), at),
    overwritten(before, octets.subarray(half), at + half),
    overwritten(before, Buffer.alloc(octets.length), at),
  ];
}

/** Something on the disk that had several values since it was last made durable, the oldest first. */
interface Slot<Value> {
  readonly values: {
    readonly at: number;
    readonly value: Value;
    /** Whether something before it is lost that was not durable when it was written. */
    readonly isAlone?: true;
  }[];
}

/**
 * The disks that may be found after a power cut at the end of `journal`, each as a journal for {@link memoryDisk}
 * in which everything is durable. All of them where there are at most `most`; else those that lost everything
 * unsynced, nothing, one thing, or all but one thing.
 */
export function powerCut(journal: readonly Change[], most = 5000): readonly (readonly Change[])[] {
  const names = new Map<string, Slot<Inode | undefined>>();
  const contents = new Map<Inode, Slot<Buffer>>();
  for (const [at, change] of journal.entries()) {
    if ("content" in change) {
      const slot = contents.get(change.inode) ?? { values: [] };
      const half = change.content.subarray(0, change.content.length / 2);
      for (const value of change.torn ?? (half.length > 0 ? [half] : [])) slot.values.push({ at, value });
      if (change.alone !== undefined) slot.values.push({ at, value: change.alone, isAlone: true });
      slot.values.push({ at, value: change.content });
      contents.set(change.inode, slot);
    } else if ("path" in change) {
      const slot = names.get(change.path) ?? { values: [{ at: -1, value: undefined }] };
      slot.values.push({ at, value: change.inode });
      names.set(change.path, slot);
    } else if (typeof change.synced === "string") {
      for (const [path, slot] of names) if (dirname(path) === change.synced) settle(slot, change.since);
    } else {
      const slot = contents.get(change.synced);
      if (slot !== undefined) settle(slot, change.since);
    }
  }

  const linked = new Set([...names.values()].flatMap(({ values }) => values.map(({ value }) => value)));
  for (const inode of contents.keys()) if (!linked.has(inode)) contents.delete(inode);
  const sizes = [...names.values(), ...contents.values()].map(({ values }) => values.length);
  return selections(sizes, most).map((selection) => {
    const chosen = [...selection];
    const pick = <Value>({ values }: Slot<Value>): Value | undefined => values[chosen.shift() ?? 0]?.value;
    const found = new Map([...names].map(([path, slot]) => [path, pick(slot)]));
    const filled = new Map([...contents].map(([inode, slot]) => [inode, pick(slot)]));
    return durably(found, filled);
  });
}

/** Forgets every value that was overtaken before `since`, and those without what is durable now. */
function settle<Value>({ values }: Slot<Value>, since: number): void {
  const last = values.findLastIndex(({ at }) => at < since);
  if (last > 0) values.splice(0, last);
  if (last >= 0) values.splice(0, values.length, ...values.filter(({ isAlone }) => isAlone !== true));
}

/** One index for each size: every combination, or a linear number of them. */
function selections(sizes: readonly number[], most: number): readonly (readonly number[])[] {
  if (sizes.reduce((product, size) => product * size, 1) <= most) {
    return sizes.reduce<number[][]>(
      (all, size) => all.flatMap((start) => Array.from({ length: size }, (_, index) => [...start, index])),
      [[]],
    );
  }
  const none = sizes.map(() => 0);
  const every = sizes.map((size) => size - 1);
  const each = sizes.flatMap((size, slot) =>
    Array.from({ length: size }, (_, index) => [none.with(slot, index), every.with(slot, index)]).flat(),
  );
  return [none, every, ...each];
}

/** A journal that makes exactly these files; what lies in a lost directory is lost. */
export function durably(
  names: ReadonlyMap<string, Inode | undefined>,
  contents: ReadonlyMap<Inode, Buffer | undefined>,
): readonly Change[] {
  const there = (path: string): boolean => {
    const above = dirname(path);
    return names.get(path) !== undefined && (!names.has(above) || there(above));
  };
  const changes: Change[] = [];
  for (const [path, inode] of [...names].sort(([a], [b]) => a.split(sep).length - b.split(sep).length)) {
    if (inode === undefined || !there(path)) continue;
    const content = contents.get(inode);
    changes.push({ path, inode });
    if (content !== undefined)
      changes.push({ inode, content }, { synced: inode, since: Number.POSITIVE_INFINITY });
    changes.push({ synced: dirname(path), since: Number.POSITIVE_INFINITY });
  }
  return changes;
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
