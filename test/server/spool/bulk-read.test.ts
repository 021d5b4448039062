/** Many envelopes at once: read in this thread, in another one or one by one, the result is the same, damage included. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newQueue } from "../../../src/server/queue/queue.ts";
import { arrivalsIn } from "../../../src/server/spool/arrivals.ts";
import { type BulkRead, readBatches, readHere, readInThread } from "../../../src/server/spool/bulk-read.ts";
import { type Disk, systemDisk } from "../../../src/server/spool/disk.ts";
import { formatEnvelope } from "../../../src/server/spool/envelope-file.ts";
import { newSpoolReader, type SpoolReader } from "../../../src/server/spool/reader.ts";
import type { Spool, StoredMessage } from "../../../src/server/spool/spool.ts";
import { envelope } from "../delivery/fixtures.ts";

const built = new URL("../../../dist/server/spool/bulk-read-worker.js", import.meta.url);
const noThread = new URL("../../../dist/no-such-worker.js", import.meta.url);

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "bulk-read-"));
});
afterAll(() => rm(parent, { recursive: true, force: true }));

const idOf = (number: number): string => (0x4f2a9c000000 + number).toString(16).toUpperCase();

const body = "Subject: hello\r\n\r\nhello\r\n";
const text = (id: string, to = "x@example.net"): string =>
  formatEnvelope(envelope({ id, size: body.length, recipients: [{ address: to, state: "waiting" }] }));

type Put = (path: string, id: string) => Promise<unknown>;

/** What may lie where an envelope is expected. */
const envelopes = fc.oneof<fc.Arbitrary<Put>[]>(
  fc.constant((path, id) => writeFile(path, text(id))),
  fc.string({ unit: "binary" }).map((to) => (path, id) => writeFile(path, text(id, to))),
  fc
    .tuple(fc.nat({ max: 300 }), fc.uint8Array({ minLength: 1, maxLength: 3 }))
    .map(([at, octets]) => (path, id) => {
      const changed = Buffer.from(text(id));
      changed.set(octets, at);
      return writeFile(path, changed);
    }),
  fc.nat({ max: 300 }).map((length) => (path, id) => writeFile(path, text(id).slice(0, length))),
  fc.uint8Array({ maxLength: 200 }).map((octets) => (path) => writeFile(path, octets)),
  fc.json().map((json) => (path) => writeFile(path, json)),
  fc.constant((path, id) => writeFile(path, `\ufeff${text(id)}`)),
  fc.constant((path, id) => writeFile(path, text(id).replace('"version": 2', '"version": 1'))),
  fc.constant((path) => writeFile(path, text(idOf(0xffff)))),
  fc.constant((path, id) => writeFile(path, text(id).padEnd(100_000))),
  fc.constant((path) => mkdir(path)),
  fc.constant((path) => symlink(path, path)),
  fc.constant((path) => symlink("nowhere", path)),
  fc.constant(async (path) => execFileSync("mkfifo", [path])),
  fc.constant(async () => undefined),
);

const bodies = fc.oneof<fc.Arbitrary<Put>[]>(
  fc.constant((path) => writeFile(path, body)),
  fc.constant((path) => writeFile(path, body)),
  fc.constant((path) => writeFile(path, body)),
  fc.constant((path) => writeFile(path, body.slice(1))),
  fc.constant((path) => mkdir(path)),
  fc.constant((path) => symlink(path, path)),
  fc.constant(async () => undefined),
);

let spools = 0;

/** A spool with these messages; resolves to its folder. */
async function filled(messages: readonly (readonly [Put, Put])[]): Promise<string> {
  const directory = join(parent, String(spools));
  spools += 1;
  await mkdir(join(directory, "queue"), { recursive: true });
  await mkdir(join(directory, "messages"));
  for (const [number, [putEnvelope, putBody]] of messages.entries()) {
    await putEnvelope(join(directory, "queue", idOf(number)), idOf(number));
    await putBody(join(directory, "messages", idOf(number)), idOf(number));
  }
  return directory;
}

const sound = (count: number): Promise<string> =>
  filled(
    Array.from({ length: count }, () => [
      (path, id) => writeFile(path, text(id)),
      (path) => writeFile(path, body),
    ]),
  );

