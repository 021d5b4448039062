/**
 * A disk that refuses: each call once, with each kind of refusal. Who is told "no" finds nothing promised; who is
 * told nothing loses nothing.
 */
import { describe, expect, it } from "vitest";
import { errorCode } from "../../../src/failure.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { isDamaged, openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { intercept } from "./intercept.ts";
import { type MemoryDisk, memoryDisk } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";

/** A disk on which, after `arm`, call number `failing` (from 0) fails with EIO; with `forGood` all after it, too. */
function refusing(failing: number, forGood: boolean) {
  const memory = memoryDisk([
    { path: "/srv", inode: 1 },
    { synced: "/", since: 1 },
  ]);
  let armed = false;
  let calls = 0;
  let failed = "";
  const disk = intercept(memory, (call) => {
    if (!armed) return "go";
    calls += 1;
    if (forGood ? calls - 1 < failing : calls - 1 !== failing) return "go";
    failed ||= call;
    throw Object.assign(new Error(`EIO: ${call}`), { code: "EIO" });
  });
  const arm = () => {
    armed = true;
  };
  return { disk, memory, arm, failed: () => failed };
}

async function accept(spool: Spool): Promise<Envelope> {
  const draft = await spool.draft();
  try {
    await draft.write(Buffer.alloc(70_000, "x")); // more than is gathered: one write on its own
    await draft.write(Buffer.from("\r\n"));
    return await draft.accept(toOne);
  } catch (error) {
    await draft.discard().catch(() => undefined);
    throw error;
  }
}

/** What one step came to: its value, or the error's code. */
async function outcome<Value>(step: Promise<Value>): Promise<{ value: Value } | { code: string }> {
  try {
    return { value: await step };
  } catch (error) {
    return { code: errorCode(error) };
  }
}

/** The IDs that the next start finds on this disk; none may be damaged, nothing may lie about. */
async function afterRestart(memory: MemoryDisk): Promise<readonly Envelope[]> {
  const spool = await openSpool(directory, () => 1, memory);
  const ids = await spool.ids();
  expect(await memory.list(`${directory}/messages`)).toEqual(ids);
  expect(await memory.list(`${directory}/drafts`)).toEqual([]);
  const envelopes = [];
  for (const id of ids) {
    const envelope = await spool.read(id);
    if (isDamaged(envelope)) throw new Error(envelope.damaged);
    envelopes.push(envelope);
  }
  return envelopes;
}

/** Runs `scenario` with each call failing in turn, until it has fewer calls than that. */
async function eachCall(scenario: (failing: number) => Promise<string>): Promise<readonly string[]> {
  const failed: string[] = [];
  for (let failing = 0; failing < 100; failing += 1) {
    const call = await scenario(failing);
    if (call === "") return failed;
    failed.push(call.replaceAll(/[0-9A-F]{12}/g, "ID").replace(`${directory}/`, ""));
  }
  throw new Error("the scenario never ends");
}

const acceptCalls = [
  "create messages/ID",
  "write messages/ID",
  "write messages/ID",
  "sync messages",
  "create drafts/ID",
  "sync messages/ID",
  "write drafts/ID",
  "sync drafts/ID",
  "rename queue/ID",
  "sync queue",
];

describe("accepting on a disk that refuses one call", () => {
  it("says no with the system's error, and promises nothing", async () => {
    const failed = await eachCall(async (failing) => {
      const { disk, memory, arm, failed } = refusing(failing, false);
      const spool = await openSpool(directory, () => 0, disk);
      arm();
      const accepted = await outcome(accept(spool));
      if (failed() === "") return "";
      expect(accepted).toEqual({ code: "EIO" });
      expect(await afterRestart(memory)).toEqual([]);
      return failed();
    });
    expect([...failed].sort()).toEqual([...acceptCalls].sort());
  });

  it("goes on with the next message, unless an fsync of a folder failed: then never again", async () => {
    await eachCall(async (failing) => {
      const { disk, memory, arm, failed } = refusing(failing, false);
      const spool = await openSpool(directory, () => 0, disk);
      arm();
      await outcome(accept(spool));
      if (failed() === "") return "";
      const next = await outcome(accept(spool));
      const folder = /^sync .*(messages|queue)$/.test(failed());
      expect(next).toEqual(folder ? { code: "EIO" } : { value: expect.objectContaining({ size: 70_002 }) });
      expect(await afterRestart(memory)).toHaveLength(folder ? 0 : 1);
      return failed();
    });
  });
});

