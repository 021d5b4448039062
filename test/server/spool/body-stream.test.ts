import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FileStream, FoundStream } from "../../../src/server/spool/body-stream.ts";
import { pieceSize } from "../../../src/server/spool/piece-pool.ts";

let folder: string;
let path: string;
/** No two places of it look alike. */
const octets = Buffer.from(Array.from({ length: 400_000 }, (_, at) => `${at}\r\n`).join(""));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-body-"));
  path = join(folder, "body");
  await writeFile(path, octets);
});
afterAll(() => rm(folder, { recursive: true }));

describe("the stream of a message", () => {
  test.each([octets.length, Number.POSITIVE_INFINITY, pieceSize, 7, 0])(
    "has the first %d octets of its file",
    async (most) => {
      expect((await buffer(new FileStream(path, most))).equals(octets.subarray(0, most))).toBe(true);
    },
  );

  test("reads into the pieces that it got back, and into no others", async () => {
    const streams = [new FileStream(path, octets.length), new FileStream(path, octets.length)];
    const memory = new Set<ArrayBufferLike>();
    const read = async (stream: FileStream): Promise<Buffer> => {
      const copies: Buffer[] = [];
      for await (const piece of stream as AsyncIterable<Buffer>) {
        memory.add(piece.buffer);
        copies.push(Buffer.from(piece));
        stream.giveBack(piece);
      }
      return Buffer.concat(copies);
    };
    for (const whole of await Promise.all(streams.map(read))) expect(whole.equals(octets)).toBe(true);
    expect(memory.size).toBeLessThan(octets.length / pieceSize);
  });

  test("ends with the error of a file that is not there", async () => {
    await expect(buffer(new FileStream(join(folder, "none"), 1))).rejects.toThrow("ENOENT");
    const found = new FoundStream(() => Promise.resolve(new FileStream(join(folder, "none"), 1)));
    await expect(buffer(found)).rejects.toThrow("ENOENT");
  });

  test("is what was found, be it octets, a file or an error", async () => {
    const all = (found: Buffer | Readable): Promise<Buffer> =>
      buffer(new FoundStream(() => Promise.resolve(found)));
    expect((await all(octets)).equals(octets)).toBe(true);
    expect(await all(Buffer.alloc(0))).toHaveLength(0);
    expect((await all(new FileStream(path, octets.length))).equals(octets)).toBe(true);
    expect((await all(Readable.from([octets]))).equals(octets)).toBe(true);
    await expect(buffer(new FoundStream(() => Promise.reject(new Error("EBADMSG"))))).rejects.toThrow(
      "EBADMSG",
    );
  });

  test("may be left at any time", async () => {
    for (const wait of [0, 1, 2, 3]) {
      const stream = new FoundStream(() => Promise.resolve(new FileStream(path, octets.length)));
      stream.resume();
      for (let turn = 0; turn < wait; turn++) await new Promise(setImmediate);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.destroy();
      await closed;
      expect(stream.errored).toBeNull();
    }
  });
});
