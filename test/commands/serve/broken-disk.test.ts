/** What monitoring hears of a disk that refuses, and how the relay ends when its spool can promise nothing more. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startRelay } from "../../../demo/relay.mjs";
import { newHealthCheck, newRelayStatus, type RelayStatus } from "../../../src/commands/serve/observation.ts";
import { openSpool, viewSpool } from "../../../src/server/spool/spool.ts";
import { verify } from "../../../src/server/spool/verify.ts";
import { intercept } from "../../server/spool/intercept.ts";
import { memoryDisk } from "../../server/spool/memory-disk.ts";
import { fakeServer } from "../../tools/fakeserver.ts";
import { meddle } from "../../tools/meddle.ts";
import { real } from "../../tools/real.ts";
import { until } from "../../tools/until.ts";
import { enter, note, submit, submitAlone } from "./conversation.ts";

const reserve = { octets: 100, inodes: 10 };
const directory = "/srv/spool";

/** A relay that is well, but for what `changed` says, on a disk whose calls fail where `fault` says so. */
async function sick(changed: Partial<RelayStatus>, free = { octets: 1_000, inodes: 100 }, fault?: RegExp) {
  const memory = memoryDisk([
    { path: "/srv", inode: 1 },
    { synced: "/", since: 1 },
  ]);
  let armed = false;
  const disk = intercept(memory, (call) => {
    if (!armed || !fault?.test(call)) return "go";
    throw Object.assign(new Error(`EIO: ${call}`), { code: "EIO" });
  });
  const spool = await openSpool(directory, () => 1, disk);
  armed = true;
  const waiting = () => ({ messages: 0, held: 0, oldest: null });
  const state: RelayStatus = { ...newRelayStatus(), waiting, certificateUntil: 2, logins: 1, ...changed };
  const checkup = newHealthCheck(
    state,
    { trial: () => spool.trial(), free: async () => free },
    reserve,
    () => 1,
  );
  return { memory, spool, health: async () => (await checkup()).health };
}

describe("/healthz", () => {
  test("says ok after a trial that leaves nothing behind, not even for queue verify", async () => {
    const { memory, health, spool } = await sick({});
    expect(await health()).toEqual({ ok: true });
    for (const folder of ["messages", "drafts", "queue"]) {
      expect(await memory.list(`${directory}/${folder}`)).toEqual([]);
    }
    expect(await spool.ids()).toEqual([]);
    const findings = [];
    for await (const finding of verify(memory, directory, { live: true, keptFiles: [] }))
      findings.push(finding);
    expect(findings).toEqual([]);
  });

  test.each<[string, Partial<RelayStatus>, RegExp]>([
    ["an expired certificate", { certificateUntil: 1 }, /certificate has expired/],
    ["no certificate", { certificateUntil: 0 }, /no certificate can be used/],
    ["nobody who could log in", { logins: 0 }, /no password file/],
    ["a relay that stops", { stopping: true }, /is stopping/],
    ["a spool whose fsync failed", { broken: "EIO" }, /can promise nothing more: EIO/],
  ])("tells of %s", async (_, changed, reason) => {
    const { health } = await sick(changed);
    expect(await health()).toEqual({ ok: false, reason: expect.stringMatching(reason) });
  });

  test.each([
    [{ octets: 99, inodes: 100 }, /99 octets left/],
    [{ octets: 1_000, inodes: 11 }, /11 inodes left/],
  ])("tells of a disk with no more than %j", async (free, reason) => {
    const { health } = await sick({}, free);
    expect(await health()).toEqual({ ok: false, reason: expect.stringMatching(reason) });
  });

  test.each(["messages", "drafts", "queue"])(
    "tells of a folder %s that cannot be written",
    async (folder) => {
      const { health } = await sick({}, undefined, new RegExp(`${folder}/\\.trial`));
      expect(await health()).toEqual({ ok: false, reason: expect.stringMatching(/cannot be written: EIO/) });
    },
  );

  test("and the metrics tell of a running relay that has less than its reserve", async () => {
    const relay = await startRelay(
      '[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"\n[spool]\ndirectory = "FOLDER/spool"\nreserve = "100000G"',
    );
    try {
      const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
      const answer = await fetch(`http://127.0.0.1:${port}/healthz`);
      expect([answer.status, await answer.text()]).toEqual([503, expect.stringMatching(/octets left/)]);
      const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      expect(metrics).toMatch(/^tpa_submit_healthy 0$/m);
      expect(metrics).toMatch(/^tpa_submit_spool_free_bytes \d+$/m);
      const talk = await enter(relay);
      expect(await talk.say("MAIL FROM:<user1@example.org>")).toMatch(/^452 4\.3\.1 /);
      talk.close();
    } finally {
      await relay.stop();
    }
  });
});

