import { chmod, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findFile, isAsWanted, putFile, readOwnership } from "../../src/ldap/synced-file.ts";

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "file-"));
  path = join(folder, "mail-passwords");
});
beforeEach(() => rm(path, { force: true }));
afterAll(() => rm(folder, { recursive: true }));

const second = (milliseconds: number): number => Math.floor(milliseconds / 1000);

describe("putFile()", () => {
  const now = Date.UTC(2026, 10, 22, 12, 0, 0, 500);

  test("makes a file with the permissions that were asked for", async () => {
    await putFile(path, "user1:x\n", { mode: 0o640 }, { before: undefined, now });
    expect(await readFile(path, "utf8")).toBe("user1:x\n");
    const { mode, mtimeMs } = await stat(path);
    expect(mode & 0o7777).toBe(0o640);
    expect(second(mtimeMs)).toBe(second(now));
  });

  test("never gives two versions the same second, whatever the clock does", async () => {
    const seen = new Set<number>();
    const clocks = [now, now + 10, now + 20, now - 5000, now + 400, now + 30_000, now + 30_000];
    for (const [index, clock] of clocks.entries()) {
      await putFile(path, `user1:${index}\n`, { mode: 0o640 }, { before: await findFile(path), now: clock });
      seen.add(second((await stat(path)).mtimeMs));
    }
    expect(seen.size).toBe(clocks.length);
  });

  test("keeps owner and group as they are, and leaves no draft behind", async () => {
    await writeFile(path, "old\n");
    const before = await stat(path);
    await putFile(path, "new\n", { mode: 0o640 }, { before: await findFile(path), now });
    expect(await stat(path)).toMatchObject({ uid: before.uid, gid: before.gid });
    expect(await readdir(folder)).toEqual(["mail-passwords"]);
  });

  test("gives the file the owner and group that were asked for", async () => {
    const { uid, gid } = await stat(folder); // ours: everybody may give a file to oneself
    await putFile(path, "new\n", { mode: 0o640, uid, gid }, { before: undefined, now });
    expect(await stat(path)).toMatchObject({ uid, gid });
    if (process.getuid?.() !== 0) return;
    await putFile(path, "new\n", { mode: 0o640, uid: 1234, gid: 5678 }, { before: undefined, now });
    expect(await stat(path)).toMatchObject({ uid: 1234, gid: 5678 });
  });

  test("says in one line that the file could not be written, and leaves it", async () => {
    const nowhere = join(folder, "nowhere", "mail-passwords");
    const failure = putFile(nowhere, "x", { mode: 0o640 }, { before: undefined, now });
    await expect(failure).rejects.toMatchObject({
      status: 73,
      message: /^cannot write .*; the file stays as it was$/,
    });
  });
});

describe("isAsWanted()", () => {
  test("wants text, permissions and owner", async () => {
    await writeFile(path, "text");
    await chmod(path, 0o640);
    const found = await findFile(path);
    expect(isAsWanted(found, "text", { mode: 0o640 })).toBe(true);
    expect(isAsWanted(found, "other", { mode: 0o640 })).toBe(false);
    expect(isAsWanted(found, "text", { mode: 0o600 })).toBe(false);
    expect(isAsWanted(found, "text", { mode: 0o640, uid: (found?.uid ?? 0) + 1 })).toBe(false);
    expect(isAsWanted(undefined, "", { mode: 0o640 })).toBe(false);
  });
});

describe("readOwnership()", () => {
  test("takes numbers, names and nothing", async () => {
    expect(await readOwnership("", "", 0o640)).toEqual({ mode: 0o640 });
    expect(await readOwnership("12", "34", 0o600)).toEqual({ uid: 12, gid: 34, mode: 0o600 });
    expect(await readOwnership("root", "root", 0o600)).toEqual({ uid: 0, gid: 0, mode: 0o600 });
  });

  test("names the setting whose name nobody has", async () => {
    const failure = readOwnership("", "no-such-group", 0o640);
    await expect(failure).rejects.toMatchObject({ status: 78, message: /^sync\.group: .*no-such-group/ });
  });
});

test("findFile() tells a missing file from one that cannot be read", async () => {
  expect(await findFile(path)).toBeUndefined();
  await expect(findFile(folder)).rejects.toMatchObject({ status: 74, message: /nothing was changed$/ });
  await writeFile(path, "x");
  await utimes(path, 100, 100);
  expect((await findFile(path))?.modified).toBe(100_000);
});
