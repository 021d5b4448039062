/** `tpa-submit spool copy`: from files to a database and back, by the real program, killed in between. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { openSpool, viewSpool } from "../../src/server/spool/spool.ts";
import { digestLength } from "../../src/server/submission/limits/usage.ts";
import { formatEntry, formatKey, parseUsage } from "../../src/server/submission/limits/usage-file.ts";
import { listed, queue } from "../commands/queue/operator.ts";
import { put } from "../server/queue/test-scheduler.ts";
import { run } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { type Cluster, startCluster } from "./cluster.ts";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const day = 86_400_000;

describe.skipIf(!real("postgresql"))("with PostgreSQL", () => {
  let started: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (started ??= startCluster());
  afterAll(async () => (await started)?.close());

  let relay: Relay;
  let store: string;
  beforeEach(async () => {
    relay = await prepareRelay();
    store = await (await cluster()).database();
    await relay.configure(`[spool]\ndirectory = "FOLDER/spool"\nstore = "${store}"`);
  });
  afterEach(() => relay.stop());

  const words = (...more: readonly string[]) => [program, "spool", "copy", "--config", relay.config, ...more];
  const copy = (...more: readonly string[]) => run(process.execPath, words(...more));
  const folder = (name = "spool"): string => join(relay.folder, name);

  /** So many messages, among them one that is held, one that was redirected, and one that is larger than a row. */
  async function filled(count: number): Promise<readonly string[]> {
    const opened = await openSpool(folder(), Date.now);
    const ids: string[] = [];
    for (let at = 0; at < count; at += 1) {
      const accepted = Date.now() - day;
      const envelope = await put(opened, { accepted, due: Date.now() + day });
      ids.push(envelope.id);
    }
    const [first = "", second = ""] = ids;
    for (const [id, more] of [
      [
        first,
        { held: { at: 1_790_000_000_000, by: "root (uid 0)", reason: "odd" }, attempts: 3, warned: true },
      ],
      [second, { relay: "smtp://relay.example.org:25" }],
    ] as const) {
      const envelope = await opened.read(id);
      if ("damaged" in envelope) throw new Error(envelope.damaged);
      await opened.record({ ...envelope, ...more });
    }
    await opened.note(first, [{ at: 1_790_000_000_000, act: "hold", by: "root (uid 0)", reason: "odd" }]);
    const large = await opened.draft();
    await large.write(Buffer.alloc(3 * 1024 * 1024 + 17, "a line of text\r\n"));
    const template = await opened.read(second);
    if ("damaged" in template) throw new Error(template.damaged);
    const { id: _, size: __, relay: ___, ...fields } = template;
    ids.push((await large.accept(fields)).id);
    await opened.close();
    return ids;
  }

  /** All that a folder's spool has, in a form that can be compared. */
  async function contents(directory: string): Promise<readonly unknown[]> {
    const reader = await viewSpool(directory);
    const all = [];
    for (const id of await reader.ids()) {
      const hash = createHash("sha256");
      for await (const piece of reader.body(id)) hash.update(piece as Buffer);
      const history = (await reader.history(id)).filter((one) => !("act" in one && one.act === "import"));
      all.push([await reader.read(id), history, hash.digest("hex")]);
    }
    return all;
  }

  test("brings every message there and back, whole, and leaves the source as it is but not to be started", async () => {
    const ids = await filled(3);
    await queue({ config: await filesOnly() }, "freeze", "user1", "--reason", "stolen");
    const digest = "d".repeat(digestLength);
    const sent = { login: "user2", messages: 3, recipients: 4, newRecipients: 1, addresses: [digest] };
    const usage = `${formatKey(Buffer.alloc(32, 7))}${formatEntry({ ...sent, at: Date.now() - 60_000 })}`;
    await writeFile(join(folder(), "usage"), usage);
    const before = await contents(folder());
    const dry = await copy("--dry-run", "files", "store");
    expect(dry).toMatchObject({ status: 0, stdout: "" });
    expect(dry.stderr).toMatch(/^4 messages of \S+ for 4 recipients, \d+ octets\nwould be frozen: user1\n$/);

    const there = await copy("files", "store");
    expect(there.stderr).toContain(`4 messages copied to ${store} and verified\n`);
    expect(there.status).toBe(0);
    expect(await contents(folder())).toEqual(before);
    expect((await listed(relay)).map((message) => message["queue_id"])).toEqual(ids);
    expect((await queue(relay, "freeze")).stdout).toMatch(/^user1: frozen since .*stolen\n$/);
    const name = /\/(\w+)\?/.exec(store)?.[1] ?? "";
    expect(await (await cluster()).sql("SELECT login, digest FROM correspondents", name)).toBe(
      `user2|${digest}`,
    );
    const again = await copy("files", "store");
    expect(again).toMatchObject({ status: 0 });
    expect(again.stderr).toContain(`0 messages copied to ${store} and verified, 4 had been before\n`);
    const serve = await run(process.execPath, [program, "serve", "--config", await filesOnly()]);
    expect(serve).toMatchObject({ status: 65 });
    expect(serve.stderr).toContain(`were taken over by ${store}`);

    await mkdir(folder("back"), { mode: 0o700 });
    const back = await copy("store", folder("back"), "--json");
    expect(back.status, back.stderr).toBe(0);
    expect(back.stdout.trim().split("\n")).toHaveLength(4);
    expect(await contents(folder("back"))).toEqual(before);
    const kept = parseUsage(await readFile(join(folder("back"), "usage"), "utf8"));
    const sum = (of: "messages" | "recipients" | "newRecipients") =>
      kept?.entries.reduce((all, entry) => all + entry[of], 0);
    expect([sum("messages"), sum("recipients"), sum("newRecipients")]).toEqual([3, 4, 1]);
    expect(kept?.entries.flatMap(({ addresses }) => addresses)).toEqual([digest]);
    const taken = await run(process.execPath, [program, "serve", "--config", relay.config]);
    expect(taken).toMatchObject({ status: 65 });
    expect(taken.stderr).toMatch(/its messages were copied to the host relay\.example\.org at /);
    const intoStore = await copy(folder("back"), "store");
    expect(intoStore.status).toBe(65);
  });

  /** A configuration of a relay that knows of no database. */
  async function filesOnly(): Promise<string> {
    const path = join(relay.folder, "files.toml");
    const text = await readFile(relay.config, "utf8");
    await writeFile(path, text.replace(/^store = .*$/m, ""));
    return path;
  }

  test("goes on after each kill, and nothing is there twice", async () => {
    const ids = await filled(300);
    const before = await contents(folder());
    const server = await cluster();
    const name = /\/(\w+)\?/.exec(store)?.[1] ?? "";
    const count = async () => Number(await server.sql("SELECT count(*) FROM messages", name));
    let amid = 0;
    for (const enough of [-1, 0, 64, 128, 200]) {
      const child = spawn(process.execPath, words("files", "store"), { stdio: "ignore" });
      const ended = once(child, "close");
      while (child.exitCode === null && (await count()) <= enough) await pause(5);
      child.kill("SIGKILL");
      await ended;
      const there = await count();
      if (there > 0 && there < ids.length) amid += 1;
    }
    expect(amid).toBeGreaterThan(0);
    // As if it had been killed right behind a promise, too.
    await server.sql(`DELETE FROM history WHERE id = '${ids[0] ?? ""}'`, name);
    const last = await copy("files", "store");
    expect(last.status, last.stderr).toBe(0);
    const found = await listed(relay);
    expect(found.map((message) => message["queue_id"])).toEqual(ids);
    await mkdir(folder("back"), { mode: 0o700 });
    expect((await copy("store", folder("back"))).status).toBe(0);
    expect(await contents(folder("back"))).toEqual(before);
  });

  test("what was copied is delivered once, by a relay with the database", async () => {
    await filled(2);
    expect((await copy("files", "store")).status).toBe(0);
    await relay.start();
    expect(await queue(relay, "release", "--all", "--yes")).toMatchObject({ status: 0 });
    await queue(relay, "redirect", "--all", "--relay", "default", "--yes");
    await queue(relay, "retry", "--all", "--yes");
    await expect.poll(async () => (await listed(relay)).length, { timeout: 30_000 }).toBe(0);
    expect((await copy("store", folder("back"))).stderr).toMatch(/this spool is in use by process \d+/);
    const other = join(relay.folder, "other.toml");
    const text = await readFile(relay.config, "utf8");
    await writeFile(other, text.replace(/^directory = .*$/m, `directory = "${folder("other")}"`));
    const elsewhere = await run(process.execPath, [
      ...[program, "spool", "copy", "--config", other],
      ...["store", folder("back")],
    ]);
    expect(elsewhere).toMatchObject({ status: 75 });
    expect(elsewhere.stderr).toContain("relay.example.org is at work with this database; stop its relay");
    relay.signal("SIGTERM");
    await relay.ended;
    expect((await copy("files", "store")).stderr).toContain("had been before");
    expect(await listed(relay)).toEqual([]);
  });

  test("refuses what cannot be meant", async () => {
    await filled(2);
    expect(await copy("files", folder())).toMatchObject({ status: 64 });
    expect(await copy("store")).toMatchObject({ status: 64 });
    expect(await copy(folder("nowhere"), "store")).toMatchObject({ status: 66 });
    const [id = ""] = await (await viewSpool(folder())).ids();
    await writeFile(join(folder(), "queue", id), "{");
    const said = await copy("files", "store");
    expect(said).toMatchObject({ status: 65 });
    expect(said.stderr).toContain(`${id}: damaged, left where it is`);
    await rm(folder(), { recursive: true });
    expect(await copy("files", "store")).toMatchObject({ status: 66 });
  });
});
