/** docs/disaster-recovery.md: a host dies with mail in its queue, and another one delivers it. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { type Ended, run, runWell } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { until } from "../../tools/until.ts";
import { note, submitAlone } from "./conversation.ts";

vi.setConfig({ testTimeout: 120_000 });

const relays: Relay[] = [];
let hop: FakeServer | undefined;
afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop();
  await hop?.close();
  hop = undefined;
});

const typed = (relay: Relay, ...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, ...words, "--config", relay.config]);

/** A host of its own, whose next hop is at `port`. */
async function host(port: number): Promise<Relay> {
  const relay = await prepareRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${port}"\nretry-first = "1h"`);
  relays.push(relay);
  return relay;
}

/** One message of its journal, one of files, both waiting; then the power fails. */
async function dead(port: number): Promise<Relay> {
  const relay = await host(port);
  await relay.start();
  const first = await submitAlone(relay, note("first"));
  await relay.logged(new RegExp(`${first}: to=.*status=deferred`));
  // What came of it is on the disk a moment later.
  await until("its history", async () => {
    const names = await readdir(join(relay.folder, "spool", "history")).catch((): string[] => []);
    return names.includes(first) ? true : undefined;
  });
  await submitAlone(relay, note("second"));
  relay.signal("SIGKILL");
  await relay.ended;
  return relay;
}

/** A copy, as rsync makes one of a disk that can only be read. */
async function copied(old: Relay, to: string): Promise<void> {
  await runWell("cp", ["-a", join(old.folder, "spool"), to]);
  await rm(join(to, "control"), { force: true });
}

/** A configuration with nothing but what `queue` needs, for a spool that no relay works on. */
async function rescueConfig(spool: string): Promise<readonly string[]> {
  const file = `${spool}.toml`;
  await writeFile(
    file,
    `hostname = "submission.example.org"\ndomain = "example.org"\n\n[spool]\ndirectory = "${spool}"\n`,
  );
  return ["--config", file];
}

const typedTo = (config: readonly string[], ...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, ...words, ...config]);

test("a relay that goes on with its own mail takes over a copy of a dead host's spool", async () => {
  const old = await dead(await freePort());
  hop = await fakeServer();
  const other = await host(hop.port);
  await other.start();
  const rescued = join(other.folder, "rescued");
  await copied(old, rescued);

  const dry = await typed(other, "queue", "import", "--dry-run", rescued);
  expect(dry.stderr).toMatch(/^2 messages of relay\.example\.org for 2 recipients, /);
  const taken = await typed(other, "queue", "import", rescued);
  expect(taken.stderr).toMatch(/^2 messages taken over from relay\.example\.org\n$/);
  expect((await typed(other, "queue", "retry", "--all", "--yes")).status).toBe(0);
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(2);
  await submitAlone(other, note("third"));
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(3);

  const config = await rescueConfig(rescued);
  const [verified, left] = [
    await typedTo(config, "queue", "verify", "--repair", "--yes"),
    await typedTo(config, "queue"),
  ];
  expect(verified.status).toBe(0);
  expect(left.stdout).toBe("");
});

test("what is damaged in a dead host's spool is left, found and set aside", async () => {
  const old = await dead(await freePort());
  hop = await fakeServer();
  const other = await host(hop.port);
  await other.start();
  const rescued = join(other.folder, "rescued");
  await copied(old, rescued);
  const [id = ""] = await readdir(join(rescued, "history"));
  await writeFile(join(rescued, "messages", id), "half");
  expect((await typed(other, "queue", "import", rescued)).status).toBe(65);
  const config = await rescueConfig(rescued);
  expect((await typedTo(config, "queue", "verify")).stderr).toContain(`messages/${id}: expected`);
  expect((await typedTo(config, "queue", "verify", "--repair", "--yes")).status).toBe(0);
  expect((await readdir(join(rescued, "damaged"))).sort()).toEqual(
    ["history", "messages", "queue"].map((part) => `${part}-${id}`),
  );
});

test("the spool of a dead host is delivered by a relay that is started on it", async () => {
  const old = await dead(await freePort());
  hop = await fakeServer();
  const second = await host(hop.port);
  await copied(old, join(second.folder, "spool"));
  // A kill may leave drafts, which a start would remove as well.
  await typed(second, "queue", "verify", "--repair", "--yes");
  expect((await typed(second, "queue", "verify")).stderr).toBe("no damage\n");
  expect((await typed(second, "queue")).stderr).toMatch(/^2 messages for 2 recipients\n/);
  await second.start();
  const retried = await typed(second, "queue", "retry", "--all", "--yes");
  expect(retried.stderr + retried.stdout).toMatch(/tried now/);
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(2);
  await expect
    .poll(async () => (await typed(second, "queue")).stdout, { timeout: 30_000 })
    .not.toContain("user1");
});

test("messages are copied out of the spool of a dead host, for whatever sends them then", async () => {
  const old = await dead(await freePort());
  const folder = join(old.folder, "saved");
  const exported = await typed(old, "queue", "export", "--all", "--to", folder);
  expect(exported.status, exported.stderr).toBe(0);
  const names = (await readdir(folder)).filter((name) => name.endsWith(".eml")).sort();
  expect(names).toHaveLength(2);
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  expect(texts.join("")).toMatch(/Subject: first[\s\S]*Subject: second/);

  hop = await fakeServer();
  const other = await host(hop.port);
  await other.start();
  expect((await typed(other, "queue", "import", folder)).stderr).toMatch(/^2 messages taken over/);
  await typed(other, "queue", "retry", "--all", "--yes");
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(2);
});

test("passwords and settings of a backup are all that a new host needs", async () => {
  hop = await fakeServer();
  const old = await host(hop.port);
  const next = await host(hop.port);
  await writeFile(
    join(next.folder, "mail-passwords"),
    await readFile(join(old.folder, "mail-passwords"), "utf8"),
  );
  await next.start();
  await submitAlone({ ...next, login: old.login, password: old.password }, note("rebuilt"));
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(1);
});