describe("a body of which a part could not be written", () => {
  it("is not accepted, even if the disk takes the rest", async () => {
    const { disk, memory, arm, failed } = refusing(1, false);
    const spool = await openSpool(directory, () => 0, disk);
    arm();
    const draft = await spool.draft();
    expect(await outcome(draft.write(Buffer.alloc(70_000)))).toEqual({ code: "EIO" });
    expect(failed()).toContain("write");
    await draft.write(Buffer.alloc(70_000));
    expect(await outcome(draft.accept(toOne))).toEqual({ code: "EIO" });
    expect(await afterRestart(memory)).toEqual([]);
  });
});

describe("accepting on a disk that refuses everything from one call on", () => {
  it("promises nothing, but for a withdrawal that was refused as well: then the message is whole", async () => {
    await eachCall(async (failing) => {
      const { disk, memory, arm, failed } = refusing(failing, true);
      const spool = await openSpool(directory, () => 0, disk);
      arm();
      const accepted = await outcome(accept(spool));
      if (failed() === "") return "";
      expect(accepted).toEqual({ code: "EIO" });
      const found = await afterRestart(memory);
      expect(found.map(({ size }) => size)).toEqual(failed().endsWith("queue") ? [70_002] : []);
      return failed();
    });
  });
});

describe.each([false, true])("a message in the queue, on a disk that refuses (for good: %s)", (forGood) => {
  it("keeps its old state or the new one when recording fails", async () => {
    const failed = await eachCall(async (failing) => {
      const { disk, memory, arm, failed } = refusing(failing, forGood);
      const spool = await openSpool(directory, () => 0, disk);
      const envelope = await accept(spool);
      arm();
      const recorded = await outcome(spool.record({ ...envelope, attempts: 1 }));
      if (failed() === "") return "";
      expect(recorded).toEqual({ code: "EIO" });
      const reached = failed().endsWith("queue");
      expect(await afterRestart(memory)).toEqual([{ ...envelope, attempts: reached ? 1 : 0 }]);
      return failed();
    });
    expect(failed).toEqual([
      "create drafts/ID",
      "write drafts/ID",
      "sync drafts/ID",
      "rename queue/ID",
      "sync queue",
    ]);
  });

  it.each([
    { history: [], calls: ["unlink queue/ID", "sync queue", "unlink messages/ID"] },
    {
      history: [{ at: 1, act: "hold", by: "test", reason: "" }],
      calls: ["unlink queue/ID", "sync queue", "unlink messages/ID", "unlink history/ID"],
    },
  ])(
    "is whole or gone when removing fails, with a history of $history.length",
    async ({ history, calls }) => {
      const failed = await eachCall(async (failing) => {
        const { disk, memory, arm, failed } = refusing(failing, forGood);
        const spool = await openSpool(directory, () => 0, disk);
        const { id } = await accept(spool);
        expect(await spool.note(id, history)).toBeUndefined();
        arm();
        const removed = await outcome(spool.remove(id));
        if (failed() === "") return "";
        expect(removed).toEqual(/history/.test(failed()) ? { value: "kept" } : { code: "EIO" });
        expect(await afterRestart(memory)).toHaveLength(
          failed().startsWith("unlink") && failing === 0 ? 1 : 0,
        );
        return failed();
      });
      expect(failed).toEqual(calls);
    },
  );
});