const idsOf = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, number) => idOf(number));

const readerWith = (directory: string, readMany?: BulkRead): SpoolReader => {
  const disk: Disk = readMany === undefined ? systemDisk : { ...systemDisk, readMany };
  return newSpoolReader(disk, directory);
};

async function inOneGo(reader: SpoolReader, ids: readonly string[]): Promise<readonly StoredMessage[]> {
  const found: StoredMessage[] = [];
  for await (const batch of reader.readMany(ids)) found.push(...batch);
  return found;
}

describe("many envelopes", () => {
  it("are found as each of them is, with the same damage, in the same order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(envelopes, bodies), { minLength: 1, maxLength: 100 }),
        async (messages) => {
          const directory = await filled(messages);
          const ids = idsOf(messages.length);
          const plain = readerWith(directory);
          const each = await Promise.all(ids.map(async (id) => ({ id, envelope: await plain.read(id) })));
          for (const read of [undefined, readHere, readInThread(built, fail, 1)]) {
            expect(await inOneGo(readerWith(directory, read), ids)).toEqual(each);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("are read one by one where the thread cannot start, or ends too soon; somebody is told", async () => {
    const ids = idsOf(600);
    const directory = await sound(ids.length);
    const told: unknown[] = [];
    const lost = readerWith(
      directory,
      readInThread(noThread, (error) => told.push(error)),
    );
    const short = readerWith(directory, async function* (request) {
      for await (const batch of readHere(request)) return yield batch;
    });
    for (const reader of [lost, short]) {
      const found = await inOneGo(reader, ids);
      expect(found.map(({ id }) => id)).toEqual(ids);
      expect(found.every(({ envelope: read }) => "recipients" in read)).toBe(true);
    }
    expect(told).toHaveLength(1);
  });

  it("that are few need no thread", async () => {
    const ids = idsOf(20);
    const reader = readerWith(await sound(ids.length), readInThread(noThread, fail));
    expect(await inOneGo(reader, ids)).toHaveLength(20);
  });

  it("come with errors of this process, which say nothing about them, as such", async () => {
    const reader = readerWith(await sound(1), async function* ({ names }) {
      yield names.map((name) => ({ name, text: { code: "EMFILE", message: "too many" }, size: 0 }));
    });
    await expect(inOneGo(reader, idsOf(1))).rejects.toMatchObject({ code: "EMFILE", message: "too many" });
  });
});

describe("the event loop", () => {
  it("has a turn after each batch, and a batch is small, whoever reads", async () => {
    const ids = idsOf(1_000);
    const directory = await sound(ids.length);
    for (const read of [undefined, readHere, readInThread(built, fail)]) {
      const reader = { ...readerWith(directory, read), ids: async () => ids };
      const spool = { ...reader, arrivals: (stop: AbortSignal) => arrivalsIn(reader, stop) };
      const queue = newQueue(
        spool as SpoolReader as Spool,
        () => ["example.net"],
        () => 0,
      );
      let over = false;
      let most = 0;
      let known = 0;
      const follower = { entered: () => undefined, lost: () => undefined, busy: () => undefined };
      const loading = queue.load(follower, new AbortController().signal);
      const end = loading.ended.then(() => {
        over = true;
      });
      while (!over) {
        await new Promise((resolve) => setImmediate(resolve));
        const { messages } = queue.waiting();
        most = Math.max(most, messages - known);
        known = messages;
      }
      await end;
      expect(known).toBe(1_000);
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(64);
    }
  });

  it("has it sooner where envelopes are large", async () => {
    const many = Array.from({ length: 300 }, (_, number) => ({
      address: `${"x".repeat(100)}${number}@example.net`,
      state: "waiting" as const,
    }));
    const directory = await filled(
      Array.from({ length: 9 }, () => [
        (path, id) => writeFile(path, formatEnvelope(envelope({ id, recipients: many }))),
        async () => undefined,
      ]),
    );
    const request = { texts: join(directory, "queue"), sizes: join(directory, "messages"), names: idsOf(9) };
    const lengths = [...readBatches(request)].map(({ length }) => length);
    expect(lengths).toEqual([2, 2, 2, 2, 1]);
  });
});

function fail(error: unknown): never {
  throw error;
}
