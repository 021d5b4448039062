/** The way back to a spool without a journal loses nothing, whenever the power fails. */
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import type { Disk } from "../../../src/server/spool/disk.ts";
import { downgradeSpool } from "../../../src/server/spool/downgrade.ts";
import { openSpool } from "../../../src/server/spool/spool.ts";
import { type Change, memoryDisk, powerCut } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";
const bare: readonly Change[] = [
  { path: "/srv", inode: 1 },
  { synced: "/", since: 1 },
];
const settings = { segment: 4096, largest: 1000 };
const now = (): number => 1_000_000;

async function bodiesOn(disk: Disk): Promise<readonly string[]> {
  const spool = await openSpool(directory, () => 2_000_000, disk);
  const bodies = await Promise.all((await spool.ids()).map((id) => text(spool.body(id))));
  await spool.close();
  return bodies;
}

it("downgradeSpool() leaves files of format 2, and after a power cut at any moment one format or the other, and all messages", async () => {
  const disk = memoryDisk(bare);
  const spool = await openSpool(directory, now, disk, settings);
  for (const body of ["one", "two", "three"]) {
    const draft = await spool.draft();
    await draft.write(Buffer.from(body));
    await draft.accept(toOne);
  }
  const [first = ""] = await spool.ids();
  await spool.remove(first);
  await spool.close();
  const from = disk.journal.length;
  expect(await downgradeSpool(directory, () => 1_500_000, disk)).toBe(2);
  expect(await disk.readText(`${directory}/format`)).toBe("tpa-submit spool 2\n");
  expect(await disk.list(directory)).not.toContain("journal");
  expect(await disk.list(`${directory}/queue`)).toHaveLength(2);
  expect(await downgradeSpool(directory, () => 1_500_000, disk)).toBe(0); // again
  for (let moment = from; moment <= disk.journal.length; moment += 1) {
    for (const cut of powerCut(disk.journal.slice(0, moment), 1)) {
      expect(await bodiesOn(memoryDisk(cut))).toEqual(["two", "three"]);
    }
  }
  expect(await bodiesOn(disk)).toEqual(["two", "three"]);
});
