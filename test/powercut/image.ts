/**
 * The disk under a traced program: which disks a machine may find after a power cut at any place of the trace. It knows no
 * more than POSIX promises, as memory-disk.ts does: a name is durable after an fsync of its folder that began when the name was
 * there, content after one of the file. Of everything else, and of what is under way, any part may be there, in any order;
 * of a write also its beginning, its end, or zeros in its place.
 */
import { dirname } from "node:path";
import { type Change, durably } from "../server/spool/memory-disk.ts";
import type { Chance } from "../torture/chance.ts";
import { type Call, descriptorIn, octetsIn, pathsIn } from "./trace.ts";

type Inode = number;

/** Between two places of the trace; `ended` is undefined where nobody knows that it came to an end. */
interface Span {
  readonly begun: number;
  readonly ended: number | undefined;
}

interface NameChange extends Span {
  readonly path: string;
  readonly inode: Inode | undefined;
}

interface Write extends Span {
  readonly inode: Inode;
  readonly at: number;
  readonly octets: Buffer;
}

/** The file has this length from here on. */
interface Cut extends Span {
  readonly inode: Inode;
  readonly length: number;
}

export interface Sync extends Span {
  readonly target: Inode;
  /** The name that it had then. */
  readonly path: string;
}

interface OpenFile {
  readonly inode: Inode;
  /** Whether it is only added to. */
  readonly appends: boolean;
  /** Where the next write without a place of its own goes. */
  place: number;
}

/** What was done to a disk. */
export interface Doings {
  readonly names: readonly NameChange[];
  readonly contents: readonly (Write | Cut)[];
  readonly syncs: readonly Sync[];
  /** Each folder by its inode; the root, which was there before, is 0. */
  readonly folders: ReadonlyMap<Inode, string>;
}

/** What `calls` did below the folder `root`, which was empty. Throws for a call whose effect it does not know. */
export function doingsOf(calls: readonly Call[], root: string): Doings {
  const names: NameChange[] = [];
  const contents: (Write | Cut)[] = [];
  const syncs: Sync[] = [];
  const folders = new Map<Inode, string>([[0, root]]);
  /** As the running system sees them. */
  const paths = new Map<string, Inode>([[root, 0]]);
  const lengths = new Map<Inode, number>();
  /** What is open, by the descriptor's number; all processes of a trace share them, and the next trace opens anew. */
  const opened = new Map<number, OpenFile>();
  let opening: { readonly at: number; readonly number: number; readonly file: OpenFile }[] = [];
  let inodes = 1;
  const isOurs = (path: string | undefined): path is string => path?.startsWith(root) === true;

  function name(path: string, inode: Inode | undefined, { begun, ended }: Call): void {
    names.push({ path, inode, begun, ended });
    if (inode === undefined) paths.delete(path);
    else paths.set(path, inode);
  }

  function cut(inode: Inode, length: number, { begun, ended }: Call): void {
    contents.push({ inode, length, begun, ended });
    lengths.set(inode, length);
  }

  function open(call: Call): void {
    const [path = ""] = pathsIn(call);
    const flags = call.words.find((word) => /^O_/.test(word)) ?? "";
    const number = call.result;
    if (!isOurs(path) || number === undefined) return;
    let inode = paths.get(path);
    if (inode === undefined) {
      if (!flags.includes("O_CREAT")) throw new Error(`nobody made ${path}`);
      inode = inodes++;
      name(path, inode, call);
      lengths.set(inode, 0);
      contents.push({ inode, length: 0, begun: call.begun, ended: call.begun });
    } else if (flags.includes("O_TRUNC") && lengths.get(inode) !== 0) cut(inode, 0, call);
    const file = { inode, appends: flags.includes("O_APPEND"), place: 0 };
    // Until it comes back, another thread may write to what has its number and close that.
    opening.push({ at: call.ended ?? call.begun, number, file });
  }

  /** The calls come in the order in which they began. */
  function openedBefore(place: number): void {
    for (const { number, file } of opening.filter(({ at }) => at < place)) opened.set(number, file);
    opening = opening.filter(({ at }) => at >= place);
  }

  function write(call: Call): void {
    const file = fileOf(call);
    if (file === undefined) return;
    const all = octetsIn(call.words[1] ?? "");
    const octets = call.result === undefined ? all : all.subarray(0, call.result);
    const given = call.name.startsWith("p") ? Number(call.words[3]) : undefined;
    const length = lengths.get(file.inode) ?? 0;
    const at = given ?? (file.appends ? length : file.place);
    if (!Number.isSafeInteger(at)) throw new Error(`nobody knows where ${call.name} wrote`);
    if (given === undefined) file.place = at + octets.length;
    contents.push({ inode: file.inode, at, octets, begun: call.begun, ended: call.ended });
    lengths.set(file.inode, Math.max(length, at + octets.length));
  }

  /** The open file that a call is about, where it is one below the root. */
  function fileOf(call: Call): OpenFile | undefined {
    const descriptor = descriptorIn(call.words[0]);
    if (descriptor === undefined || !isOurs(descriptor.of)) return undefined;
    const file = opened.get(descriptor.number);
    if (file === undefined) throw new Error(`nobody opened ${descriptor.of}`);
    return file;
  }

  for (const call of calls) {
    if (call.result !== undefined && call.result < 0) continue; // it changed nothing
    openedBefore(call.begun);
    const [from = "", to] = pathsIn(call);
    switch (call.name) {
      case "open":
      case "openat":
        open(call);
        break;
      case "mkdir":
      case "mkdirat": {
        if (!isOurs(from)) break;
        const inode = inodes++;
        folders.set(inode, from);
        name(from, inode, call);
        break;
      }
      case "rename":
      case "renameat":
      case "renameat2":
      case "link":
      case "linkat": {
        const inode = paths.get(from);
        if (!isOurs(from) || !isOurs(to) || inode === undefined)
          throw new Error(`${call.name} ${from} ${String(to)}`);
        name(to, inode, call);
        if (call.name.startsWith("rename")) name(from, undefined, call);
        break;
      }
      case "unlink":
      case "unlinkat":
      case "rmdir":
        if (isOurs(from)) name(from, undefined, call);
        break;
      case "write":
      case "pwrite64":
      case "writev":
      case "pwritev":
      case "pwritev2":
        write(call);
        break;
      case "ftruncate": {
        const file = fileOf(call);
        if (file !== undefined) cut(file.inode, Number(call.words[1]), call);
        break;
      }
      case "fsync":
      case "fdatasync": {
        const file = fileOf(call);
        const path = descriptorIn(call.words[0])?.of ?? "";
        if (file !== undefined && call.ended !== undefined)
          syncs.push({ target: file.inode, path, begun: call.begun, ended: call.ended });
        break;
      }
      default:
        if (isOurs(descriptorIn(call.words[0])?.of) || isOurs(from))
          throw new Error(`nobody knows what ${call.name} does`);
    }
  }
  return { names, contents, syncs, folders };
}

