/** A file without a name, for what is looked at before it is accepted. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSpool, type Spool } from "../../../src/server/spool/spool.ts";

let folder = "";
let spool: Spool;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-scratch-"));
  spool = await openSpool(join(folder, "spool"), Date.now);
});
afterEach(async () => {
  await spool.close();
  await rm(folder, { recursive: true, force: true });
});

async function all(octets: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of octets) parts.push(part);
  return Buffer.concat(parts).toString("latin1");
}

test("gives back what was written in pieces of any size, from any place on, again and again", async () => {
  const scratch = await spool.scratch("0123456789AB");
  const again = Buffer.alloc(7);
  let expected = "";
  for (let size = 1; size < 200_000; size = size * 3 + 1) {
    const text = String(size % 10).repeat(size);
    await scratch.write(Buffer.from(text));
    again.fill(text.charAt(0));
    await scratch.write(again); // the buffer is used again
    expected += text + text.charAt(0).repeat(7);
  }
  expect(scratch.size).toBe(expected.length);
  expect((await all(scratch.read(0))) === expected).toBe(true);
  expect((await all(scratch.read(100_001))) === expected.slice(100_001)).toBe(true);
  expect(await all(scratch.read(expected.length))).toBe("");
  await scratch.close();
  await scratch.close();
});

test("has no name that a crash could leave, and two of one message are two", async () => {
  const [one, other] = [await spool.scratch("0123456789AB"), await spool.scratch("0123456789AB")];
  await one.write(Buffer.from("one"));
  await other.write(Buffer.from("other"));
  expect(await readdir(join(folder, "spool/drafts"))).toEqual([]);
  expect([await all(one.read(0)), await all(other.read(0))]).toEqual(["one", "other"]);
  await one.close();
  await other.close();
});
