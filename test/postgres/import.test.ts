/** `tpa-submit queue import`: a dead host's spool of files, into a running relay with the database store, by the real program. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { openFrozenLogins } from "../../src/server/control/frozen-logins.ts";
import type { Envelope } from "../../src/server/spool/envelope.ts";
import { parseEnvelope } from "../../src/server/spool/envelope-file.ts";
import { openSpool, viewSpool } from "../../src/server/spool/spool.ts";
import { listed, queue } from "../commands/queue/operator.ts";
import { put } from "../server/queue/test-scheduler.ts";
import { run, runWell } from "../tools/child.mjs";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { real } from "../tools/real.ts";
import { type Cluster, startCluster } from "./cluster.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe.skipIf(!real("postgresql"))("into a relay with PostgreSQL", () => {
  let started: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (started ??= startCluster());
  afterAll(async () => (await started)?.close());

  let hop: FakeServer;
  let heir: Relay;
  let old: Relay;
  let store: string;
  let dead: string;
  beforeEach(async () => {
    hop = await fakeServer();
    store = await (await cluster()).database();
    const delivery = `[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"\nretry-first = "1h"\n`;
    heir = await prepareRelay(`${delivery}[spool]\ndirectory = "FOLDER/spool"\nstore = "${store}"`);
    old = await prepareRelay(delivery);
    dead = join(old.folder, "spool");
  });
  afterEach(async () => {
    for (const relay of [heir, old]) await relay.stop();
    await hop.close();
  });

  const importing = (folder: string) => queue(heir, "import", folder);
  const sql = async (text: string): Promise<string> =>
    (await cluster()).sql(text, /\/(\w+)\?/.exec(store)?.[1]);
  const envelopeOf = async (id: string): Promise<unknown> =>
    parseEnvelope(await sql(`SELECT envelope FROM messages WHERE id = '${id}'`), id, "database");

  test("a dead host's files come with all that it knew, once, and only from a spool that nobody has", async () => {
    const spool = await openSpool(dead, Date.now);
    const now = Date.now();
    const fill = async (more: Partial<Envelope>): Promise<string> =>
      (await put(spool, { accepted: now, due: now, ...more })).id;
    const free = await fill({});
    const late = await fill({ due: now + 3_000_000, attempts: 7, warned: true, envid: "abc", ret: "HDRS" });
    const held = { at: now - 1_000, by: "root (uid 0)", reason: "odd" };
    const heldOne = await fill({ held, relay: "smtp://127.0.0.1:1" });
    const frozen = await fill({ login: "user2@example.org" });
    await spool.note(late, [{ at: now, act: "retry", by: "root (uid 0)", reason: "why not" }]);
    const stolen = {
      login: "user2@example.org",
      at: 1_700_000_000_000,
      by: "root (uid 0)",
      reason: "stolen",
    };
    await (await openFrozenLogins(join(dead, "frozen"))).freeze(stolen);
    // As the relay that died left it.
    await writeFile(join(dead, "owner"), JSON.stringify({ id: "0".repeat(32), host: "old.example.org" }));
    await heir.start();

    const locked = await importing(dead);
    expect(locked.status).toBe(75);
    expect(locked.stderr).toMatch(/^tpa-submit queue: .*this spool is in use by process \d+.*\n$/);
    await spool.close();
    const before = await (await viewSpool(dead)).read(late);
    const copy = join(old.folder, "copy");
    await runWell("cp", ["-a", dead, copy]);

    const said = await importing(dead);
    expect(said).toMatchObject({ status: 0, stderr: "4 messages taken over from old.example.org\n" });
    await heir.logged(new RegExp(`${free}: removed`));
    expect(hop.received).toHaveLength(1);
    expect((await listed(heir)).map((one) => [one["queue_id"], one["status"]])).toEqual([
      [late, "deferred"],
      [heldOne, "held"],
      [frozen, "held"],
    ]);
    expect(await envelopeOf(late)).toEqual(before);
    expect(await envelopeOf(heldOne)).toMatchObject({ held, relay: "smtp://127.0.0.1:1" });
    expect((await sql(`SELECT line FROM history WHERE id = '${late}' ORDER BY number`)).split("\n")).toEqual([
      expect.stringContaining('"why not"'),
      expect.stringContaining('"import"'),
    ]);
    expect((await queue(heir, "freeze")).stdout).toMatch(
      /^user2@example\.org: frozen since 2023-11-14.*: stolen\n$/,
    );

    expect(await (await viewSpool(dead)).ids()).toEqual([]);
    expect(await importing(dead)).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/^0 messages taken over/),
    });
    const again = await importing(copy);
    expect(again.status).toBe(65);
    expect(again.stderr).toMatch(/was taken over before, and this is another copy of it/);
    const start = await run(process.execPath, [program, "serve", "--config", old.config]);
    expect(start.status).toBe(65);
    expect(start.stderr).toContain(`were taken over by ${store} at `);
    expect(await sql("SELECT count(*) FROM messages")).toBe("3");
  });
});
