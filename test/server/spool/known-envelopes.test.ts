/** What a spool at work knows by heart is what its files say, message by message. */
import { describe, expect, it } from "vitest";
import type { Envelope, LastReply } from "../../../src/server/spool/envelope.ts";
import { newKnownEnvelopes, scanKnown } from "../../../src/server/spool/known-envelopes.ts";
import {
  type FileSpool,
  type JournalSettings,
  type NewEnvelope,
  openSpool,
  type StoredMessage,
  viewSpool,
} from "../../../src/server/spool/spool.ts";
import { intercept } from "./intercept.ts";
import { type MemoryDisk, memoryDisk } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";
const started = Date.parse("2026-11-22T14:11:00.000Z");
const journal: JournalSettings = { segment: 8_192, largest: 1_000 };
const reply: LastReply = {
  code: 451,
  status: "4.7.1",
  text: 'Greylisted\ttry "again" later',
  relay: "mx.example.net[192.0.2.1]:25",
  command: "RCPT TO",
  at: started,
};

const newDisk = (): MemoryDisk => memoryDisk([{ path: "/srv", inode: 1 }]);

async function accept(spool: FileSpool, more: Partial<NewEnvelope> = {}, octets = 700): Promise<Envelope> {
  const draft = await spool.draft();
  await draft.write(Buffer.alloc(octets, "x"));
  return draft.accept({ ...toOne, ...more });
}

/** Begins to deliver from the spool: resolves when all is known that there was. */
async function begin(spool: FileSpool): Promise<void> {
  for await (const _ of spool.arrivals(new AbortController().signal));
}

/** What is in memory, oldest first, and the IDs of what is to be read. */
function inMemory(spool: FileSpool) {
  const snapshot = spool.known();
  if (snapshot === undefined) return undefined;
  const { messages, bare } = scanKnown([...snapshot.pieces()].join(""), `${directory}/queue`);
  return { messages: [...messages].sort(byId), bare: [...bare].sort() };
}

const byId = (one: StoredMessage, other: StoredMessage): number => (one.id < other.id ? -1 : 1);

async function onDisk(disk: MemoryDisk): Promise<readonly StoredMessage[]> {
  const reader = await viewSpool(directory, disk);
  const ids = await reader.ids();
  return Promise.all(ids.map(async (id) => ({ id, envelope: await reader.read(id) })));
}

/** All that is known is as on the disk, and all that is there is known. */
async function expectSame(spool: FileSpool, disk: MemoryDisk): Promise<void> {
  const there = await onDisk(disk);
  const known = inMemory(spool);
  expect(known?.messages).toEqual(there.filter(({ id }) => known?.bare.includes(id) !== true));
  for (const id of known?.bare ?? []) expect(there.map((one) => one.id)).toContain(id);
}

const held = { at: started, by: "root (uid 0)", reason: "odd" };
const others = [
  { address: "zoë@example.net", state: "waiting", reply, notify: ["NEVER"] },
  { address: "b@example.com", state: "delivered", orcpt: "rfc822;b@example.com" },
  { address: "c@example.com", state: "failed", reply: { ...reply, code: 550, status: "5.1.1" } },
  { address: "d@example.com", state: "expired" },
] as const;

/** How a message may stand, by what was made of a new one. */
const states: Readonly<Record<string, Partial<Envelope>>> = {
  deferred: { attempts: 1, due: started + 300_000, recipients: [{ ...others[0] }], warned: true },
  held: { held },
  redirected: { relay: "smtp://relay.example.org:25", attempts: 2 },
  "with several recipients": { recipients: others, attempts: 3, envid: "abc", ret: "HDRS" },
  "of the relay itself": { login: null, sender: "" },
  "with what a text can have": { sender: 'a"b\\c\u0001\u{1f600}@example.org', requireTls: true },
};

