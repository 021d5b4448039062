/** A spool of an earlier version (fixtures/) on a disk in memory, all of it durable. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Change } from "./memory-disk.ts";

const fixtures = new URL("fixtures", import.meta.url).pathname;

/** The fixture of format 1, in `directory`, whose folder above is there as well. */
export async function earlier(directory: string): Promise<readonly Change[]> {
  const filesIn = async (folder: string) =>
    (await readdir(join(fixtures, "format-1", folder))).map((name) => join(folder, name));
  const folders = [
    "/srv",
    directory,
    ...["drafts", "messages", "queue"].map((name) => join(directory, name)),
  ];
  const names = ["format", "lock", ...(await filesIn("messages")), ...(await filesIn("queue"))];
  const changes: Change[] = folders.map((path, index) => ({ path, inode: index + 1 }));
  for (const [index, name] of names.entries()) {
    const inode = folders.length + index + 1;
    const content = await readFile(join(fixtures, "format-1", name));
    changes.push({ path: join(directory, name), inode }, { inode, content });
    changes.push({ synced: inode, since: changes.length });
  }
  return [...changes, ...["/", ...folders].map((synced) => ({ synced, since: changes.length }))];
}
