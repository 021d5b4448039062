/** What was tried in vain: kept for people, and never in the way of mail. */
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FailedAttempt, openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { toOne } from "./to-one.ts";

const at = Date.parse("2026-11-22T14:11:00.000Z");

let parent: string;
let directory: string;
let spool: Spool;
let id: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-history-"));
  directory = join(parent, "spool");
  spool = await openSpool(directory, () => at);
  id = (await (await spool.draft()).accept(toOne)).id;
});

afterEach(async () => {
  await spool.close();
  await rm(parent, { recursive: true, force: true });
});

const file = (): string => join(directory, "history", id);

/** Attempt number `count`, in vain. */
const noted = (count: number, text = `try ${String(count)}`): FailedAttempt => ({
  recipient: "x@example.net",
  code: 451,
  status: "4.4.1",
  text,
  relay: "mx.example.net[192.0.2.1]:25",
  command: "RCPT TO",
  at: at + count * 60_000,
});

const texts = async (): Promise<readonly string[]> =>
  (await spool.history(id)).map((line) =>
    "leftOut" in line ? `(${String(line.leftOut)})` : "act" in line ? `${line.act} by ${line.by}` : line.text,
  );

describe("the history of a message", () => {
  it("is empty until something was tried in vain", async () => {
    expect(await spool.history(id)).toEqual([]);
    expect(await readdir(join(directory, "history"))).toEqual([]);
  });

  it("has the acts of operators between the attempts", async () => {
    await spool.note(id, [noted(1)]);
    await spool.note(id, [{ at, act: "hold", by: "root (uid 0)", reason: "odd" }]);
    await spool.note(id, [noted(2)]);
    expect(await texts()).toEqual(["try 1", "hold by root (uid 0)", "try 2"]);
    expect((await readFile(file(), "utf8")).split("\n")[1]).toBe(
      '{"act":"hold","by":"root (uid 0)","reason":"odd","at":"2026-11-22T14:11:00.000Z"}',
    );
  });

  it("has each attempt in the order of time, a line of JSON each, also after a restart", async () => {
    expect(await spool.note(id, [noted(1), { ...noted(1), recipient: "y@example.net" }])).toBeUndefined();
    expect(await spool.note(id, [noted(2)])).toBeUndefined();
    await spool.close();
    spool = await openSpool(directory, () => at);
    expect(await spool.history(id)).toEqual([
      noted(1),
      { ...noted(1), recipient: "y@example.net" },
      noted(2),
    ]);
    expect(await readFile(file(), "utf8")).toMatch(
      /^\{"recipient":"x@example.net",.*"at":"2026-11-22T14:12:00.000Z"\}\n\{.*\}\n\{.*\}\n$/,
    );
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it("goes with the message", async () => {
    await spool.note(id, [noted(1)]);
    await spool.remove(id);
    expect(await readdir(join(directory, "history"))).toEqual([]);
  });

  it("goes with the message also where an earlier process noted it", async () => {
    await spool.note(id, [noted(1)]);
    await spool.close();
    spool = await openSpool(directory, () => at);
    await spool.remove(id);
    expect(await readdir(join(directory, "history"))).toEqual([]);
  });

  it("is swept at the start where its message is gone", async () => {
    await spool.close();
    await writeFile(join(directory, "history", "00000000000A"), "");
    await writeFile(join(directory, "history", "notes.txt"), "by hand");
    spool = await openSpool(directory, () => at);
    expect(await readdir(join(directory, "history"))).toEqual(["notes.txt"]);
  });

  it("keeps its first 20 and its last 100 lines when it has more than 200, and says how many are missing", async () => {
    for (let count = 1; count <= 200; count += 1) await spool.note(id, [noted(count)]);
    expect(await texts()).toHaveLength(200);
    await spool.note(id, [noted(201)]);
    const short = await texts();
    expect(short.slice(0, 22)).toEqual([
      ...Array.from({ length: 20 }, (_, index) => `try ${index + 1}`),
      "(81)",
      "try 102",
    ]);
    expect(short).toHaveLength(121);
    for (let count = 202; count <= 500; count += 1) await spool.note(id, [noted(count)]);
    const [gap = "", next = ""] = (await texts()).slice(20);
    const missing = Number(/^\((\d+)\)$/.exec(gap)?.[1]);
    expect(next).toBe(`try ${String(21 + missing)}`);
    expect((await texts()).at(-1)).toBe("try 500");
    expect(await readdir(join(directory, "drafts"))).toEqual([]);
  });

  it("is short even when everything comes at once, and of a long reply keeps the beginning", async () => {
    await spool.note(
      id,
      Array.from({ length: 5000 }, (_, index) => noted(index, "x".repeat(4000))),
    );
    expect((await stat(file())).size).toBeLessThan(200_000);
    expect((await texts())[0]).toBe(`${"x".repeat(1000)}…`);
    expect((await texts())[20]).toBe("(4880)");
  });
});

describe("a history that is not as it was written", () => {
  it("costs the line that a crash cut, and no other", async () => {
    await spool.note(id, [noted(1), noted(2)]);
    await truncate(file(), (await stat(file())).size - 10);
    expect(await texts()).toEqual(["try 1"]);
    await spool.note(id, [noted(3)]);
    expect(await texts()).toEqual(["try 1", "try 3"]);
  });

  it.each(["null", "[]", "7", "{}", '{"leftOut":"x"}', "\u0000\u0000", '{"recipient":"x@example.net"}'])(
    "passes over %s",
    async (line) => {
      await spool.note(id, [noted(1)]);
      await appendFile(file(), `${line}\n`);
      await spool.note(id, [noted(2)]);
      expect(await texts()).toEqual(["try 1", "try 2"]);
    },
  );

  it("hurts nobody where it cannot be written: why is told, and the message goes its way", async () => {
    await mkdir(file());
    expect(await spool.note(id, [noted(1)])).toContain("EISDIR");
    const envelope = await spool.read(id);
    if ("damaged" in envelope) throw new Error(envelope.damaged);
    await spool.record({ ...envelope, attempts: 1 });
    await spool.remove(id);
    expect(await spool.ids()).toEqual([]);
  });
});
