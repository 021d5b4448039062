import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { isDamaged, openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { toOne } from "./to-one.ts";

const started = Date.parse("2026-11-22T14:11:00.000Z");

let parent: string;
let directory: string;
let spool: Spool;
let time: number;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-"));
  directory = join(parent, "spool");
  time = started;
  spool = await openSpool(directory, () => time);
});

afterEach(async () => {
  await spool.close();
  await rm(parent, { recursive: true, force: true });
});

/** Closes the spool, lets `meanwhile` happen to the files, and opens it again. */
async function reopen(meanwhile: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
  await spool.close();
  try {
    await meanwhile();
  } finally {
    spool = await openSpool(directory, () => time);
  }
}

async function accept(...chunks: readonly string[]): Promise<Envelope> {
  const draft = await spool.draft();
  for (const chunk of chunks) await draft.write(Buffer.from(chunk));
  return draft.accept(toOne);
}

/** The names in each folder of the spool. */
async function files(): Promise<Record<string, readonly string[]>> {
  const folders = ["drafts", "messages", "queue"];
  return Object.fromEntries(
    await Promise.all(
      folders.map(async (folder) => [folder, await readdir(join(directory, folder))] as const),
    ),
  );
}

describe("a message on its way in", () => {
  it("is there, octet by octet, once it is accepted, also after a restart", async () => {
    const envelope = await accept("Subject: x\r\n", "\r\n", "\u0000\u00ff.\r\n");
    expect(envelope).toEqual({ ...toOne, id: envelope.id, size: 20 });
    await reopen();
    expect(await spool.ids()).toEqual([envelope.id]);
    expect(await spool.read(envelope.id)).toEqual(envelope);
    expect(await text(spool.body(envelope.id))).toBe("Subject: x\r\n\r\n\u0000\u00ff.\r\n");
  });

  it.each([0, 1, 65_535, 65_536, 65_537, 200_000])(
    "may have %i octets in pieces of any size",
    async (size) => {
      const octets = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) % 256));
      const draft = await spool.draft();
      for (const step of [1, 10_000, 65_536]) {
        const from = [1, 10_000, 65_536]
          .filter((other) => other < step)
          .reduce((sum, other) => sum + other, 0);
        await draft.write(octets.subarray(from, from + step));
      }
      await draft.write(octets.subarray(75_537));
      const { id } = await draft.accept(toOne);
      expect((await readFile(join(directory, "messages", id))).equals(octets)).toBe(true);
      expect(await spool.read(id)).toMatchObject({ size });
    },
  );

  it("may be written from a buffer that the caller uses again", async () => {
    const draft = await spool.draft();
    const buffer = Buffer.from("one ");
    await draft.write(buffer);
    buffer.write("two ");
    await draft.write(buffer);
    const { id } = await draft.accept(toOne);
    expect(await text(spool.body(id))).toBe("one two ");
  });

  it("leaves nothing when it is discarded, however often", async () => {
    const draft = await spool.draft();
    await draft.write(Buffer.from("x"));
    await draft.discard();
    await draft.discard();
    expect(await files()).toEqual({ drafts: [], messages: [], queue: [] });
  });

  it("is not harmed by a discard that comes too late", async () => {
    const draft = await spool.draft();
    const { id } = await draft.accept(toOne);
    await draft.discard();
    expect(await spool.read(id)).toMatchObject({ id });
  });

  it("cannot be written to, or accepted again, when it is over", async () => {
    const draft = await spool.draft();
    await draft.accept(toOne);
    await expect(draft.write(Buffer.from("x"))).rejects.toThrow("accepted or discarded before");
    await expect(draft.accept(toOne)).rejects.toThrow("accepted or discarded before");
  });

  it("is not promised with an envelope that could not be read back", async () => {
    const draft = await spool.draft();
    await expect(draft.accept({ ...toOne, due: Number.NaN })).rejects.toThrow();
    await expect((await spool.draft()).accept({ ...toOne, attempts: 0.5 })).rejects.toThrow("attempts");
    expect(await files()).toEqual({ drafts: [], messages: [], queue: [] });
  });

  it("can be seen by nobody but the relay's own user", async () => {
    const { id } = await accept("secret");
    for (const [path, mode] of [
      ["", 0o700],
      ["queue", 0o700],
      ["messages", 0o700],
      ["drafts", 0o700],
      [join("queue", id), 0o600],
      [join("messages", id), 0o600],
    ] as const) {
      expect((await stat(join(directory, path))).mode & 0o777).toBe(mode);
    }
  });
});

describe("queue IDs", () => {
  it("are 12 upper-case hexadecimal digits in the order of time", async () => {
    const ids: string[] = [];
    for (const step of [0, 0, 1, 1000]) {
      time += step;
      ids.push((await accept("x")).id);
    }
    for (const id of ids) expect(id).toMatch(/^[0-9A-F]{12}$/);
    expect(await spool.ids()).toEqual(ids);
    expect([...ids].sort()).toEqual(ids);
  });

  it("are never used twice, even after the clock went back over a restart", async () => {
    const before = await accept("before");
    await reopen();
    const after = await accept("after");
    expect(after.id).not.toBe(before.id);
    expect(await text(spool.body(before.id))).toBe("before");
    expect(await text(spool.body(after.id))).toBe("after");
  });

  it("are never those of an envelope that lost its body", async () => {
    const { id } = await accept("x");
    await reopen(() => unlink(join(directory, "messages", id)));
    expect((await accept("y")).id).not.toBe(id);
  });
});