test("a spool tells once that an fsync of a folder failed", async () => {
  const { spool } = await sick({}, undefined, /^sync .*queue$/);
  await expect(spool.trial()).rejects.toThrow("EIO");
  expect(await spool.broken).toMatchObject({ code: "EIO" });
});

describe.skipIf(!real("strace"))("an fdatasync that fails", () => {
  test("costs those who wait for it a 451 and the journal a segment; the next message is taken", {
    timeout: 60_000,
  }, async ({ skip }) => {
    const hop = await fakeServer({ message: "451 4.3.0 later" });
    const relay = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
    try {
      const journal = join(relay.folder, "spool/journal");
      const segments = async () => (await readdir(journal)).filter((name) => /-[0-9A-F]{16}$/.test(name));
      const sender = await enter(relay);
      await submit(sender, note("first"));
      const [first] = await segments();
      const undo = await meddle(relay.pid, "fdatasync:error=EIO").catch((error: unknown) => {
        if (process.env["TPA_SUBMIT_INTEROP"] === "required") throw error;
        process.stderr.write(`\n*** SKIPPED, strace may not meddle: ${String(error)} ***\n`);
        return skip();
      });
      for (const command of ["MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "DATA"]) {
        expect(await sender.say(command)).toMatch(/^[23]5/);
      }
      expect(await sender.say(`${note("refused")}.`)).toMatch(/^451 4\.3\.0 /);
      await undo();
      await submit(sender, note("second"));
      const now = await segments();
      expect(now.filter((name) => name !== first)).toHaveLength(1);
      sender.close();
      expect(hop.received.map(({ message }) => message).join("")).not.toContain("refused");
      relay.signal("SIGKILL");
      await relay.ended;
      const spool = await viewSpool(join(relay.folder, "spool"));
      expect(await spool.ids()).toHaveLength(2);
    } finally {
      await relay.stop();
      await hop.close();
    }
  });
});

describe.skipIf(!real("strace"))("an fsync that fails", () => {
  test("ends the relay with status 74, after its sessions have heard 421; the next start goes on", {
    timeout: 60_000,
  }, async ({ skip }) => {
    const relay = await startRelay();
    try {
      const idle = await enter(relay);
      const sender = await enter(relay);
      const undo = await meddle(relay.pid, "fsync:error=EIO").catch((error: unknown) => {
        if (process.env["TPA_SUBMIT_INTEROP"] === "required") throw error;
        process.stderr.write(`\n*** SKIPPED, strace may not meddle: ${String(error)} ***\n`);
        return skip();
      });
      for (const command of ["MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "DATA"]) {
        expect(await sender.say(command)).toMatch(/^[23]5/);
      }
      expect(await sender.say(`${note("refused")}.`)).toMatch(/^451 4\.3\.0 /);
      expect(await idle.reply()).toMatch(/^421 4\.3\.2 /);
      expect(await relay.ended).toEqual({ status: 74, signal: null });
      expect(relay.log()).toMatch(/the spool can promise nothing more, .*EIO/);
      await undo();
      await relay.start();
      const id = await submitAlone(relay, note("taken"));
      await until("its delivery", () => relay.log().includes(`${id}: removed`) || undefined);
    } finally {
      await relay.stop();
    }
  });
});
