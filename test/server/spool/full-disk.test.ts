/** A disk that is really full, and one that is really read-only: a small tmpfs, which only root can mount. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";
import { errorCode } from "../../../src/failure.ts";
import { openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { toOne } from "./to-one.ts";

/** A second goes by at each look: what the disk has left is asked at most once in one. */
let seconds = 0;
const now = (): number => 1_000 * seconds++;

const disk = mkdtempSync(join(tmpdir(), "spool-full-"));
const mounted = mount();

/** Mounts 1 MiB with few inodes; where that cannot be done it says so, and fails where it must be possible. */
function mount(): boolean {
  const { status, stderr } = spawnSync(
    "mount",
    ["-t", "tmpfs", "-o", "size=1m,nr_inodes=40,mode=0700", "none", disk],
    {
      encoding: "utf8",
    },
  );
  if (status === 0) return true;
  rmdirSync(disk);
  const complaint = `no tmpfs can be mounted: ${stderr?.trim().split("\n")[0] || "not permitted"}`;
  if (process.env["TPA_SUBMIT_INTEROP"] === "required" && process.getuid?.() === 0) {
    test("needs a tmpfs", () => {
      throw new Error(complaint);
    });
  } else {
    process.stderr.write(`\n*** SKIPPED, ${complaint} (tests with a full disk) ***\n`);
  }
  return false;
}

afterAll(() => {
  if (!mounted) return;
  spawnSync("umount", ["-l", disk]);
  rmdirSync(disk);
});

async function accept(spool: Spool, octets: number): Promise<string> {
  const draft = await spool.draft();
  try {
    await draft.write(Buffer.alloc(octets, "x"));
    return (await draft.accept(toOne)).id;
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

/** Makes empty files until the disk refuses one. */
async function takeInodes(): Promise<never> {
  for (let count = 0; ; count += 1) await writeFile(join(disk, String(count)), "");
}

/** Accepts messages until the disk refuses one. */
async function fill(spool: Spool, octets: number): Promise<{ ids: readonly string[]; code: string }> {
  const ids: string[] = [];
  for (;;) {
    try {
      ids.push(await accept(spool, octets));
    } catch (error) {
      return { ids, code: errorCode(error) };
    }
  }
}

describe.skipIf(!mounted)("a full disk", () => {
  it.each([
    ["of room", 150_000],
    ["of inodes", 1],
  ])(
    "for want %s refuses one message, keeps the others, and takes more when there is room again",
    async (_, octets) => {
      const directory = join(disk, "spool");
      let spool = await openSpool(directory, now);
      const before = await spool.free();
      const { ids, code } = await fill(spool, octets);
      expect(code).toBe("ENOSPC");
      expect(ids.length).toBeGreaterThan(3);
      const after = await spool.free();
      expect(before.octets - after.octets).toBeGreaterThan(ids.length * octets);
      expect(before.inodes - after.inodes).toBe(2 * ids.length);

      await spool.close();
      await expect(writeFile(join(disk, "filler"), Buffer.alloc(2_000_000))).rejects.toThrow("ENOSPC");
      spool = await openSpool(directory, now); // a full disk is no reason not to start
      await rm(join(disk, "filler"), { force: true });
      expect(await spool.ids()).toEqual(ids);
      for (const id of ids) expect(await spool.read(id)).toMatchObject({ id, size: octets });

      const [first = "", ...others] = ids;
      await spool.remove(first);
      const next = await accept(spool, octets);
      expect(await spool.ids()).toEqual([...others, next].sort());
      for (const id of await spool.ids()) await spool.remove(id);
      const end = await spool.free();
      expect(end.inodes).toBe(before.inodes);
      expect(end.octets).toBeGreaterThanOrEqual(before.octets); // the lock's note had no room
      await spool.close();
    },
  );

  it("does not lose a state when the next one has no room", async () => {
    const spool = await openSpool(join(disk, "spool"), now);
    const id = await accept(spool, 1);
    const other = await accept(spool, 1);
    await expect(takeInodes()).rejects.toThrow("ENOSPC");
    const envelope = await spool.read(id);
    if ("damaged" in envelope) throw new Error(envelope.damaged);
    await expect(spool.record({ ...envelope, attempts: 1 })).rejects.toThrow("ENOSPC");
    expect(await spool.read(id)).toEqual(envelope);
    await spool.remove(other);
    await spool.record({ ...envelope, attempts: 1 });
    expect(await spool.read(id)).toEqual({ ...envelope, attempts: 1 });
    await spool.close();
  });

  it("that is read-only is named in one line", async () => {
    spawnSync("mount", ["-o", "remount,ro", disk]);
    await expect(openSpool(join(disk, "spool"), now)).rejects.toMatchObject({
      status: 73,
      message: expect.stringContaining("EROFS"),
    });
    spawnSync("mount", ["-o", "remount,rw", disk]);
  });
});