/** A value and what may stand in its place since it was last made durable, the oldest first. */
interface Slot {
  values: NameChange[];
}

/** A file: what of it is durable, and what was done to it since. */
interface FileState {
  durable: Buffer;
  pending: (Write | Cut)[];
}

/** How much of a doing is on the disk: of a write also its octets between two of them, or zeros in its place. */
type Part = "none" | "all" | "zeros" | readonly [from: number, to: number];

/** What a power cut at one place may leave, of each thing that is not durable. */
export interface Uncertain {
  readonly paths: readonly string[];
  /** Their possible inodes, the durable one first. */
  readonly inodes: readonly (readonly (Inode | undefined)[])[];
  readonly doings: readonly (Write | Cut)[];
  readonly durable: ReadonlyMap<Inode, Buffer>;
}

/** Octets that a disk writes in one piece. */
const sector = 512;

/** One choice for each thing of an {@link Uncertain}. */
export interface Selection {
  readonly names: readonly number[];
  readonly parts: readonly Part[];
}

/**
 * Goes along the trace from its beginning, and tells at each of the ascending `places` what is uncertain there: all that began
 * before it and no fsync has covered which ended before it.
 */
export function* along(
  { names, contents, syncs, folders }: Doings,
  places: readonly number[],
): Generator<Uncertain> {
  const slots = new Map<string, Slot>();
  const root = folders.get(0) ?? "";
  slots.set(root, { values: [{ path: root, inode: 0, begun: 0, ended: 0 }] });
  const files = new Map<Inode, FileState>();
  const steps = [
    ...names.map((change) => ({ place: change.begun, apply: () => note(change) })),
    ...contents.map((doing) => ({ place: doing.begun, apply: () => file(doing.inode).pending.push(doing) })),
    ...syncs.map((sync) => ({ place: sync.ended ?? 0, apply: () => settle(sync) })),
  ].sort((one, other) => one.place - other.place);

  function file(inode: Inode): FileState {
    const there = files.get(inode) ?? { durable: Buffer.alloc(0), pending: [] };
    files.set(inode, there);
    return there;
  }

  function note(change: NameChange): void {
    const slot = slots.get(change.path) ?? {
      values: [{ path: change.path, inode: undefined, begun: 0, ended: 0 }],
    };
    slot.values.push(change);
    slots.set(change.path, slot);
  }

  function settle({ target, begun }: Sync): void {
    const isCovered = ({ ended }: Span): boolean => ended !== undefined && ended < begun;
    const folder = folders.get(target);
    if (folder !== undefined) {
      for (const [path, slot] of slots) {
        if (dirname(path) === folder) slot.values.splice(0, slot.values.findLastIndex(isCovered));
      }
      return;
    }
    const state = file(target);
    for (const doing of state.pending.filter(isCovered)) state.durable = done(state.durable, doing, "all");
    state.pending = state.pending.filter((doing) => !isCovered(doing));
  }

  let next = 0;
  for (const place of places) {
    for (; next < steps.length; next += 1) {
      const step = steps[next];
      if (step === undefined || step.place >= place) break;
      step.apply();
    }
    // What was removed for good is no name any more.
    const all = [...slots].filter(([, { values }]) => values.some(({ inode }) => inode !== undefined));
    yield {
      paths: all.map(([path]) => path),
      inodes: all.map(([, { values }]) => values.map(({ inode }) => inode)),
      doings: [...files.values()].flatMap(({ pending }) => pending),
      durable: new Map([...files].map(([inode, { durable }]) => [inode, durable])),
    };
  }
}

