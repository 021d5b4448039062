/** Which message was in hand at an unclean end, and at how many in a row. */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openInHand } from "../../../src/server/spool/in-hand-file.ts";

const [one, other] = ["0123456789AB", "0123456789AC"] as const;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-in-hand-"));
  path = join(folder, "in-hand");
});
afterEach(() => rm(folder, { recursive: true }));

/** A process that works on `id` and is killed amid that; what it found when it began. */
function killedWith(id: string) {
  const { mark, close, culprits, suspects } = openInHand(path);
  mark(other);
  mark("");
  if (id !== "") mark(id);
  close(false);
  return { culprits, suspects };
}

test("once is a suspicion, twice in a row is enough", () => {
  expect(killedWith(one)).toEqual({ culprits: [], suspects: [] });
  expect(killedWith(one)).toEqual({ culprits: [], suspects: [one] });
  expect(killedWith("")).toEqual({ culprits: [one], suspects: [] });
});

test("an end with nothing in hand says nothing about anybody, and who was not tried stays suspected", () => {
  killedWith(one);
  killedWith("");
  killedWith(other);
  killedWith(one);
  expect(openInHand(path).culprits).toEqual([one]);
});

test("a good end of the work, or of the process, clears", async () => {
  killedWith(one);
  const cleared = openInHand(path);
  cleared.clear(one);
  cleared.close(false);
  killedWith(one);
  const file = openInHand(path);
  expect(file.culprits).toEqual([]);
  file.close(true);
  await expect(stat(path)).rejects.toThrow("ENOENT");
  expect(killedWith("")).toEqual({ culprits: [], suspects: [] });
});

test("who is to be held is still so if that is interrupted", () => {
  killedWith(one);
  killedWith(one);
  killedWith("");
  expect(openInHand(path).culprits).toEqual([one]);
});

test("passes over what is none of its lines, follows no link, and is for its owner only", async () => {
  await writeFile(path, `\0\0\0\n${one} x\n../../etc/passwd 2\n${other} 1\n`, { mode: 0o600 });
  const file = openInHand(path);
  expect(file).toMatchObject({ culprits: [], suspects: [] });
  file.mark(one);
  expect(await readFile(path, "utf8")).toBe(`${one}\n${other} 1\n`);
  file.close(false);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
