/**
 * A disk for the spool that can be made to refuse. Root mounts a small tmpfs, fills it, takes its inodes, and puts
 * read-only mounts over folders; anybody else takes away the right to write into a folder, and says so. strace lets
 * system calls of the relay fail, or take long.
 */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode } from "../../src/failure.ts";
import { isRoot } from "../interop/root.ts";
import { runWell } from "../tools/child.mjs";
import { meddle } from "../tools/meddle.ts";
import type { Chance } from "./chance.ts";

export interface Disk {
  /** Where the spool is to lie. */
  readonly spool: string;
  /** Makes the disk refuse the process `pid` in one of its ways, and names it. */
  refuse(chance: Chance, pid: number): Promise<string>;
  /** Ends that. */
  heal(): Promise<void>;
  remove(): Promise<void>;
}

/** A way to refuse: does it, and resolves to its undoing. */
type Way = (pid: number) => Promise<() => Promise<void>>;

/** By strace. Milliseconds of a slow fsync go up to a second; what is refused here is not refused by the disk's own. */
const broken: Readonly<Record<string, Way>> = {
  "fsync EIO": (pid) => meddle(pid, "fsync:error=EIO"),
  "fdatasync EIO": (pid) => meddle(pid, "fdatasync:error=EIO"),
  "fdatasync slow": (pid) => meddle(pid, "fdatasync:delay_enter=700000"),
  "fsync slow": (pid) => meddle(pid, "fsync:delay_enter=700000"),
  "rename EIO": (pid) => meddle(pid, "rename:error=EIO"),
  "unlink EROFS": (pid) => meddle(pid, "unlink:error=EROFS"),
};

/** `strace` where it can be used. */
export async function prepareDisk(strace: boolean): Promise<Disk> {
  const place = await mkdtemp(join(tmpdir(), "tpa-submit-torture-"));
  const mounted = isRoot && (await mount(place));
  const spool = join(place, "spool");
  const own: Readonly<Record<string, Way>> = mounted
    ? {
        full: () => fill(place),
        "no inodes": () => takeInodes(place),
        "messages read-only": () => readOnly(join(spool, "messages")),
        "drafts read-only": () => readOnly(join(spool, "drafts")),
      }
    : {
        "messages not ours": () => notOurs(join(spool, "messages")),
        "drafts not ours": () => notOurs(join(spool, "drafts")),
      };
  if (!mounted)
    process.stderr.write("\n*** SKIPPED, no tmpfs can be mounted: no full and no read-only disk ***\n");
  const ways = { ...(isRoot && !mounted ? {} : own), ...(strace ? broken : {}) };
  let undo: (() => Promise<void>) | undefined;
  const heal = async (): Promise<void> => {
    const undone = undo;
    undo = undefined;
    await undone?.();
  };
  return {
    spool,
    async refuse(chance, pid) {
      const [first, ...others] = Object.entries(ways);
      if (first === undefined || undo !== undefined) return "nothing";
      const [name, way] = chance.one([first, ...others]);
      undo = await way(pid);
      return name;
    },
    heal,
    async remove() {
      await heal();
      if (mounted) await runWell("umount", ["-l", place]);
      await rm(place, { recursive: true, force: true });
    },
  };
}

async function mount(place: string): Promise<boolean> {
  try {
    await runWell("mount", ["-t", "tmpfs", "-o", "size=48m,nr_inodes=6000,mode=0700", "none", place]);
    return true;
  } catch {
    return false; // a container that may not
  }
}

/** What fills a disk takes all there is, and is told so. */
async function untilFull(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (errorCode(error) !== "ENOSPC") throw error;
  }
}

async function fill(place: string): Promise<() => Promise<void>> {
  const filler = join(place, "filler");
  await untilFull(() => writeFile(filler, Buffer.alloc(48 * 1_048_576)));
  return () => rm(filler, { force: true });
}

async function takeInodes(place: string): Promise<() => Promise<void>> {
  const names = Array.from({ length: 6_000 }, (_, index) => join(place, `filler-${String(index)}`));
  const made: string[] = [];
  await untilFull(async () => {
    for (const name of names) {
      await writeFile(name, "");
      made.push(name);
    }
  });
  return async () => {
    for (const name of made) await rm(name, { force: true });
  };
}

async function readOnly(path: string): Promise<() => Promise<void>> {
  for (let tries = 0; ; tries += 1) {
    await runWell("mount", ["--bind", path, path]);
    const undo = async (): Promise<void> => {
      await runWell("umount", ["-l", path]);
    };
    try {
      await runWell("mount", ["-o", "remount,bind,ro", path]);
      return undo;
    } catch (error) {
      await undo(); // somebody wrote through it just then
      if (tries === 20) throw error;
    }
  }
}

async function notOurs(path: string): Promise<() => Promise<void>> {
  await chmod(path, 0o500);
  return () => chmod(path, 0o700);
}
