import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deliverToFolder } from "../../../src/server/delivery/transport.ts";
import { message, outgoing, recipient, replies } from "./fixtures.ts";

const never = new AbortController().signal;
let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tpa-submit-folder-"));
});

afterEach(() => rm(root, { recursive: true }));

test("a message becomes a file, byte for byte, and its envelope another", async () => {
  const folder = join(root, "not", "yet");
  const recipients = [recipient("a@example.net"), recipient("b@example.net")];
  const outcomes = await deliverToFolder(folder, outgoing({ recipients }), () => 0, never);
  expect(replies(outcomes)).toEqual(Array(2).fill("250 2.0.0 written to 4F2A9C01B7E3.eml"));
  expect(outcomes.map(({ taken }) => taken)).toEqual(["delivered", "delivered"]);
  expect(readdirSync(folder).sort()).toEqual(["4F2A9C01B7E3.eml", "4F2A9C01B7E3.json"]);
  expect(readFileSync(join(folder, "4F2A9C01B7E3.eml"), "latin1")).toBe(message);
  expect(JSON.parse(readFileSync(join(folder, "4F2A9C01B7E3.json"), "utf8"))).toEqual({
    id: "4F2A9C01B7E3",
    sender: "user1@example.org",
    recipients: ["a@example.net", "b@example.net"],
    smtputf8: false,
  });
});

test("a folder that cannot be made is a temporary failure", async () => {
  await writeFile(join(root, "file"), "");
  const outcomes = await deliverToFolder(join(root, "file", "folder"), outgoing(), () => 0, never);
  expect(replies(outcomes)).toEqual([expect.stringMatching(/^451 4\.3\.0 .*ENOTDIR/)]);
});

test("a message that cannot be read leaves nothing behind", async () => {
  const broken = new Readable({
    read() {
      this.destroy(Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" }));
    },
  });
  const outcomes = await deliverToFolder(root, { ...outgoing(), body: () => broken }, () => 0, never);
  expect(replies(outcomes)).toEqual([`451 4.3.0 ${root}: EIO: i/o error, read`]);
  expect(readdirSync(root)).toEqual([]);
  expect(existsSync(join(root, "4F2A9C01B7E3.json"))).toBe(false);
});

test("a message that there is no time for leaves nothing behind, and nothing is said of it", async () => {
  const stop = new AbortController();
  const body = (): Readable =>
    Readable.from(
      (async function* () {
        yield Buffer.from(message);
        await nextTurn(); // a generator that runs cannot be ended
        stop.abort();
        await nextTurn();
        yield Buffer.from("more\r\n");
      })(),
    );
  expect(await deliverToFolder(root, { ...outgoing(), body }, () => 0, stop.signal)).toEqual([]);
  expect(readdirSync(root)).toEqual([]);
});
