/** A spool whose messages begin in the journal: what its callers see is what a spool of files shows them. */
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { writeDraft } from "../../../src/server/spool/commit.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import { formatEnvelopeLine } from "../../../src/server/spool/envelope-file.ts";
import { fsckLocked, repairText } from "../../../src/server/spool/fsck.ts";
import { recordLength } from "../../../src/server/spool/journal-record.ts";
import {
  type Draft,
  isDamaged,
  type JournalSettings,
  openSpool,
  type Spool,
  viewSpool,
} from "../../../src/server/spool/spool.ts";
import { intercept } from "./intercept.ts";
import { type Change, type MemoryDisk, memoryDisk, powerCut } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";
const settings: JournalSettings = { segment: 8192, largest: 1000 };
const bare: readonly Change[] = [{ path: "/srv", inode: 1 }];
const now = (): number => Date.parse("2026-11-22T14:11:00.000Z");

const open = (disk: Disk, time = 0): Promise<Spool> =>
  openSpool(directory, () => now() + time, disk, settings);

async function put(spool: Spool, body: string): Promise<string> {
  const draft = await spool.draft();
  await draft.write(Buffer.from(body));
  return (await draft.accept(toOne)).id;
}

const filesIn = async (disk: Disk, folder: string): Promise<readonly string[]> =>
  disk.list(`${directory}/${folder}`);

async function shown(spool: Pick<Spool, "ids" | "read" | "body">) {
  const all: Record<string, string> = {};
  for (const id of await spool.ids()) {
    const envelope = await spool.read(id);
    all[id] = isDamaged(envelope)
      ? envelope.damaged
      : `${String(envelope.attempts)} ${await text(spool.body(id))}`;
  }
  return all;
}

