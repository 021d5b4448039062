/** Looking into a spool without owning it. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isDamaged, openSpool, type Spool, viewSpool } from "../../../src/server/spool/spool.ts";
import { toOne } from "./to-one.ts";

let parent: string;
let directory: string;
let spool: Spool;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-reading-"));
  directory = join(parent, "spool");
  spool = await openSpool(directory, () => 0);
});

afterEach(async () => {
  await spool.close();
  await rm(parent, { recursive: true, force: true });
});

async function accept(body: string): Promise<string> {
  const draft = await spool.draft();
  await draft.write(Buffer.from(body));
  return (await draft.accept(toOne)).id;
}

describe("a view of a spool", () => {
  it("shows what its owner has, while it is owned", async () => {
    const id = await accept("hello");
    const noted = {
      recipient: "x@example.net",
      code: 451,
      status: "4.4.1",
      text: "later",
      relay: "none",
      command: "",
      at: 0,
    };
    await spool.note(id, [noted]);
    const view = await viewSpool(directory);
    expect(await view.ids()).toEqual([id]);
    expect(await view.read(id)).toEqual(await spool.read(id));
    expect(await text(view.body(id))).toBe("hello");
    expect((await view.bodyStart(id, 4)).toString()).toBe("hell");
    expect(await view.history(id)).toEqual([noted]);
  });

  it("gives all messages, oldest first, damaged ones too; of those that go meanwhile it can tell", async () => {
    const ids: string[] = [];
    for (let count = 0; count < 100; count += 1) ids.push(await accept(String(count)));
    const [first = "", second = "", ...others] = ids;
    await truncate(join(directory, "queue", second), 0);
    const last = others.pop() ?? "";
    const view = await viewSpool(directory);
    const seen: string[] = [];
    for await (const batch of view.readMany(await view.ids())) {
      if (seen.length === 0) await spool.remove(last);
      for (const { id, envelope } of batch) {
        expect(isDamaged(envelope)).toBe([second, last].includes(id));
        if (!isDamaged(envelope) || (await view.has(id))) seen.push(id);
      }
    }
    expect(seen).toEqual([first, second, ...others]);
  });

  it("is refused in one line where there is nothing to see", async () => {
    await expect(viewSpool(join(parent, "none"))).rejects.toMatchObject({
      status: 66,
      message: expect.stringMatching(/none: the spool cannot be read: ENOENT/),
    });
    await writeFile(join(directory, "format"), "tpa-submit spool 4\n");
    await expect(viewSpool(directory)).rejects.toMatchObject({
      status: 65,
      message: expect.stringContaining(
        'expected "tpa-submit spool 1" or "tpa-submit spool 2" or "tpa-submit spool 3", found "tpa-submit spool 4"',
      ),
    });
  });
});
