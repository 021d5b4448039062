/** SPOOL/owner: a copy of a spool is not delivered by another host without a person who wants that. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { openSpool } from "../../../src/server/spool/spool.ts";
import { put } from "../../server/queue/test-scheduler.ts";
import { type Ended, run } from "../../tools/child.mjs";

vi.setConfig({ testTimeout: 60_000 });

let relay: Relay;
let owner: string;
beforeEach(async () => {
  relay = await prepareRelay();
  owner = join(relay.folder, "spool", "owner");
});
afterEach(() => relay.stop());

interface OwnerFile {
  readonly id: string;
  readonly host: string;
}
const ownerNow = async (): Promise<OwnerFile> => JSON.parse(await readFile(owner, "utf8")) as OwnerFile;

/** The relay has another name from its next start on. */
async function rename(name: string): Promise<void> {
  const settings = await readFile(relay.config, "utf8");
  await writeFile(relay.config, settings.replace(/^hostname = .*/m, `hostname = "${name}"`));
}

async function startOnce(): Promise<void> {
  await relay.start();
  relay.signal("SIGTERM");
  await relay.ended;
}

async function leaveMail(): Promise<void> {
  const spool = await openSpool(join(relay.folder, "spool"), () => Date.now());
  await put(spool, { accepted: Date.now(), due: Date.now() });
  await spool.close();
}

const serve = (): Promise<Ended> => run(process.execPath, [program, "serve", "--config", relay.config]);

test("a spool gets its mark at its first start, and keeps it", async () => {
  await startOnce();
  const first = await ownerNow();
  expect(first).toEqual({ id: expect.stringMatching(/^[0-9a-f]{32}$/) as string, host: "relay.example.org" });
  await startOnce();
  expect(await ownerNow()).toEqual(first);
});

test("a host of another name takes an empty spool, and refuses one in which mail waits", async () => {
  await startOnce();
  const { id } = await ownerNow();
  await rename("other.example.org");
  await startOnce();
  expect(await ownerNow()).toEqual({ id, host: "other.example.org" });

  await leaveMail();
  await rename("relay.example.org");
  for (const words of [["serve"], ["queue", "hold", "--all", "--yes"]]) {
    const { status, stderr, stdout } = await run(process.execPath, [
      program,
      ...words,
      "--config",
      relay.config,
    ]);
    expect(status).toBe(65);
    const said = stderr
      .trim()
      .split("\n")
      .filter((line) => line.includes("owner"));
    expect(said, stdout + stderr).toHaveLength(1);
    expect(said[0]).toMatch(
      /other\.example\.org used this spool last, this is relay\.example\.org.*\(messages: 1\).*remove \S+\/owner/,
    );
  }
  await rm(owner);
  await relay.start();
  await relay.logged(/: removed/);
  expect((await ownerNow()).id).not.toBe(id);
});

test("a spool that was taken over is not started, whoever wants to", async () => {
  await startOnce();
  const mark = "0123456789abcdef0123456789abcdef";
  const taken = { handover: mark, spool: mark, host: "heir.example.org", at: "2026-11-29T12:00:00.000Z" };
  await writeFile(owner, JSON.stringify({ ...(await ownerNow()), taken }));
  const { status, stderr, stdout } = await serve();
  expect(status).toBe(65);
  expect(stderr + stdout).toMatch(
    /taken over by the host heir\.example\.org at 2026-11-29T12:00:00\.000Z.*remove \S+\/owner/,
  );
});

test("a mark that cannot be understood is told, and nothing is delivered", async () => {
  await startOnce();
  await writeFile(owner, "{ torn");
  const { status, stderr, stdout } = await serve();
  expect(status).toBe(65);
  expect(stderr + stdout).toMatch(/spool\/owner: expected JSON; whose spool this is cannot be told/);
});