describe("a message in the journal", () => {
  it("is whole where its first piece was given away, and others came behind", async () => {
    const spool = await open(memoryDisk(bare));
    const draft = await spool.draft();
    await draft.write(Buffer.from("Subject: x\r\n\r\n"), true);
    await draft.write(Buffer.from("Hel"), true);
    await draft.write(Buffer.from("lo\r\n"));
    const { id, size } = await draft.accept(toOne);
    expect(size).toBe(21);
    expect(await text(spool.body(id))).toBe("Subject: x\r\n\r\nHello\r\n");
  });

  it("is in the spool, and in neither of its folders", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const id = await put(spool, "Subject: x\r\n\r\nHello\r\n");
    expect(await spool.ids()).toEqual([id]);
    expect(await spool.has(id)).toBe(true);
    expect(await spool.read(id)).toEqual({ ...toOne, id, size: 21 });
    expect(await text(spool.body(id))).toBe("Subject: x\r\n\r\nHello\r\n");
    expect((await spool.bodyStart(id, 7)).toString()).toBe("Subject");
    expect(await spool.bodyStart(id, 0)).toHaveLength(0);
    for (const folder of ["messages", "drafts", "queue"]) expect(await filesIn(disk, folder)).toEqual([]);
    await spool.remove(id);
    expect(await spool.ids()).toEqual([]);
    expect(await spool.has(id)).toBe(false);
    expect(isDamaged(await spool.read(id))).toBe(true);
    await spool.remove(id); // again
    await spool.close();
  });

  it("that was empty, or came in many parts, is as it came", async () => {
    const large = { segment: 1_000_000, largest: 200_000 };
    const spool = await openSpool(directory, now, memoryDisk(bare), large);
    const octets = Buffer.from(Array.from({ length: 150_000 }, (_, index) => index % 251));
    for (const size of [0, 1, 8192, 8193, 150_000]) {
      const draft: Draft = await spool.draft();
      for (let at = 0; at < size; at += 7000)
        await draft.write(octets.subarray(at, Math.min(size, at + 7000)));
      const { id } = await draft.accept(toOne);
      expect((await buffer(spool.body(id))).equals(octets.subarray(0, size))).toBe(true);
    }
    await spool.close();
  });

  it.each([
    ["when it is closed", true],
    ["when it is killed", false],
  ])("is there after the next start, %s", async (_, isClosed) => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const [one, two, three] = [await put(spool, "one"), await put(spool, "two"), await put(spool, "three")];
    await spool.remove(two);
    if (isClosed) await spool.close();
    const again = await openSpool(directory, now, memoryDisk(disk.journal)); // also where none go there any more
    expect(await shown(again)).toEqual({ [one]: "0 one", [three]: "0 three" });
    const next = await again.draft(); // by a clock that was set back
    expect([one, two, three]).not.toContain(next.id);
    await next.discard();
    await again.close();
  });

  it("moves to the folders when something is recorded of it, and is removed from there", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const id = await put(spool, "Hello\r\n");
    await spool.record({ ...toOne, id, size: 7, attempts: 1 });
    expect(await shown(spool)).toEqual({ [id]: "1 Hello\r\n" });
    expect(await filesIn(disk, "queue")).toEqual([id]);
    expect(await filesIn(disk, "messages")).toEqual([id]);
    const again = await open(memoryDisk(disk.journal), 1000);
    expect(await shown(again)).toEqual({ [id]: "1 Hello\r\n" });
    await again.record({ ...toOne, id, size: 7, attempts: 2 });
    expect(await shown(again)).toEqual({ [id]: "2 Hello\r\n" });
    await again.remove(id);
    expect(await shown(again)).toEqual({});
    await again.close();
  });

  it("is a file from the beginning where it is too large, or its envelope is", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const large = await put(spool, "x".repeat(1001));
    const draft = await spool.draft();
    await draft.write(Buffer.from("Hello\r\n"));
    const one = { address: "x@example.net", state: "waiting" } as const;
    const many = (await draft.accept({ ...toOne, recipients: Array.from({ length: 100 }, () => one) })).id;
    expect(await filesIn(disk, "queue")).toEqual([large, many]);
    expect(await shown(spool)).toEqual({ [large]: `0 ${"x".repeat(1001)}`, [many]: "0 Hello\r\n" });
    const dropped = await spool.draft();
    await dropped.write(Buffer.alloc(2000));
    await dropped.discard();
    expect(await filesIn(disk, "messages")).toEqual([large, many]);
    await spool.close();
  });

  it("has its history removed with it", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const id = await put(spool, "Hello\r\n");
    expect(await spool.note(id, [{ at: now(), act: "retry", by: "root", reason: "" }])).toBeUndefined();
    expect(await spool.history(id)).toHaveLength(1);
    await spool.remove(id);
    expect(await filesIn(disk, "history")).toEqual([]);
    await spool.close();
  });

  it("is seen by who looks without the lock, and no longer when it is done with", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const [one, two] = [await put(spool, "one"), await put(spool, "two")];
    const view = await viewSpool(directory, disk);
    expect(await view.has(two)).toBe(true);
    expect(await shown(view)).toEqual({ [one]: "0 one", [two]: "0 two" });
    await spool.remove(one);
    await spool.record({ ...toOne, id: two, size: 3, attempts: 1 });
    expect(await shown(view)).toEqual({ [two]: "1 two" });
    await spool.close();
  });

  it("stays promised, and can be moved again, where the disk refuses any call of its move", async () => {
    for (let bad = 1; bad < 12; bad += 1) {
      let count = -1_000_000;
      const memory: MemoryDisk = memoryDisk(bare);
      const refused = Object.assign(new Error("ENOSPC: refused"), { code: "ENOSPC" });
      const disk = intercept(memory, (call) => {
        count += 1;
        // After the fsync of a folder failed, nothing is promised any more.
        if (count === bad && !/^sync .*(queue|messages)$/.test(call)) throw refused;
        return "go";
      });
      const spool = await open(disk);
      const id = await put(spool, "Hello\r\n");
      count = 0;
      const next = { ...toOne, id, size: 7, attempts: 1 };
      const outcome = await spool.record(next).then(
        () => "done",
        (error: unknown) => error,
      );
      if (outcome !== "done") expect(outcome).toBe(refused);
      expect(Object.keys(await shown(spool))).toEqual([id]);
      await spool.record(next);
      expect(await shown(spool)).toEqual({ [id]: "1 Hello\r\n" });
      const again = await open(memoryDisk(memory.journal), 1000);
      expect(await shown(again)).toEqual({ [id]: "1 Hello\r\n" });
      await spool.remove(id);
      expect(await shown(await open(memoryDisk(memory.journal), 2000))).toEqual({});
    }
  });
});

