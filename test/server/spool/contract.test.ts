/** What every spool promises, be it files, files with the journal, or a database: the same cases for all of them. */
import { buffer, text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { isDamaged, type Spool, type StoredMessage } from "../../../src/server/spool/spool.ts";
import { type Cluster, startCluster } from "../../postgres/cluster.ts";
import { real } from "../../tools/real.ts";
import { fileStores, inPostgres, type Store } from "./stores.ts";
import { toOne } from "./to-one.ts";

const started = Date.parse("2026-11-22T14:11:00.000Z");
const withPostgres = real("postgresql");
let cluster: Cluster | undefined;

beforeAll(async () => {
  if (withPostgres) cluster = await startCluster();
}, 120_000);
afterAll(async () => cluster?.close(), 60_000);

const database = inPostgres(() => {
  if (cluster === undefined) throw new Error("PostgreSQL did not start");
  return cluster;
});

describe.each([...fileStores, ...(withPostgres ? [database] : [])])("a spool $name", ({ open }) => {
  let store: Store;
  let spool: Spool;
  let time = started;
  const now = () => time;

  beforeEach(async () => {
    time = started;
    store = await open(now);
    spool = store.spool;
  }, 60_000);
  afterEach(() => store.close(), 60_000);

  async function accept(...chunks: readonly string[]): Promise<Envelope> {
    const draft = await spool.draft();
    for (const chunk of chunks) await draft.write(Buffer.from(chunk));
    return draft.accept(toOne);
  }

  async function reopen(): Promise<void> {
    time += 1_000;
    spool = await store.reopen(now);
  }

  /** What arrives until all that was there has come. */
  async function arrivals(): Promise<readonly StoredMessage[]> {
    const stop = new AbortController();
    const all: StoredMessage[] = [];
    for await (const arrival of spool.arrivals(stop.signal)) {
      if (arrival.kind === "messages") all.push(...arrival.messages);
      if (arrival.kind === "read") stop.abort();
    }
    return [...all].sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  it("has a message, octet by octet, once it is accepted, also after a restart", async () => {
    const envelope = await accept("Subject: x\r\n", "\r\n", "\u0000\u00ff.\r\n");
    expect(envelope).toEqual({ ...toOne, id: envelope.id, size: 20 });
    await reopen();
    expect(await spool.ids()).toEqual([envelope.id]);
    expect(await spool.read(envelope.id)).toEqual(envelope);
    expect(await text(spool.body(envelope.id))).toBe("Subject: x\r\n\r\n\u0000\u00ff.\r\n");
    expect(await arrivals()).toEqual([{ id: envelope.id, envelope }]);
  });

  it.each([0, 1, 65_535, 65_537, 262_144, 1_048_576, 1_048_577, 3_000_000])(
    "takes %i octets in pieces of any size, and gives them back",
    async (size) => {
      const octets = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) % 251));
      const draft = await spool.draft();
      for (let at = 0, step = 1; at < size; at += step, step = Math.min(4 * step, 500_000)) {
        await draft.write(octets.subarray(at, at + step));
      }
      const { id } = await draft.accept(toOne);
      expect(await spool.read(id)).toMatchObject({ size });
      expect((await buffer(spool.body(id))).equals(octets)).toBe(true);
      expect((await spool.bodyStart(id, 70_000)).equals(octets.subarray(0, 70_000))).toBe(true);
      const loaded = await spool.load(id, 65_536);
      if (loaded === undefined || isDamaged(loaded)) throw new Error("not loaded");
      expect(loaded.envelope).toMatchObject({ id, size });
      expect(loaded.body?.equals(octets)).toBe(size <= 65_536 ? true : undefined);
    },
  );

  it("copies what is written", async () => {
    const draft = await spool.draft();
    const piece = Buffer.from("one ");
    await draft.write(piece);
    piece.write("two ");
    await draft.write(piece);
    const { id } = await draft.accept(toOne);
    expect(await text(spool.body(id))).toBe("one two ");
  });

  it.each([1, 3_000_000])(
    "has nothing of a draft of %i octets that is discarded, however often",
    async (size) => {
      const draft = await spool.draft();
      await draft.write(Buffer.alloc(size));
      await draft.discard();
      await draft.discard();
      expect(await spool.ids()).toEqual([]);
      expect(await spool.has(draft.id)).toBe(false);
      await reopen();
      expect(await arrivals()).toEqual([]);
    },
  );

  it("knows nothing of a draft before its promise", async () => {
    const draft = await spool.draft();
    await draft.write(Buffer.alloc(3_000_000));
    expect(await spool.ids()).toEqual([]);
    expect(await spool.has(draft.id)).toBe(false);
    await draft.discard();
  });

  it("is not harmed by a discard that comes too late, and ends a draft once", async () => {
    const draft = await spool.draft();
    const { id } = await draft.accept(toOne);
    await draft.discard();
    expect(await spool.read(id)).toMatchObject({ id });
    await expect(draft.write(Buffer.from("x"))).rejects.toThrow("accepted or discarded before");
    await expect(draft.accept(toOne)).rejects.toThrow("accepted or discarded before");
  });

  it("promises nothing with an envelope that could not be read back", async () => {
    await expect((await spool.draft()).accept({ ...toOne, due: Number.NaN })).rejects.toThrow();
    await expect((await spool.draft()).accept({ ...toOne, attempts: 0.5 })).rejects.toThrow("attempts");
    expect(await spool.ids()).toEqual([]);
  });

  it("gives IDs that sort by time, also where the clock stands still, and those that are asked for and free", async () => {
    const ids = [];
    for (let count = 0; count < 5; count++) ids.push((await accept("x")).id);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(5);
    const wanted = "000000000A5F";
    const draft = await spool.draft(wanted);
    expect(draft.id).toBe(wanted);
    const again = await spool.draft(wanted);
    expect(again.id).not.toBe(wanted);
    await again.discard();
    await draft.accept(toOne);
    const third = await spool.draft(wanted);
    expect(third.id).not.toBe(wanted);
    await third.discard();
  });

  it("has the envelope that was recorded last", async () => {
    const before = await accept("x");
    const next = { ...before, attempts: 1, due: before.due + 300_000 };
    expect(await spool.record({ ...next, due: next.due - 0.4 })).toBe("kept"); // a clock may have parts of a millisecond
    expect(await spool.record(next)).toBe("kept");
    const last = { ...next, attempts: 2, sender: "\ud83d\udce7@example.org" };
    expect(await spool.record(last)).toBe("kept");
    expect(await spool.read(before.id)).toEqual(last);
    await reopen();
    expect(await arrivals()).toEqual([{ id: before.id, envelope: last }]);
    expect(await text(spool.body(before.id))).toBe("x");
  });

  it.each([1, 3_000_000])(
    "has nothing of a message of %i octets that was removed, however often",
    async (size) => {
      const draft = await spool.draft();
      await draft.write(Buffer.alloc(size));
      const { id } = await draft.accept(toOne);
      const other = await accept("stays");
      await spool.note(id, [{ at: time, act: "hold", by: "root", reason: "" }]);
      expect(await spool.remove(id)).toBe("kept");
      expect(await spool.remove(id)).toBe("kept");
      expect(await spool.ids()).toEqual([other.id]);
      expect(await spool.has(id)).toBe(false);
      expect(isDamaged(await spool.read(id))).toBe(true);
      expect(await spool.history(id)).toEqual([]);
      await expect(buffer(spool.body(id))).rejects.toThrow();
      await reopen();
      expect((await arrivals()).map((one) => one.id)).toEqual([other.id]);
    },
  );

  it("keeps a history for people, of a long one the beginning and the end", async () => {
    const sent = await accept("x");
    const { id } = sent;
    // As after an attempt: of a message that nobody has tried there is no history that a restart keeps.
    expect(await spool.record({ ...sent, attempts: 1 })).toBe("kept");
    const act = (number: number) => ({
      at: started + number,
      act: "retry",
      by: "root",
      reason: String(number),
    });
    expect(await spool.note(id, [act(0), act(1)])).toBeUndefined();
    expect(await spool.note(id, [])).toBeUndefined();
    expect(await spool.history(id)).toEqual([act(0), act(1)]);
    for (let count = 2; count < 300; count += 40) {
      const some = Array.from({ length: 40 }, (_, index) => act(count + index));
      expect(await spool.note(id, some)).toBeUndefined();
    }
    const history = await spool.history(id);
    expect(history.length).toBeLessThanOrEqual(200);
    expect(history[0]).toEqual(act(0));
    expect(history.at(-1)).toEqual(act(321));
    const leftOut = history.flatMap((one) => ("leftOut" in one ? [one.leftOut] : []));
    expect(history.length - leftOut.length + leftOut.reduce((sum, one) => sum + one, 0)).toBe(322);
    await reopen();
    expect(await spool.history(id)).toEqual(history);
  });

  it("makes many promises at once, changes and removes among them, and mixes up nothing", async () => {
    const kept = await Promise.all(
      Array.from({ length: 60 }, (_, index) => accept(`message ${String(index)}`)),
    );
    const outcomes = await Promise.all([
      ...kept.slice(0, 20).map((one) => spool.remove(one.id)),
      ...kept.slice(20, 40).map((one) => spool.record({ ...one, attempts: 3 })),
      ...Array.from({ length: 30 }, () => accept("more").then(() => "kept")),
    ]);
    expect(new Set(outcomes)).toEqual(new Set(["kept"]));
    const found: StoredMessage[] = [];
    for await (const batch of spool.readMany(kept.map(({ id }) => id))) found.push(...batch);
    expect(found.map(({ id }) => id)).toEqual(kept.map(({ id }) => id));
    const states = found.map(({ envelope }) => (isDamaged(envelope) ? "gone" : envelope.attempts));
    expect(states).toEqual([...Array(20).fill("gone"), ...Array(20).fill(3), ...Array(20).fill(0)]);
    expect(await text(spool.body(kept[45]?.id ?? ""))).toBe("message 45");
    expect(await spool.ids()).toHaveLength(70);
  });

  it("owns what it promised, may deliver it, and says what it has room for", async () => {
    const { id } = await accept("x");
    expect(await spool.owns(id)).toBe(true);
    expect(spool.mayDeliver()).toBe(true);
    const free = await spool.free();
    expect(free.octets).toBeGreaterThan(0);
    expect(spool.inodesFor(1)).toBeGreaterThanOrEqual(0);
    await spool.trial();
    await spool.forget();
    expect(await spool.ids()).toEqual([id]);
    await reopen();
    await spool.trial();
  });
});
