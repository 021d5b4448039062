/** Standing between the spool and a disk: to count its calls, to let one fail, to leave one out. */
import type { Disk, NewFile, PlacedFile } from "../../../src/server/spool/disk.ts";

/**
 * Asked before each call, by its name and file: "rename /srv/spool/queue/0123456789AB". Throws to let the call fail;
 * "skip" leaves it out (a write, an fsync, a rename or a removal).
 */
export type Ahead = (call: string) => "go" | "skip";

/** `disk` with `ahead` before each call that may change it. */
export function intercept(disk: Disk, ahead: Ahead): Disk {
  const unlessSkipped = async (call: string, go: () => Promise<void>): Promise<void> => {
    if (ahead(call) === "go") await go();
  };
  const newFile = (path: string, made: NewFile): NewFile => ({
    write: (octets) => unlessSkipped(`write ${path}`, () => made.write(octets)),
    sync: () => unlessSkipped(`sync ${path}`, () => made.sync()),
    close: () => made.close(),
  });
  const placedFile = (path: string, file: PlacedFile): PlacedFile => ({
    write: (parts, at) => unlessSkipped(`write ${path}`, () => file.write(parts, at)),
    writeNow: (octets, at) => {
      if (ahead(`write ${path}`) === "go") file.writeNow(octets, at);
    },
    read: (octets, at) => file.read(octets, at),
    sync: () => unlessSkipped(`sync ${path}`, () => file.sync()),
    close: () => file.close(),
  });
  return {
    ...disk,
    async openPlaced(path, as) {
      if (as === "new") ahead(`create ${path}`);
      return placedFile(path, await disk.openPlaced(path, as));
    },
    async makeDirectory(path) {
      ahead(`mkdir ${path}`);
      return disk.makeDirectory(path);
    },
    async openDirectory(path) {
      const directory = await disk.openDirectory(path);
      return { ...directory, sync: () => unlessSkipped(`sync ${path}`, () => directory.sync()) };
    },
    async create(path) {
      ahead(`create ${path}`);
      return newFile(path, await disk.create(path));
    },
    append: (path, text) => unlessSkipped(`append ${path}`, () => disk.append(path, text)),
    rename: (from, to) => unlessSkipped(`rename ${to}`, () => disk.rename(from, to)),
    link: (from, to) => unlessSkipped(`link ${to}`, () => disk.link(from, to)),
    chmod: (path, mode) => unlessSkipped(`chmod ${path}`, () => disk.chmod(path, mode)),
    chown: (path, uid, gid) => unlessSkipped(`chown ${path}`, () => disk.chown(path, uid, gid)),
    unlink: (path) => unlessSkipped(`unlink ${path}`, () => disk.unlink(path)),
  };
}
