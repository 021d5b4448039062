/** A spool that is open while its journal is still being read: what is known is delivered, and what is not keeps back who needs it. */
import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { newFreezeHold, spoolWithFreezes } from "../../../src/server/control/frozen-logins.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import {
  type FileSpool,
  isDamaged,
  type JournalSettings,
  openSpool,
  type Spool,
} from "../../../src/server/spool/spool.ts";
import { type Change, memoryDisk } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";
const settings: JournalSettings = { segment: 8192, largest: 1000 };
const bare: readonly Change[] = [{ path: "/srv", inode: 1 }];
const now = (): number => Date.parse("2026-11-22T14:11:00.000Z");

async function put(spool: Spool): Promise<string> {
  const draft = await spool.draft();
  await draft.write(Buffer.alloc(900, "x"));
  return (await draft.accept(toOne)).id;
}

/** A disk whose journal has `count` messages, in several segments, and their IDs. */
async function filled(count: number) {
  const disk = memoryDisk(bare);
  const spool = await openSpool(directory, now, disk, settings);
  const ids: string[] = [];
  for (let one = 0; one < count; one++) ids.push(await put(spool));
  await spool.close();
  const segments = (await disk.list(`${directory}/journal`)).filter(
    (name) => name.includes("-") && !name.startsWith("free-"),
  );
  return { disk, ids, segments: segments.sort() };
}

/** `disk`, on which `name` of the journal is opened only after `open` was called. */
function held(disk: Disk, name: string | undefined) {
  let open = (): void => undefined;
  let fail: (error: Error) => void = () => undefined;
  const opened = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  const slow: Disk = {
    ...disk,
    async openPlaced(path, as) {
      if (path === `${directory}/journal/${String(name)}`) await opened;
      return disk.openPlaced(path, as);
    },
  };
  return { slow, open: () => open(), fail: (error: Error) => fail(error) };
}

const openEarly = (disk: Disk): Promise<FileSpool> =>
  openSpool(directory, () => now() + 1000, disk, { ...settings, early: true });

async function isSettled(work: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  work.then(note, note);
  for (let turns = 0; turns < 50; turns++) await setImmediate();
  return settled;
}

async function rest(messages: AsyncIterator<readonly { readonly id: string }[]>): Promise<readonly string[]> {
  const ids: string[] = [];
  for (;;) {
    const { value, done } = await messages.next();
    if (done === true) return ids;
    ids.push(...value.map(({ id }: { readonly id: string }) => id));
  }
}

it("gives what it has read, lets it go for good, and takes nothing new before it knows all", async () => {
  const { disk, ids, segments } = await filled(30);
  expect(segments.length).toBeGreaterThan(3);
  const { slow, open } = held(disk, segments[1]);
  const spool = await openEarly(slow);
  const messages = spool.early()[Symbol.asyncIterator]();
  const { value: first = [] } = await messages.next();
  const early: readonly string[] = first.map(({ id }: { readonly id: string }) => id);
  expect(early).toEqual(ids.slice(0, early.length));
  const [gone = ""] = early;
  const last = ids.at(-1) ?? "";
  expect(await spool.load(gone, 1000)).toMatchObject({ envelope: { id: gone } });
  await spool.remove(gone);
  const draft = spool.draft(last); // its ID is not free, which nobody knows yet
  const waiting = [draft, spool.ids(), spool.has(last), spool.read(last), spool.trial(), messages.next()];
  for (const one of waiting) expect(await isSettled(one)).toBe(false);

  const killed = await openSpool(directory, () => now() + 2000, memoryDisk(disk.journal), settings);
  expect(await killed.ids()).toEqual(ids.slice(1));

  open();
  const { value: next = [] } = (await waiting.at(-1)) as IteratorResult<readonly { readonly id: string }[]>;
  const others = [...next.map(({ id }: { readonly id: string }) => id), ...(await rest(messages))];
  expect([...early, ...others]).toEqual(ids);
  expect(await spool.has(last)).toBe(true);
  expect(ids).not.toContain((await draft).id);
  await (await draft).discard();
  expect(await spool.ids()).toEqual(ids.slice(1));
  await spool.close();
});

it("recycles a segment whose messages were all delivered meanwhile", async () => {
  const { disk, ids, segments } = await filled(30);
  const { slow, open } = held(disk, segments.at(-1));
  const spool = await openEarly(slow);
  const messages = spool.early()[Symbol.asyncIterator]();
  const { value: first = [] } = await messages.next();
  for (const { id } of first) await spool.remove(id);
  open();
  const others = await rest(messages);
  expect(others).toEqual(ids.slice(first.length));
  const id = await put(spool);
  await spool.close();
  const again = await openSpool(directory, () => now() + 2000, memoryDisk(disk.journal), settings);
  expect(await again.ids()).toEqual([...others, id]);
  expect(await disk.list(`${directory}/journal`)).not.toContain(segments[0]);
});

it("tells in one line why the journal cannot be read, and ends all the same", async () => {
  const { disk, segments } = await filled(30);
  const { slow, fail } = held(disk, segments[1]);
  const spool = await openEarly(slow);
  const draft = spool.draft();
  const found = rest(spool.early()[Symbol.asyncIterator]());
  const outcomes = Promise.allSettled([draft, found, spool.ids()]);
  fail(Object.assign(new Error("EACCES: permission denied, open"), { code: "EACCES" }));
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { status: 77 } });
  }
  await spool.close();
});

it("holds the messages of frozen logins among them", async () => {
  const { disk } = await filled(3);
  const spool = await openEarly(disk);
  const frozen = { login: "user1", at: now(), by: "root", reason: "" };
  const freezing = spoolWithFreezes(spool, newFreezeHold({ of: () => frozen }));
  let held = 0;
  for await (const arrival of freezing.arrivals(new AbortController().signal)) {
    if (arrival.kind !== "messages") continue;
    for (const { envelope } of arrival.messages) {
      expect(isDamaged(envelope) || envelope.held?.by).toBe("root");
      held += 1;
    }
  }
  expect(held).toBe(3);
  await spool.close();
});
