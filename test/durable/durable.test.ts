import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Directory,
  openDirectory,
  replaceFile,
  sharingSyncs,
  syncDirectory,
} from "../../src/durable.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "durable-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("replacing a file", () => {
  it("gives the new content and attributes, and leaves nothing beside it", async () => {
    const path = join(folder, "mail-passwords");
    await writeFile(path, "old", { mode: 0o600 });
    await replaceFile(path, "new\n", { mode: 0o640, mtime: 1_700_000_000_500 });
    expect(await readFile(path, "utf8")).toBe("new\n");
    const { mode, mtimeMs } = await stat(path);
    expect(mode & 0o777).toBe(0o640);
    expect(mtimeMs).toBe(1_700_000_000_500);
    expect(await readdir(folder)).toEqual(["mail-passwords"]);
  });

  it("makes a file that was not there, with binary content as it is", async () => {
    const path = join(folder, "message");
    await replaceFile(path, Uint8Array.of(0, 255, 13, 10), { mode: 0o600 });
    expect([...(await readFile(path))]).toEqual([0, 255, 13, 10]);
  });

  it("never shows a reader anything but a whole file", async () => {
    const path = join(folder, "file");
    const contents = ["a".repeat(100_000), "b".repeat(100_000)];
    await replaceFile(path, contents[0] ?? "", { mode: 0o600 });
    let writing = true;
    const writer = (async () => {
      for (let turn = 0; turn < 30; turn += 1)
        await replaceFile(path, contents[turn % 2] ?? "", { mode: 0o600 });
      writing = false;
    })();
    let readings = 0;
    while (writing) {
      expect(contents).toContain(await readFile(path, "utf8"));
      readings += 1;
    }
    await writer;
    expect(readings).toBeGreaterThan(0);
  });

  it("leaves the old file alone, and nothing beside it, when it cannot take its place", async () => {
    const path = join(folder, "file");
    await writeFile(join(folder, "other"), "x");
    await rm(path, { force: true });
    await expect(replaceFile(join(folder, "other", "file"), "new", { mode: 0o600 })).rejects.toThrow(
      "ENOTDIR",
    );
    await expect(replaceFile(folder, "new", { mode: 0o600 })).rejects.toThrow(
      /EISDIR|ENOTEMPTY|EEXIST|EBUSY/,
    );
    expect(await readdir(folder)).toEqual(["other"]);
  });

  it("does not follow the umask, but what it was told", async () => {
    const path = join(folder, "file");
    const umask = process.umask(0o077);
    try {
      await replaceFile(path, "x", { mode: 0o644 });
    } finally {
      process.umask(umask);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await chmod(path, 0o600);
  });
});

describe("syncing a directory", () => {
  it("works on real directories, and only on those", async () => {
    await syncDirectory(folder);
    const directory = sharingSyncs(await openDirectory(folder));
    await Promise.all([directory.sync(), directory.sync()]);
    await directory.close();
    await expect(syncDirectory(join(folder, "none"))).rejects.toThrow("ENOENT");
  });
});

describe("sharing fsyncs", () => {
  /** A directory whose fsyncs end when the test says so. */
  function slowDirectory() {
    const running: { end: () => void; fail: (error: Error) => void }[] = [];
    const directory: Directory = {
      path: "/",
      sync: () => new Promise((resolve, reject) => running.push({ end: resolve, fail: reject })),
      close: () => Promise.resolve(),
    };
    return { running, shared: sharingSyncs(directory) };
  }

  /** Lets everything happen that waits for nothing but its turn. */
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it("one fsync serves all that came before it began, and none that came later", async () => {
    const { running, shared } = slowDirectory();
    const done: string[] = [];
    const call = (name: string) => shared.sync().then(() => done.push(name));
    const first = call("first");
    await turn();
    const during = [call("second"), call("third")]; // their renames may be too late for the fsync that runs
    await turn();
    expect(running).toHaveLength(1);
    running[0]?.end();
    await first;
    await turn();
    expect(done).toEqual(["first"]);
    expect(running).toHaveLength(2);
    running[1]?.end();
    await Promise.all(during);
    expect(done).toEqual(["first", "second", "third"]);
    expect(running).toHaveLength(2);
  });

  it("an fsync that failed fails all that wait, and all that come after", async () => {
    const { running, shared } = slowDirectory();
    const first = shared.sync();
    await turn();
    const second = shared.sync();
    running[0]?.fail(new Error("EIO"));
    await expect(first).rejects.toThrow("EIO");
    await expect(second).rejects.toThrow("EIO");
    await expect(shared.sync()).rejects.toThrow("EIO");
    expect(running).toHaveLength(1);
  });
});