describe.each([
  ["in files", undefined],
  ["with the journal", journal],
])("a spool %s", (_, settings) => {
  const open = (disk: MemoryDisk, now = started) => openSpool(directory, () => now, disk, settings);

  it("knows each message as it is on the disk, at the start, and whatever becomes of it", async () => {
    const disk = newDisk();
    const before = await open(disk);
    for (const change of Object.values(states)) {
      await accept(before, change);
      const { id } = await accept(before);
      const envelope = await before.read(id);
      if (!("damaged" in envelope)) await before.record({ ...envelope, ...change });
    }
    expect(before.known()).toBeUndefined();
    await before.close();
    const spool = await open(disk, started + 1_000);
    expect(spool.known()).toBeUndefined();
    await begin(spool);
    await expectSame(spool, disk);
    expect(inMemory(spool)?.messages).toHaveLength(2 * Object.keys(states).length);
    const [first, ...rest] = await onDisk(disk);
    for (const { id, envelope } of rest.slice(0, 4)) {
      if ("damaged" in envelope) throw new Error(envelope.damaged);
      await spool.record({ ...envelope, attempts: 7, recipients: others });
      await expectSame(spool, disk);
      await spool.remove(id);
      await expectSame(spool, disk);
    }
    for (const change of Object.values(states)) {
      const accepted = await accept(spool, change);
      await expectSame(spool, disk);
      await spool.record({ ...accepted, ...change, attempts: 1 });
      await expectSame(spool, disk);
    }
    await accept(spool, {}, 4_000); // too long for the journal
    const dropped = await spool.draft();
    await dropped.write(Buffer.from("x"));
    await dropped.discard();
    await expectSame(spool, disk);
    expect(inMemory(spool)?.bare).toEqual([]);
    await spool.remove(first?.id ?? "");
    await spool.remove(first?.id ?? "");
    await expectSame(spool, disk);
    await spool.close();
  });

  it("keeps what comes and goes while it is still being read", async () => {
    const disk = newDisk();
    const before = await open(disk);
    const ids: string[] = [];
    for (let count = 0; count < 30; count++) ids.push((await accept(before)).id);
    await before.close();
    const spool = await open(disk, started + 1_000);
    let isFirst = true;
    for await (const arrival of spool.arrivals(new AbortController().signal)) {
      if (arrival.kind !== "messages" || !isFirst) continue;
      isFirst = false;
      expect(spool.known()).toBeUndefined();
      const accepted = await accept(spool);
      await spool.record({ ...accepted, attempts: 1 });
      const gone = await accept(spool);
      await spool.remove(gone.id);
      for (const { id, envelope } of arrival.messages.slice(0, 2)) {
        if ("damaged" in envelope) throw new Error(envelope.damaged);
        await spool.record({ ...envelope, attempts: 9 });
        if (id === ids[0]) await spool.remove(id);
      }
    }
    await expectSame(spool, disk);
    expect(inMemory(spool)?.messages).toHaveLength(30);
    await spool.close();
  });

  it("says of what it cannot be sure that it is to be read", async () => {
    const disk = newDisk();
    let failing = "";
    const refusing = intercept(disk, (call) => {
      if (failing === "" || !call.startsWith(failing)) return "go";
      throw Object.assign(new Error(`EIO: ${call}`), { code: "EIO" });
    });
    const spool = await openSpool(directory, () => started, refusing, settings);
    await begin(spool);
    const made = await accept(spool);
    const envelope = { ...made, attempts: 1 };
    await spool.record(envelope);
    failing = `sync ${directory}/queue`;
    await expect(spool.record({ ...envelope, attempts: 2 })).rejects.toThrow("EIO");
    expect(inMemory(spool)?.bare).toEqual([made.id]);
    await expect(spool.remove(made.id)).rejects.toThrow("EIO");
    expect(inMemory(spool)?.bare).toEqual([made.id]);
    await spool.close();
  });
});