describe("a disk that has no room for a segment", () => {
  /** `memory`, with so many octets left. */
  const leaving = (memory: Disk, octets: { left: number }): Disk => ({
    ...memory,
    free: async () => ({ octets: octets.left, inodes: 1e6 }),
  });

  it("takes messages as files, and as records again when it has", async () => {
    const memory = memoryDisk(bare);
    const room = { left: settings.segment };
    const spool = await open(leaving(memory, room));
    expect(spool.inodesFor(10)).toBe(2);
    await spool.trial(); // a message would be taken
    const id = await put(spool, "as a file");
    expect(await filesIn(memory, "queue")).toEqual([id]);
    expect((await filesIn(memory, "journal")).filter((name) => /-/.test(name))).toEqual([]);
    room.left = 1e9;
    await spool.trial();
    expect(spool.inodesFor(10)).toBe(0);
    expect(spool.inodesFor(settings.largest + 1)).toBe(2);
    const next = await put(spool, "as a record");
    expect(await filesIn(memory, "queue")).toEqual([id]);
    expect(await shown(spool)).toEqual({ [id]: "0 as a file", [next]: "0 as a record" });
    await spool.close();
  });

  it("refuses a message only where it has no room for its files either", async () => {
    const memory = memoryDisk(bare);
    const disk = intercept(leaving(memory, { left: 0 }), (call) => {
      if (/^write .*messages/.test(call)) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      return "go";
    });
    const spool = await open(disk);
    await expect(put(spool, "none")).rejects.toMatchObject({ code: "ENOSPC" });
    await expect(spool.trial()).rejects.toMatchObject({ code: "ENOSPC" });
    expect(await spool.ids()).toEqual([]);
    await spool.close();
  });
});

describe("a trial", () => {
  it.each(["write", "sync"])(
    "tells of a segment that refuses a %s, and the next one takes another",
    async (what) => {
      const memory = memoryDisk(bare);
      let armed = false;
      const disk = intercept(memory, (call) => {
        if (!armed || !new RegExp(`^${what} .*/journal/\\d{10}-`).test(call)) return "go";
        throw Object.assign(new Error("EIO"), { code: "EIO" });
      });
      const spool = await open(disk);
      const id = await put(spool, "one");
      armed = true;
      await expect(spool.trial()).rejects.toMatchObject({ code: "EIO" });
      armed = false;
      await spool.trial();
      const next = await put(spool, "two");
      await spool.close();
      const again = await open(memoryDisk(memory.journal), 1000);
      expect(await shown(again)).toEqual({ [id]: "0 one", [next]: "0 two" });
      await again.close();
    },
  );

  it("leaves nothing behind, between any two messages", async () => {
    const memory = memoryDisk(bare);
    const spool = await open(memory);
    const bodies = [];
    for (const body of ["one", "two", "three"]) {
      await Promise.all([spool.trial(), put(spool, body)]);
      await spool.trial();
      bodies.push(body);
      const seen = await open(memoryDisk(memory.journal), 1000); // after a kill
      expect(Object.values(await shown(seen))).toEqual(bodies.map((one) => `0 ${one}`));
      await seen.close();
    }
    await spool.close();
  });
});