describe("a disk that takes its time for each fsync", () => {
  /** Each fsync waits until the disk has `turned` once more, together with all that wait then. */
  function slow() {
    const memory = memoryDisk([
      { path: "/srv", inode: 1 },
      { synced: "/", since: 1 },
    ]);
    let waiting: (() => void)[] = [];
    let held = false;
    const turn = async (sync: () => Promise<void>): Promise<void> => {
      if (held) await new Promise<void>((resolve) => waiting.push(resolve));
      await sync();
    };
    const disk: Disk = {
      ...memory,
      async create(path) {
        const file = await memory.create(path);
        return { ...file, sync: () => turn(() => file.sync()) };
      },
      async openDirectory(path) {
        const folder = await memory.openDirectory(path);
        return { ...folder, sync: () => turn(() => folder.sync()) };
      },
    };
    return {
      disk,
      hold: () => {
        held = true;
      },
      /** Lets the disk turn until `work` is done; resolves to how often it did. */
      turns: async (work: Promise<unknown>): Promise<number> => {
        let done = false;
        const end = work.finally(() => {
          done = true;
        });
        for (let count = 0; ; count += 1) {
          await new Promise((resolve) => setImmediate(resolve)); // whatever needs no disk happens now
          if (done) return end.then(() => count);
          const all = waiting;
          waiting = [];
          for (const resolve of all) resolve();
        }
      },
    };
  }

  it("keeps nobody waiting who needs none: messages come in and are read meanwhile", async () => {
    const { disk, hold, turns } = slow();
    const spool = await openSpool(directory, () => 0, disk);
    const { id } = await accept(spool);
    hold();
    const accepting = accept(spool);
    const draft = await spool.draft();
    await draft.write(Buffer.alloc(70_000));
    await draft.discard();
    expect(await spool.read(id)).toMatchObject({ id });
    expect((await spool.bodyStart(id, 3)).toString()).toBe("xxx");
    expect(await spool.note(id, [])).toBeUndefined();
    expect(await spool.ids()).toEqual([id]);
    expect(await turns(accepting)).toBeGreaterThan(0);
  });

  it("takes a hundred messages in the time of a few fsyncs, for they share them", async () => {
    const { disk, hold, turns } = slow();
    const spool = await openSpool(directory, () => 0, disk);
    hold();
    const one = await turns(accept(spool));
    const hundred = await turns(Promise.all(Array.from({ length: 100 }, () => accept(spool))));
    expect(one).toBeGreaterThan(0);
    expect(hundred).toBeLessThanOrEqual(one + 2);
    expect(await spool.ids()).toHaveLength(101);
  });
});

describe("what the disk has left", () => {
  it("is asked at most once in a second, however many want to know, and again at once where that failed", async () => {
    let asked = 0;
    let time = 0;
    const disk: Disk = {
      ...memoryDisk([
        { path: "/srv", inode: 1 },
        { synced: "/", since: 1 },
      ]),
      async free() {
        asked += 1;
        if (asked === 1) throw Object.assign(new Error("EIO"), { code: "EIO" });
        return { octets: asked, inodes: 0 };
      },
    };
    const spool = await openSpool(directory, () => time, disk);
    await expect(spool.free()).rejects.toThrow("EIO");
    const all = await Promise.all([spool.free(), spool.free(), spool.free()]);
    expect(all.map(({ octets }) => octets)).toEqual([2, 2, 2]);
    time = 999;
    expect(await spool.free()).toEqual({ octets: 2, inodes: 0 });
    time = 1_000;
    expect(await spool.free()).toEqual({ octets: 3, inodes: 0 });
    time = -5_000; // the clock was set back
    expect(await spool.free()).toEqual({ octets: 4, inodes: 0 });
  });
});

describe("a disk that refuses for a while", () => {
  it("lets a state be recorded even where the last draft could not be removed", async () => {
    let refuses = false;
    const memory = memoryDisk([
      { path: "/srv", inode: 1 },
      { synced: "/", since: 1 },
    ]);
    const disk = intercept(memory, (call) => {
      if (refuses && /^(?:rename|unlink) /.test(call)) throw Object.assign(new Error("EIO"), { code: "EIO" });
      return "go";
    });
    const spool = await openSpool(directory, () => 0, disk);
    const envelope = await accept(spool);
    refuses = true;
    expect(await outcome(spool.record({ ...envelope, attempts: 1 }))).toEqual({ code: "EIO" });
    expect(await memory.list(`${directory}/drafts`)).toEqual([envelope.id]);
    refuses = false;
    await spool.record({ ...envelope, attempts: 2 });
    expect(await afterRestart(memory)).toEqual([{ ...envelope, attempts: 2 }]);
  });

  it("lets a state be recorded by the next try", async () => {
    for (const failing of [0, 1, 2, 3]) {
      const { disk, memory, arm } = refusing(failing, false);
      const spool = await openSpool(directory, () => 0, disk);
      const envelope = await accept(spool);
      arm();
      expect(await outcome(spool.record({ ...envelope, attempts: 1 }))).toEqual({ code: "EIO" });
      await spool.record({ ...envelope, attempts: 1 });
      expect(await afterRestart(memory)).toEqual([{ ...envelope, attempts: 1 }]);
    }
  });
});