it("leaves to be read what is damaged at the start, or found so by a delivery, until it is repaired", async () => {
  const disk = newDisk();
  const before = await openSpool(directory, () => started, disk);
  const [torn, sound] = [await accept(before), await accept(before)];
  await before.close();
  const damage = async (id: string): Promise<void> => {
    await disk.unlink(`${directory}/queue/${id}`);
    const file = await disk.create(`${directory}/queue/${id}`);
    await file.write(Buffer.from("{ torn"));
    await file.close();
  };
  await damage(torn.id);
  const spool = await openSpool(directory, () => started + 1_000, disk);
  await begin(spool);
  expect(inMemory(spool)?.bare).toEqual([torn.id]);
  await expectSame(spool, disk);
  await damage(sound.id);
  expect(await spool.load(sound.id, 0)).toHaveProperty("damaged");
  expect(inMemory(spool)).toEqual({ messages: [], bare: [torn.id, sound.id] });
  for await (const finding of spool.damage([])) await spool.repair(finding);
  expect(inMemory(spool)?.bare).toEqual([torn.id, sound.id]);
  expect(await onDisk(disk)).toEqual([]); // whoever reads them finds that they have gone
  await spool.close();
});

describe("envelopes that are known", () => {
  const idOf = (number: number): string => (0x65d3997b8000 + number).toString(16).toUpperCase();
  const filled = (count: number, most?: number) => {
    const known = newKnownEnvelopes(most);
    for (let number = 0; number < count; number++) known.put(idOf(number), `{"number":${number}}`);
    known.complete();
    return known;
  };
  const idsIn = (pieces: Iterable<string>): readonly string[] =>
    [...pieces].flatMap((piece) => [...piece.matchAll(/([0-9A-F]{12})[^\0]*\0/g)].map(([, id = ""]) => id));

  it("come in pieces that are short, each message whole", () => {
    const pieces = [...(filled(10_000).snapshot()?.pieces() ?? [])];
    expect(pieces.length).toBeGreaterThan(4);
    for (const piece of pieces) {
      expect(piece.length).toBeLessThan(70_000);
      expect(piece.endsWith("\0")).toBe(true);
    }
    expect(idsIn(pieces)).toEqual(Array.from({ length: 10_000 }, (_, number) => idOf(number)));
  });

  it("are each there once, whatever happens between two pieces, and end although others come", () => {
    const known = filled(10_000);
    const seen: string[] = [];
    let next = 10_000;
    let removed = 9_000;
    for (const piece of known.snapshot()?.pieces() ?? []) {
      const there = idsIn([piece]);
      seen.push(...there);
      for (const id of there.slice(0, 10)) known.put(id, "{}"); // in its place
      known.remove(idOf(removed++));
      for (let more = 0; more < 5_000; more++) known.put(idOf(next++), "{}");
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBeLessThanOrEqual(10_000);
    expect(seen.slice(0, 9_000)).toEqual(Array.from({ length: 9_000 }, (_, number) => idOf(number)));
  });

  it("tell whether they come in their order", () => {
    const known = filled(3);
    expect(known.snapshot()?.isSorted).toBe(true);
    const putBack = known.remove(idOf(1));
    expect(known.snapshot()?.isSorted).toBe(true);
    putBack();
    expect(known.snapshot()?.isSorted).toBe(false);
    for (let number = 0; number < 3; number++) known.remove(idOf(number));
    known.put(idOf(0), "{}");
    expect(known.snapshot()?.isSorted).toBe(true);
  });

  it("take no more memory than they may, and are read instead where many would have to be", () => {
    const known = filled(3_000, 20_000);
    expect(known.snapshot()).toBeUndefined();
    for (let number = 0; number < 1_100; number++) known.remove(idOf(2_999 - number));
    const snapshot = known.snapshot();
    expect(snapshot?.messages).toBe(1_900);
    const pieces = [...(snapshot?.pieces() ?? [])].join("");
    expect(pieces.length).toBeLessThan(20_000 + 1_900 * 13);
    known.forget();
    known.put(idOf(1), "{}");
    expect(known.snapshot()).toBeUndefined();
  });
});
