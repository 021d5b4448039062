/** The history on a real disk, with a clock of the test's own. */
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { HistoryEvent } from "../../../src/server/history/event.ts";
import { eventsIn, eventsOf, eventsWith } from "../../../src/server/history/reader.ts";
import { type HistoryWriter, openHistoryWriter } from "../../../src/server/history/writer.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import { reply } from "../../../src/smtp/reply.ts";

const hour = 3_600_000;
const day = 24 * hour;
const noon = Date.UTC(2026, 10, 29, 12);
const always = { since: 0, until: Number.POSITIVE_INFINITY };

let folder: string;
let directory: string;
let now: number;
let timers: { at: number; due: () => void }[];
let limits: { keep: number; size: number };
let logged: LogEntry[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-history-"));
  directory = join(folder, "events");
  now = noon;
  timers = [];
  limits = { keep: 7 * day, size: 100_000 };
  logged = [];
  logTo((entry) => logged.push(entry));
});
afterEach(async () => {
  logTo(() => undefined);
  await rm(folder, { recursive: true });
});

function open(): HistoryWriter {
  return openHistoryWriter(directory, () => limits, {
    now: () => now,
    after(milliseconds, due) {
      const timer = { at: now + milliseconds, due };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
  });
}

function pass(milliseconds: number): void {
  now += milliseconds;
  for (const { due } of timers.splice(0).filter(({ at }) => at <= now)) due();
}

const removed = (id: string, at = now): HistoryEvent => ({ at, id, event: "removed" });
const delivery = (id: string, to: string): HistoryEvent => ({
  at: now,
  id,
  event: "delivery",
  to,
  relay: "mx.example.net[192.0.2.1]:25",
  delays: [0, 0, 0, 1],
  reply: reply(250, "2.0.0", "Ok"),
  command: "",
});

async function found(events: AsyncIterable<HistoryEvent>): Promise<readonly (string | undefined)[]> {
  const ids = [];
  for await (const event of events) ids.push("id" in event ? event.id : undefined);
  return ids;
}

test("what is added is there after a second, in a file that others cannot read", async () => {
  const writer = open();
  writer.add(removed("65D3997B8000"));
  writer.add(removed("65D3997B8001"));
  expect(timers.map(({ at }) => at - now)).toContain(1_000);
  pass(1_000);
  await writer.flush();
  expect(await found(eventsIn(directory, always))).toEqual(["65D3997B8000", "65D3997B8001"]);
  const [name = ""] = await readdir(directory);
  expect((await stat(join(directory, name))).mode & 0o077).toBe(0);
  await writer.close();
});

test("after a restart the file of the day goes on, behind a line that a crash cut short", async () => {
  const before = open();
  before.add(removed("65D3997B8000"));
  await before.close();
  const [name = ""] = await readdir(directory);
  await appendFile(join(directory, name), '{"at":17648');
  now += hour;
  const after = open();
  after.add(removed("65D3997B8001"));
  await after.close();
  expect(await readdir(directory)).toEqual([name]);
  expect(await found(eventsIn(directory, always))).toEqual(["65D3997B8000", "65D3997B8001"]);
});

test("each day has a file; what is too old goes, although nothing comes", async () => {
  const writer = open();
  for (let days = 0; days < 9; days++) {
    writer.add(removed(`65D3997B800${days}`));
    await writer.flush();
    pass(day);
  }
  await writer.flush();
  const oldest = now - limits.keep;
  const events = eventsIn(directory, always);
  for await (const { at } of events) expect(at).toBeGreaterThan(oldest);
  expect(await readdir(directory)).toHaveLength(6);
  pass(7 * day);
  await writer.flush();
  expect(await readdir(directory)).toEqual([]);
  await writer.close();
});

test("it never takes more than its room, and keeps the newest", async () => {
  const writer = open();
  for (let index = 0; index < 4_000; index++) {
    writer.add(delivery(String(index), "somebody@example.net"));
    if (index % 50 !== 0) continue;
    now += 60_000;
    await writer.flush();
    const sizes = (await readdir(directory)).map(async (name) => (await stat(join(directory, name))).size);
    const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
    expect(total).toBeLessThanOrEqual(limits.size);
  }
  await writer.close();
  expect((await found(eventsIn(directory, always))).at(-1)).toBe("3999");
});

test("where nothing is kept, nothing stays and nothing comes", async () => {
  const before = open();
  before.add(removed("65D3997B8000"));
  await before.close();
  limits = { keep: 0, size: 100_000 };
  const writer = open();
  pass(0);
  writer.add(removed("65D3997B8001"));
  await writer.close();
  expect(await readdir(directory)).toEqual([]);
});

test("a disk that refuses is told of once, and tried again after a minute", async () => {
  const writer = open();
  await writer.flush();
  await writeFile(directory, "a file in the way");
  for (const id of ["65D3997B8000", "65D3997B8001"]) {
    writer.add(removed(id));
    await writer.flush();
  }
  expect(logged.map(({ event }) => event)).toEqual(["history-unwritten"]);
  await rm(directory);
  pass(60_000);
  await writer.flush();
  expect(await found(eventsIn(directory, always))).toEqual(["65D3997B8001"]);
  await writer.close();
});

test("a reader finds texts in any case, and the lines of messages, within a span of time", async () => {
  const writer = open();
  writer.add(delivery("65D3997B8000", 'Jürgen."O"@Example.net'));
  writer.add(removed("65D3997B8000"));
  writer.add(delivery("65D3997B8001", "anna@example.net"));
  now += 10_000;
  writer.add(removed("65D3997B8001"));
  await writer.close();
  expect(await found(eventsWith(directory, ['jürgen."o"@example.NET'], always))).toEqual(["65D3997B8000"]);
  expect(await found(eventsWith(directory, ["ANNA@", "example.net"], always))).toEqual([
    "65D3997B8000",
    "65D3997B8001",
  ]);
  expect(await found(eventsOf(directory, new Set(["65D3997B8001"]), always))).toEqual([
    "65D3997B8001",
    "65D3997B8001",
  ]);
  expect(await found(eventsIn(directory, { since: noon + 10_000, until: noon + 10_001 }))).toEqual([
    "65D3997B8001",
  ]);
  expect(await found(eventsIn(join(folder, "nowhere"), always))).toEqual([]);
});

test("lines that lie across the pieces that are read at once are found, a line that is none of ours is not", async () => {
  const writer = open();
  limits = { keep: 7 * day, size: 100_000_000 };
  for (let index = 0; index < 12_000; index++)
    writer.add(delivery(String(index), `user${index}@example.net`));
  await writer.close();
  const [name = ""] = await readdir(directory);
  await appendFile(join(directory, name), `${"x".repeat(2_000_000)}\n`);
  const again = open();
  again.add(removed("65D3997B8000"));
  await again.close();
  expect(await found(eventsIn(directory, always))).toEqual([
    ...Array.from({ length: 12_000 }, (_, index) => String(index)),
    "65D3997B8000",
  ]);
  expect(await found(eventsWith(directory, ["user11999@"], always))).toEqual(["11999"]);
  expect((await readFile(join(directory, name))).length).toBeGreaterThan(4_000_000);
});
