/**
 * Spools of earlier versions, as their programs wrote them (fixtures/), opened by this one: nothing that was promised
 * is lost, and a crash at any moment of the upgrade leaves a spool of the one format or of the other.
 */
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isDamaged, openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { earlier } from "./earlier.ts";
import { intercept } from "./intercept.ts";
import { type Change, memoryDisk, powerCut } from "./memory-disk.ts";

const fixtures = new URL("fixtures", import.meta.url).pathname;
const current = "tpa-submit spool 2\n";

/** IDs of the fixture, by what they are. */
const promised = {
  "just accepted": "1A203997B800",
  "tried, with all of RFC 3461": "1A2039A65E00",
  "a report of the relay's own": "1A2039B50400",
  "with SMTPUTF8": "1A2039C3AA00",
  "without an octet": "1A2039D25000",
} as const;
const held = "1A2039E0F600";
const redirected = "1A2039EF9C00";

let parent: string;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-upgrade-"));
});

afterAll(async () => {
  await rm(parent, { recursive: true, force: true });
});

/** A copy of a fixture, with what git does not keep. */
async function copyOf(format: string): Promise<string> {
  const directory = await mkdtemp(join(parent, `${format}-`));
  await cp(join(fixtures, format), directory, { recursive: true });
  await mkdir(join(directory, "drafts"), { recursive: true });
  for (const name of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await chmod(join(name.parentPath, name.name), name.isDirectory() ? 0o700 : 0o600);
  }
  return directory;
}

/** Everything that can be seen of each message. */
async function contents(spool: Spool): Promise<Record<string, unknown>> {
  const seen: [string, unknown][] = [];
  for (const id of await spool.ids()) {
    const envelope = await spool.read(id);
    if (isDamaged(envelope)) throw new Error(envelope.damaged);
    seen.push([id, { envelope, body: await text(spool.body(id)), history: await spool.history(id) }]);
  }
  return Object.fromEntries(seen);
}

describe.each(["format-1", "format-2"])("a spool of %s", (format) => {
  it("is opened with every message that it promised, each octet and each field", async () => {
    const directory = await copyOf(format);
    const spool = await openSpool(directory, () => 0);
    const found = await contents(spool);
    const ids = [...Object.values(promised), ...(format === "format-1" ? [] : [held, redirected])];
    expect(Object.keys(found)).toEqual(ids);
    for (const id of ids) {
      const written: unknown = JSON.parse(await readFile(join(fixtures, format, "queue", id), "utf8"));
      const body = await readFile(join(fixtures, format, "messages", id), "utf8");
      const asWritten = JSON.parse(JSON.stringify(found[id]), (key, value: unknown) =>
        ["accepted", "due", "at"].includes(key) ? new Date(Number(value)).toISOString() : value,
      );
      const version = Number(format.replace("format-", ""));
      expect({ version, ...asWritten.envelope }).toEqual(written);
      expect(asWritten.body).toBe(body);
    }
    await spool.close();
  });

  it("is of this format afterwards, swept, with its envelopes as they were", async () => {
    const directory = await copyOf(format);
    await (await openSpool(directory, () => 0)).close();
    expect(await readFile(join(directory, "format"), "utf8")).toBe(current);
    expect(await readdir(directory)).not.toContain("format.new");
    expect(await readdir(join(directory, "messages"))).toEqual(await readdir(join(directory, "queue")));
    for (const name of [...Object.values(promised).map((id) => join("queue", id)), "usage"]) {
      expect(await readFile(join(directory, name), "utf8")).toBe(
        await readFile(join(fixtures, format, name), "utf8"),
      );
    }
  });

  it("takes new states, written as version 2, and keeps them", async () => {
    const directory = await copyOf(format);
    let spool = await openSpool(directory, () => 0);
    for (const id of Object.values(promised)) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) throw new Error(envelope.damaged);
      await spool.record({ ...envelope, held: { at: 0, by: "root", reason: "" } });
      expect(await readFile(join(directory, "queue", id), "utf8")).toContain('"version": 2,');
    }
    const before = await contents(spool);
    await spool.close();
    spool = await openSpool(directory, () => 0);
    expect(await contents(spool)).toEqual(before);
    await spool.close();
  });
});

describe("a spool of this format", () => {
  it("has what was held, redirected and tried", async () => {
    const spool = await openSpool(await copyOf("format-2"), () => 0);
    expect(await spool.read(held)).toMatchObject({
      requireTls: true,
      held: { by: "root", reason: "asked the sender" },
    });
    expect(await spool.read(redirected)).toMatchObject({
      tlsOptional: true,
      relay: "smtp://backup.example.net:25",
    });
    expect(await spool.history(redirected)).toMatchObject([{ relay: "none" }, { command: "MAIL FROM" }]);
    await spool.close();
  });
});

describe("an upgrade", () => {
  const directory = "/srv/spool";

  /** What lies on the disk before anybody opens it again. */
  async function format(journal: readonly Change[]): Promise<string | undefined> {
    return memoryDisk(journal).files().get(join(directory, "format"));
  }

  it("loses nothing by a kill or a power cut at any moment, and is then made in full", async () => {
    const before = await earlier(directory);
    const memory = memoryDisk(before);
    const whole = await contents(await openSpool(directory, () => 0, memory));
    const formats = new Set<string | undefined>();
    for (let moment = before.length; moment <= memory.journal.length; moment += 1) {
      const killed = memory.journal.slice(0, moment);
      for (const disk of [killed, ...powerCut(killed)]) {
        formats.add(await format(disk));
        const again = memoryDisk(disk);
        expect(await contents(await openSpool(directory, () => 0, again))).toEqual(whole);
        expect(await format(again.journal)).toBe(current);
      }
    }
    expect(formats).toEqual(new Set(["tpa-submit spool 1\n", current]));
    expect(Object.keys(whole)).toEqual(Object.values(promised));
  });

  it.each([
    ["the new number, before it takes the old one's place", /^sync .*format\.new$/],
    ["the folder, before anything of the new format is written", /^sync \/srv\/spool$/],
  ])("needs the fsync of %s", async (_, skipped) => {
    const before = await earlier(directory);
    const memory = memoryDisk(before);
    const disk = intercept(memory, (call) => (skipped.test(call) ? "skip" : "go"));
    const spool = await openSpool(directory, () => 0, disk);
    const envelope = await spool.read(promised["just accepted"]);
    if (isDamaged(envelope)) throw new Error(envelope.damaged);
    await spool.record({ ...envelope, requireTls: true });
    const found = powerCut(memory.journal).map((cut) => {
      const files = memoryDisk(cut).files();
      return {
        format: files.get(join(directory, "format")),
        envelope: files.get(join(directory, "queue", envelope.id)),
      };
    });
    // A program of format 1 would take this spool for its own, or nobody would.
    expect(found).toContainEqual(expect.objectContaining({ format: expect.not.stringMatching(current) }));
  });

  it("that the disk refuses leaves the spool as it was, and says so in one line", async () => {
    const before = await earlier(directory);
    for (const call of ["create", "write", "sync", "rename"]) {
      const memory = memoryDisk(before);
      const disk = intercept(memory, (at) => {
        if (new RegExp(`^${call} .*/format`).test(at)) throw Object.assign(new Error("EIO"), { code: "EIO" });
        return "go";
      });
      await expect(openSpool(directory, () => 0, disk)).rejects.toMatchObject({
        status: 74,
        message: expect.stringContaining("cannot be opened: EIO"),
      });
      expect(await format(memory.journal)).toBe("tpa-submit spool 1\n");
    }
  });
});
