/**
 * Those calls of `node:fs/promises` that src/durable.ts and its readers make, on a disk in memory: what is kept beside
 * the messages of a spool (the frozen logins) does not go through the spool's interface to the disk. Only paths under
 * `/srv` are meant; everything else goes to this machine's disk.
 */
import type { Disk } from "../../../src/server/spool/disk.ts";

type Files = typeof import("node:fs/promises");

/** The disk that is meant at this moment. */
export const mounted: { disk: Disk | undefined } = { disk: undefined };

/** `files` with the disk that is {@link mounted} in it. */
export function withMemory(files: Files): Files {
  const disk = (path: unknown): Disk | undefined =>
    String(path).startsWith("/srv/") ? mounted.disk : undefined;
  const calls: Partial<Record<keyof Files, unknown>> = {
    open: (...given: Parameters<Files["open"]>) => {
      const [path, flags] = given;
      const there = disk(path);
      if (there === undefined) return files.open(...given);
      return flags === "wx" ? newFile(there, String(path)) : there.openDirectory(String(path));
    },
    rename: (...given: Parameters<Files["rename"]>) => {
      const [from, to] = given.map(String);
      return disk(from)?.rename(from ?? "", to ?? "") ?? files.rename(...given);
    },
    unlink: (path: string) => disk(path)?.unlink(path) ?? files.unlink(path),
    readFile: (path: string, ...more: readonly "utf8"[]) =>
      disk(path)?.readText(path) ?? files.readFile(path, ...more),
  };
  return Object.assign({ ...files }, calls);
}

async function newFile(disk: Disk, path: string): Promise<unknown> {
  const file = await disk.create(path);
  const nothing = async (): Promise<void> => undefined;
  return {
    ...file,
    writeFile: (content: string | Uint8Array) => file.write(Buffer.from(content)),
    chmod: nothing,
    stat: async () => ({ uid: 0, gid: 0 }),
    chown: nothing,
    utimes: nothing,
  };
}
