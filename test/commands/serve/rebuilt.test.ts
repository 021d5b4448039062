/** docs/disaster-recovery.md: a host dies with mail in its queue, and another one delivers it. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { type Ended, run, runWell } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
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
  await submitAlone(relay, note("second"));
  relay.signal("SIGKILL");
  await relay.ended;
  return relay;
}

test("the spool of a dead host is delivered by a second relay on a host that goes on with its own", async () => {
  const old = await dead(await freePort());
  hop = await fakeServer();
  const other = await host(hop.port);
  await other.start();

  const second = await host(hop.port); // settings of its own: another folder, ports of loopback
  const spool = join(second.folder, "spool");
  await runWell("cp", ["-a", join(old.folder, "spool"), spool]);
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
  await submitAlone(other, note("third"));
  await expect.poll(() => hop?.received.length, { timeout: 30_000 }).toBe(3);
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