describe("while no fsync succeeds", () => {
  it("nobody is promised anything, and a kill brings back nothing of what was refused", async () => {
    const memory = memoryDisk(bare);
    let refuses = false;
    const disk = intercept(memory, (call) => {
      if (refuses && call.startsWith("sync ")) throw Object.assign(new Error("EIO"), { code: "EIO" });
      return "go";
    });
    const spool = await open(disk);
    const [gone, kept] = [await put(spool, "gone"), await put(spool, "kept")];
    refuses = true;
    await expect(spool.remove(gone)).rejects.toMatchObject({ code: "EIO" }); // its line is written all the same
    const refused = await Promise.allSettled(["one", "two", "three"].map((body) => put(spool, body)));
    expect(refused.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    const again = await open(memoryDisk(memory.journal), 1000);
    expect(await shown(again)).toEqual({ [kept]: "0 kept" });
    await again.close();
  });
});

describe("many messages at once", () => {
  const large = { segment: 131_072, largest: 16_000 };

  /** What readMany() gives of each, and whether that is what read() gives. */
  async function bothWays(spool: Pick<Spool, "ids" | "read" | "readMany">, ids: readonly string[]) {
    const found = [];
    for await (const batch of spool.readMany(ids)) found.push(...batch);
    const one = [];
    for (const id of ids) one.push({ id, envelope: await spool.read(id) });
    expect(found).toEqual(one);
    return found.map(({ envelope }) => (isDamaged(envelope) ? "damaged" : String(envelope.size)));
  }

  it("come in their order from the journal and from files, at a start, again, and beside the owner", async () => {
    const disk = memoryDisk(bare);
    const first = await openSpool(directory, now, disk, large);
    const ids = [];
    for (let at = 0; at < 200; at += 1) ids.push(await put(first, "x".repeat(at)));
    for (const id of ids.filter((_, at) => at % 7 === 3)) {
      const envelope = await first.read(id);
      if (!isDamaged(envelope)) await first.record({ ...envelope, attempts: 1 });
    }
    const [gone = "", ...left] = ids;
    await first.remove(gone);
    await first.close();
    const sizes = ids.map((_, at) => String(at));
    const spool = await openSpool(directory, () => now() + 1000, disk, large);
    const late = await put(spool, "late");
    for (const from of [spool, spool, await viewSpool(directory, disk)]) {
      expect(await from.ids()).toEqual([...left, late]);
      expect(await bothWays(from, [...ids, late])).toEqual(["damaged", ...sizes.slice(1), "4"]);
    }
    await spool.close();
  });

  it("are read one by one where the disk does not give one of them", async () => {
    const memory = memoryDisk(bare);
    let bad = false;
    const disk: Disk = {
      ...memory,
      async openPlaced(path, as) {
        const file = await memory.openPlaced(path, as);
        const read: typeof file.read = async (octets, at) => {
          if (bad && at < 5_000 && at + octets > 5_000)
            throw Object.assign(new Error("EIO"), { code: "EIO" });
          return file.read(octets, at);
        };
        return { ...file, read };
      },
    };
    const first = await openSpool(directory, now, disk, large);
    const ids = [];
    for (const letter of ["a", "b", "c"]) ids.push(await put(first, letter.repeat(4_000)));
    await first.close();
    const spool = await openSpool(directory, () => now() + 1000, disk, large);
    expect(await bothWays(spool, ids)).toEqual(["4000", "4000", "4000"]);
    bad = true;
    expect(await bothWays(spool, ids)).toEqual(["4000", "damaged", "4000"]);
    await spool.close();
  });

  it("are read with those that follow when they are delivered, but for what the disk does not give", async () => {
    const memory = memoryDisk(bare);
    let reads = 0;
    let bad = false;
    const disk: Disk = {
      ...memory,
      async openPlaced(path, as) {
        const file = await memory.openPlaced(path, as);
        const read: typeof file.read = async (octets, at) => {
          reads += 1;
          if (bad && at < 5_000 && at + octets > 5_000)
            throw Object.assign(new Error("EIO"), { code: "EIO" });
          return file.read(octets, at);
        };
        return { ...file, read };
      },
    };
    const first = await openSpool(directory, now, disk, large);
    const ids: string[] = [];
    for (const letter of ["a", "b", "c"]) ids.push(await put(first, letter.repeat(4_000)));
    await first.close();
    const bodies = async (spool: Spool) =>
      Promise.all(
        ids.map(async (id) => {
          const message = await spool.load(id, 10_000);
          return message === undefined || isDamaged(message)
            ? "damaged"
            : message.body?.subarray(0, 1).toString();
        }),
      );
    const spool = await openSpool(directory, () => now() + 1000, disk, large);
    reads = 0;
    expect(await bodies(spool)).toEqual(["a", "b", "c"]);
    expect(reads).toBe(1);
    ids.push(await put(spool, "d".repeat(4_000)));
    expect(await bodies(spool)).toEqual(["a", "b", "c", "d"]);
    await spool.close();
    const again = await openSpool(directory, () => now() + 2000, disk, large);
    bad = true;
    expect(await bodies(again)).toEqual(["a", "damaged", "c", "d"]);
    await again.close();
  });
});

describe("fsck", () => {
  async function faults(disk: Disk): Promise<readonly string[]> {
    const found: string[] = [];
    const care = await fsckLocked(directory, now, disk);
    for await (const { fault, repair } of care.damage([])) {
      found.push(
        `${fault}; repair would ${repairText(repair)}`.replaceAll(/\d{10}-[0-9A-F]{16}/g, "SEGMENT"),
      );
    }
    await care.close();
    return found;
  }

  it("takes no body for lost whose message the journal has, as a crash leaves it; the next start removes it", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const id = await put(spool, "one");
    await spool.close();
    await writeDraft(disk, `${directory}/messages/${id}`, "one");
    expect(await faults(disk)).toEqual([]);
    await writeDraft(disk, `${directory}/messages/00000000000A`, "two");
    expect(await faults(disk)).toEqual([
      expect.stringMatching(/^messages\/00000000000A: expected queue\/00000000000A to go with it; /),
    ]);
    const again = await open(disk, 1000);
    expect(await shown(again)).toEqual({ [id]: "0 one" });
    expect(await filesIn(disk, "messages")).toEqual([]);
    await again.close();
  });

  it("takes a body for lost where the journal's own is not as it was written", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const id = await put(spool, "one");
    await spool.close();
    await writeDraft(disk, `${directory}/messages/${id}`, "one");
    await damageAt(
      disk,
      recordLength(Buffer.byteLength(formatEnvelopeLine({ ...toOne, id, size: 3 })), 3) - 2,
    );
    expect((await faults(disk))[0]).toMatch(
      new RegExp(`^messages/${id}: expected queue/${id} to go with it; `),
    );
  });

  /** Writes into the only segment. */
  async function damageAt(disk: Disk, at: number): Promise<void> {
    const names = await filesIn(disk, "journal");
    const name = names.find((one) => /^\d{10}-/.test(one)) ?? "";
    (await disk.openPlaced(`${directory}/journal/${name}`, "there")).writeNow(Buffer.from("\0\0"), at);
  }

  /** `disk`, of which a sector of the segment cannot be read. */
  function badSector(disk: Disk, sector: number): Disk & { readonly well: Disk } {
    return {
      ...disk,
      well: disk,
      async openPlaced(path, as) {
        const file = await disk.openPlaced(path, as);
        if (!/-[0-9A-F]{16}$/.test(path)) return file;
        return {
          ...file,
          async read(octets, at) {
            if (at < sector + 4_096 && at + octets > sector)
              throw Object.assign(new Error("EIO"), { code: "EIO" });
            return file.read(octets, at);
          },
        };
      },
    };
  }

  const aside = "set these octets aside in damaged/, and let the segment go when the rest of it is delivered";

  it("finds nothing in a journal that was killed, nor in one at work", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    for (const body of ["one", "two"]) await put(spool, body);
    for await (const { fault } of spool.damage([])) throw new Error(fault);
    expect(await faults(memoryDisk(disk.journal))).toEqual([]);
  });

  it("finds what was damaged, and the records behind it", async () => {
    const disk = memoryDisk(bare);
    const spool = await open(disk);
    const first = await put(spool, "one");
    for (const body of ["two", "three"]) await put(spool, body);
    await spool.close();
    expect(await faults(disk)).toEqual([]);
    const length = recordLength(Buffer.byteLength(formatEnvelopeLine({ ...toOne, id: first, size: 3 })), 3);
    await damageAt(disk, length - 2); // the first message
    await damageAt(disk, length + 10); // the head of the second
    expect(await faults(disk)).toEqual([
      `journal/SEGMENT: expected a record at ${String(length)}, found ${String(length)} octets that are none; repair would ${aside}`,
      `journal/SEGMENT: expected the message ${first} at 0 as it was written, found another sum; repair would ${aside}`,
    ]);
    const again = await open(disk, 1000);
    const [, third = ""] = await again.ids();
    expect(await again.ids()).toEqual([first, third]);
    expect((await shown(again))[third]).toBe("0 three");
    expect((await shown(again))[first]).toContain("the record at 0 is not as it was written");
    await again.remove(first);
    expect(await again.ids()).toEqual([third]);
    await again.close();
  });

  it.each(["nobody has the spool", "the relay is at work"])(
    "sets damage aside while %s, and lets the segment go when the rest is delivered",
    async (who) => {
      const disk = memoryDisk(bare);
      const spool = await open(disk);
      const first = await put(spool, "one");
      for (const body of ["two", "three"]) await put(spool, body);
      await spool.close();
      const length = recordLength(Buffer.byteLength(formatEnvelopeLine({ ...toOne, id: first, size: 3 })), 3);
      await damageAt(disk, length - 2); // the first message
      await damageAt(disk, length + 10); // the head of the second
      const works = who === "the relay is at work" ? await open(disk, 1000) : undefined;
      const fsck = works ?? (await fsckLocked(directory, now, disk));
      for await (const finding of fsck.damage([])) expect(await fsck.repair(finding)).toBe(true);
      const left = [];
      for await (const finding of fsck.damage([])) left.push(finding.fault);
      expect(left).toEqual([]);
      if (works === undefined) await fsck.close();
      expect(await faults(disk)).toEqual([]);
      const names = [...(await disk.list(`${directory}/damaged`))].sort();
      expect(names.map((name) => name.replace(/[0-9A-F]{16}/, "MARK"))).toEqual([
        "journal-0000000002-MARK-0",
        `journal-0000000002-MARK-${String(length)}`,
      ]);
      const [message = ""] = names;
      const octets = await disk.readText(`${directory}/damaged/${message}`);
      expect(octets.slice(0, 5)).toBe("tpa1 ");
      expect(octets).toHaveLength(length);

      const after = works ?? (await open(disk, 1000));
      const [third = "", ...more] = await after.ids();
      expect(more).toEqual([]);
      expect((await shown(after))[third]).toBe("0 three");
      await after.remove(third);
      await after.close();
      await (await open(disk, 2000)).close();
      const segments = (await disk.list(`${directory}/journal`)).filter((name) =>
        /-[0-9A-F]{16}$/.test(name),
      );
      expect(segments).toEqual([]);
    },
  );

  it("sets damage aside so that no power cut costs the octets, or what lies beside them", async () => {
    const disk = memoryDisk([...bare, { synced: "/", since: 1 }]);
    const spool = await open(disk);
    const first = await put(spool, "one");
    await put(spool, "two");
    await spool.close();
    const length = recordLength(Buffer.byteLength(formatEnvelopeLine({ ...toOne, id: first, size: 3 })), 3);
    await damageAt(disk, length - 2);
    const segment = (await filesIn(disk, "journal")).find((name) => /^\d{10}-/.test(name)) ?? "";
    await (await disk.openPlaced(`${directory}/journal/${segment}`, "there")).sync();
    const from = disk.journal.length;
    const fsck = await fsckLocked(directory, now, disk);
    for await (const finding of fsck.damage([])) await fsck.repair(finding);
    await fsck.close();
    const states = { damaged: 0, aside: 0 };
    for (let moment = from; moment <= disk.journal.length; moment += 1) {
      for (const cut of powerCut(disk.journal.slice(0, moment), 1)) {
        const after = memoryDisk(cut);
        const left = await faults(after);
        expect(left.filter((fault) => !fault.includes("as it was written"))).toEqual([]);
        if (left.length > 0) states.damaged += 1;
        else {
          states.aside += 1;
          const octets = await after.readText(`${directory}/damaged/journal-${segment}-0`);
          expect(octets).toHaveLength(length);
        }
        const again = await open(after, 1000);
        expect(Object.values(await shown(again)).at(-1)).toBe("0 two");
        await again.close();
      }
    }
    expect(Math.min(states.damaged, states.aside)).toBeGreaterThan(0);
  });

  it("delivers what lies beside a bad sector, and takes none of what is in it for torn", async () => {
    const memory = memoryDisk(bare);
    const large = { segment: 131_072, largest: 16_000 };
    const spool = await openSpool(directory, () => now(), memory, large);
    const ids = [];
    for (const letter of ["a", "b", "c", "d"]) ids.push(await put(spool, letter.repeat(12_000)));
    await spool.close();
    const bad = badSector(memory, 16_384); // in the second message
    expect(await faults(bad)).toEqual([expect.stringContaining("as it was written, found another sum")]);
    const again = await openSpool(directory, () => now() + 1000, bad, large);
    expect(await again.ids()).toEqual(ids);
    const found = await shown(again);
    expect(ids.map((id) => found[id]?.slice(0, 3))).toEqual(["0 a", expect.anything(), "0 c", "0 d"]);
    await again.close();
    // Where the disk gives it again, nothing was lost.
    const well = await openSpool(directory, () => now() + 2000, bad.well, large);
    expect((await shown(well))[ids[1] ?? ""]).toBe(`0 ${"b".repeat(12_000)}`);
    await well.close();
  });

  it("keeps a segment whose last record the disk does not give", async () => {
    const memory = memoryDisk(bare);
    const large = { segment: 65_536, largest: 16_000 };
    const id = await put(await openSpool(directory, () => now(), memory, large), "only one");
    const bad = badSector(memoryDisk(memory.journal), 0); // the spool was never closed
    const again = await openSpool(directory, () => now() + 1000, bad, large);
    expect(await again.ids()).toEqual([]);
    await again.close();
    const well = await openSpool(directory, () => now() + 2000, bad.well, large);
    expect(await well.ids()).toEqual([id]);
    await well.close();
  });

  it("passes over files that are not the journal's, and says so", async () => {
    const disk = memoryDisk(bare);
    await (await open(disk)).close();
    await disk.create(`${directory}/journal/notes`);
    expect(await faults(disk)).toEqual([
      "journal/notes: expected no such file; repair would leave it: it is neither used nor removed",
    ]);
  });
});

describe("the format", () => {
  it("becomes 3 with the journal, from 2 as well, and stays so without the setting", async () => {
    const disk = memoryDisk(bare);
    const old = await openSpool(directory, now, disk);
    const id = await put(old, "old");
    await old.close();
    expect(await disk.readText(`${directory}/format`)).toBe("tpa-submit spool 2\n");
    const spool = await open(disk, 1000);
    expect(await disk.readText(`${directory}/format`)).toBe("tpa-submit spool 3\n");
    expect(await shown(spool)).toEqual({ [id]: "0 old" });
    await spool.close();
    await (await openSpool(directory, now, disk)).close();
    expect(await disk.readText(`${directory}/format`)).toBe("tpa-submit spool 3\n");
  });
});