describe("a message in the queue", () => {
  it("keeps the last state recorded, also after a restart", async () => {
    const envelope = await accept("x");
    const later: Envelope = {
      ...envelope,
      attempts: 1,
      due: started + 300_000,
      recipients: [
        {
          address: "x@example.net",
          state: "waiting",
          reply: { code: 451, status: "4.4.1", text: "later", relay: "none", command: "", at: started + 5 },
        },
      ],
    };
    await spool.record(later);
    await reopen();
    expect(await spool.read(envelope.id)).toEqual(later);
  });

  it("can be read in part, for reports", async () => {
    const { id } = await accept("0123456789");
    expect((await spool.bodyStart(id, 4)).toString()).toBe("0123");
    expect((await spool.bodyStart(id, 0)).toString()).toBe("");
    expect((await spool.bodyStart(id, 99)).toString()).toBe("0123456789");
  });

  it("is gone with all its files when it is removed, however often", async () => {
    const { id } = await accept("x");
    await spool.remove(id);
    await spool.remove(id);
    expect(await files()).toEqual({ drafts: [], messages: [], queue: [] });
    expect(await spool.ids()).toEqual([]);
  });

  it("is one of many: 50 at once are all kept", async () => {
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, index) => accept(`message ${String(index)}`)),
    );
    await reopen();
    expect(await spool.ids()).toEqual(all.map(({ id }) => id).sort());
    for (const [index, { id }] of all.entries()) {
      expect(await text(spool.body(id))).toBe(`message ${String(index)}`);
    }
  });
});

describe("a message for a delivery", () => {
  it("comes with its body where that is small", async () => {
    const envelope = await accept("0123456789");
    expect(await spool.load(envelope.id, 9)).toEqual({ envelope });
    expect(await spool.load(envelope.id, 10)).toEqual({ envelope, body: Buffer.from("0123456789") });
  });

  it("has the envelope that the caller knows", async () => {
    const envelope = { ...(await accept("0123456789")), attempts: 7 };
    expect(await spool.load(envelope.id, 0, envelope)).toEqual({ envelope });
    const longer = { ...envelope, size: 11 };
    for (const most of [0, 11])
      expect(await spool.load(envelope.id, most, longer)).toEqual({
        damaged: expect.stringContaining("expected 11 octets"),
      });
  });
});

describe("damage", () => {
  const cases: readonly [string, (queue: string, body: string) => Promise<void>, string][] = [
    ["a body that is missing", (_, body) => unlink(body), "no such file"],
    ["a body that was cut", (_, body) => truncate(body, 3), "expected 10 octets"],
    ["a body that is too long", (_, body) => truncate(body, 11), "found 11"],
    ["an envelope that is empty", (queue) => truncate(queue, 0), "expected a JSON object"],
    ["an envelope that is missing", (queue) => unlink(queue), "no such file"],
  ];
  it.each(cases)("%s is named, with its file, and costs nothing else", async (_, damage, words) => {
    const { id } = await accept("0123456789");
    const sound = await accept("sound");
    await damage(join(directory, "queue", id), join(directory, "messages", id));
    const found = await spool.read(id);
    expect(isDamaged(found) && found.damaged).toContain(words);
    expect(isDamaged(found) && found.damaged).toContain(id);
    for (const most of [0, 9, 10, 1000]) expect(await spool.load(id, most)).toEqual(found);
    expect(await spool.read(sound.id)).toEqual(sound);
  });

  it("stays where it is at the next start, for a person to look at", async () => {
    const { id } = await accept("0123456789");
    await reopen(() => unlink(join(directory, "messages", id)));
    expect(await spool.ids()).toEqual([id]);
    expect(isDamaged(await spool.read(id))).toBe(true);
  });

  it("a body that is missing is an error of the stream, not of the program", async () => {
    await expect(text(spool.body("000000000001"))).rejects.toThrow("ENOENT");
    await expect(spool.bodyStart("000000000001", 5)).rejects.toThrow("ENOENT");
  });
});

describe("the sweep at the start", () => {
  it("removes drafts and bodies without an envelope, and nothing else", async () => {
    const { id } = await accept("x");
    await reopen(async () => {
      await writeFile(join(directory, "drafts", "00000000000A"), "{");
      await writeFile(join(directory, "drafts", id), "{");
      await writeFile(join(directory, "messages", "00000000000B"), "half a mess");
      await writeFile(join(directory, "messages", "notes.txt"), "by hand");
      await writeFile(join(directory, "queue", `${id}~`), "an editor's");
      await mkdir(join(directory, "lost+found"));
    });
    expect(await files()).toEqual({ drafts: [], messages: [id, "notes.txt"], queue: [id, `${id}~`] });
    expect(await spool.ids()).toEqual([id]);
  });
});

describe("what else the disk says", () => {
  it("how much room is left", async () => {
    const { octets, inodes } = await spool.free();
    expect(octets).toBeGreaterThan(0);
    expect(inodes).toBeGreaterThan(0);
  });
});