/** `content` after so much of `doing`. */
function done(content: Buffer, doing: Write | Cut, part: Part): Buffer {
  if (part === "none") return content;
  if ("length" in doing) {
    if (doing.length <= content.length) return content.subarray(0, doing.length);
    return Buffer.concat([content, Buffer.alloc(doing.length - content.length)]);
  }
  const { at, octets } = doing;
  const [from, to] = typeof part === "string" ? [0, octets.length] : part;
  const all = Buffer.alloc(Math.max(content.length, at + to));
  content.copy(all);
  if (part === "zeros") all.fill(0, at, at + to);
  else octets.copy(all, at + from, from, to);
  return all;
}

/**
 * At most about `most` selections: nothing of what is uncertain, all of it, each thing alone, all but each, each write torn, what
 * came later without what came before and the other way round, and the rest by chance. Where there are more, chance picks them.
 */
export function selections(uncertain: Uncertain, chance: Chance, most: number): readonly Selection[] {
  const open = uncertain.inodes.flatMap((values, at) =>
    values.length > 1 ? [{ at, last: values.length - 1 }] : [],
  );
  const names = uncertain.inodes.map(() => 0);
  const none: Selection = { names, parts: uncertain.doings.map(() => "none") };
  const things = open.length + uncertain.doings.length;
  const every = among(() => true);

  /** Those things for which `isThere` says so. */
  function among(isThere: (thing: number) => boolean): Selection {
    const chosen = [...names];
    for (const [thing, { at, last }] of open.entries()) if (isThere(thing)) chosen[at] = last;
    return {
      names: chosen,
      parts: uncertain.doings.map((_, at) => (isThere(open.length + at) ? "all" : "none")),
    };
  }
  const torn = (from: Selection, at: number, part: Part): Selection => ({
    ...from,
    parts: from.parts.with(at, part),
  });
  function byChance(): Selection {
    const share = chance.one([10, 50, 90]);
    const chosen = [...names];
    for (const { at, last } of open)
      chosen[at] = chance.percent(50) ? chance.below(last + 1) : chance.percent(share) ? last : 0;
    const parts = uncertain.doings.map((_, at) =>
      chance.percent(15) ? chance.one(tears(at)) : chance.percent(share) ? "all" : "none",
    );
    return { names: chosen, parts };
  }
  /** Its beginning, its end, and zeros; it is torn between two sectors or at any octet. */
  function tears(at: number): readonly [Part, Part, Part] {
    const doing = uncertain.doings[at];
    if (doing === undefined || "length" in doing) return ["none", "none", "none"];
    const { length } = doing.octets;
    const octet = chance.below(length + 1);
    const place = chance.percent(50) ? octet : octet - (octet % sector);
    return [[0, place], [place, length], "zeros"];
  }

  const listed: (() => Selection)[] = [];
  for (let thing = 0; thing < things; thing += 1) {
    listed.push(
      () => among((one) => one === thing),
      () => among((one) => one !== thing),
      () => among((one) => one > thing),
      () => among((one) => one < thing),
    );
  }
  for (const at of uncertain.doings.keys()) {
    for (const one of [0, 1, 2] as const) {
      listed.push(
        () => torn(every, at, tears(at)[one]),
        () => torn(none, at, tears(at)[one]),
      );
    }
  }
  if (things === 0) return [none];
  const rest = Math.max(0, most - 2);
  if (listed.length > rest) {
    const picked = Array.from(
      { length: rest },
      () => listed.splice(chance.below(listed.length), 1)[0] ?? byChance,
    );
    return [none, every, ...picked.map((make) => make())];
  }
  return [
    none,
    every,
    ...listed.map((make) => make()),
    ...Array.from({ length: rest - listed.length }, byChance),
  ];
}

/** The disk of that selection, all of it durable, for memoryDisk; `move` gives a path its place there. */
export function imageOf(
  uncertain: Uncertain,
  { names, parts }: Selection,
  move: (path: string) => string,
): readonly Change[] {
  const { paths, inodes, doings, durable } = uncertain;
  const found = new Map<string, Inode | undefined>();
  for (const [at, path] of paths.entries()) found.set(move(path), inodes[at]?.[names[at] ?? 0]);
  const contents = new Map<Inode, Buffer>(durable);
  for (const [at, doing] of doings.entries()) {
    contents.set(doing.inode, done(contents.get(doing.inode) ?? Buffer.alloc(0), doing, parts[at] ?? "none"));
  }
  return durably(found, contents);
}
