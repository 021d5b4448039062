/** `tpa-submit queue import`: a dead host's mail, in a relay that runs, by the real program. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { openFrozenLogins } from "../../../src/server/control/frozen-logins.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { openSpool, viewSpool } from "../../../src/server/spool/spool.ts";
import { put } from "../../server/queue/test-scheduler.ts";
import { asRoot } from "../../tools/as-root.ts";
import { type Ended, run, runWell } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { queue } from "./operator.ts";

vi.setConfig({ testTimeout: 240_000 });

const relays: Relay[] = [];
let hop: FakeServer;
let heir: Relay;
let old: Relay;
let dead: string;

async function host(): Promise<Relay> {
  const relay = await prepareRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"\nretry-first = "1h"`);
  relays.push(relay);
  return relay;
}

beforeEach(async () => {
  hop = await fakeServer();
  heir = await host();
  old = await host();
  dead = join(old.folder, "spool");
});
afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop();
  await hop.close();
});

const soon = (): Partial<Envelope> => ({ accepted: Date.now(), due: Date.now() });
const journal = { segment: 1024 * 1024, largest: 100_000 };

/** A message for each, half of them in a journal, all with their own text. */
async function fill(...more: readonly Partial<Envelope>[]): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const [index, one] of more.entries()) {
    const spool = await openSpool(dead, () => Date.now(), undefined, journal);
    const { id } = await put(spool, { ...soon(), ...one }, `Subject: number ${index}\r\n\r\nHello\r\n`);
    if (index % 2 === 1) await spool.record({ ...(await spool.read(id)) } as Envelope); // out of the journal
    await spool.close();
    ids.push(id);
  }
  return ids;
}

const importing = (...words: readonly string[]): Promise<Ended> => queue(heir, "import", ...words);
const subjects = (): readonly string[] =>
  hop.received.map(({ message }) => /^Subject: (.*)\r$/m.exec(message)?.[1] ?? "").sort();
const idsIn = async (folder: string): Promise<readonly string[]> => (await viewSpool(folder)).ids();

test("a running relay takes over a dead host's spool with all that it knew, and once", async () => {
  await heir.start();
  const later = Date.now() + 3_000_000;
  const held = { at: Date.now() - 1000, by: "root (uid 0)", reason: "odd" };
  const waiting = {
    address: "b@example.net",
    state: "waiting",
    notify: ["NEVER"],
    orcpt: "rfc822;c@example.net",
  };
  const [free = "", late = "", heldOne = "", frozen = ""] = await fill(
    {},
    { due: later, attempts: 7, warned: true, envid: "abc", ret: "HDRS", recipients: [waiting] as never },
    { held, relay: "smtp://127.0.0.1:1" },
    { login: "user2@example.org" },
  );
  const before = (await (await viewSpool(dead)).read(late)) as Envelope;
  const spool = await openSpool(dead, () => Date.now());
  await spool.note(late, [{ at: Date.now(), act: "retry", by: "root (uid 0)", reason: "why not" }]);
  await spool.close();
  await (await openFrozenLogins(join(dead, "frozen"))).freeze({
    login: "user2@example.org",
    at: 1_700_000_000_000,
    by: "root (uid 0)",
    reason: "stolen",
  });

  const looked = await importing("--dry-run", dead);
  expect(looked.stderr).toMatch(
    /^4 messages of \S+ for \d+ recipients, \d+ octets\nwould be frozen: user2@example\.org\n$/,
  );
  expect(await idsIn(dead)).toHaveLength(4);

  const said = await importing(dead);
  expect(said.stderr).toMatch(/^4 messages taken over from \S+\n$/);
  expect(said.status).toBe(0);
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0"]);
  expect(heir.log()).toMatch(new RegExp(`${free}: taken over by .*: from \\S+, there ${free}\n`));

  const there = await viewSpool(join(heir.folder, "spool"));
  expect(await there.ids()).toEqual([late, heldOne, frozen].sort());
  expect(await there.read(late)).toEqual(before);
  expect(await there.read(heldOne)).toMatchObject({ held, relay: "smtp://127.0.0.1:1" });
  expect(await there.history(late)).toMatchObject([{ act: "retry", reason: "why not" }, { act: "import" }]);
  expect((await queue(heir, "freeze")).stdout).toMatch(
    /^user2@example\.org: frozen since 2023-11-14.*: stolen\n$/,
  );
  expect((await queue(heir, "list", "--json", frozen)).stdout).toContain('"status":"held"');

  expect(await idsIn(dead)).toEqual([]);
  const again = await importing(dead);
  expect(again).toMatchObject({
    status: 0,
    stderr: expect.stringMatching(/^0 messages taken over/) as string,
  });
  const refused = await run(process.execPath, [program, "serve", "--config", old.config]);
  expect(refused.status).toBe(65);
  expect(refused.stderr + refused.stdout).toMatch(/taken over by the host relay\.example\.org at 20/);
});

test("the limits go on where they were, and a frozen login that was thawed since stays so", async () => {
  await heir.start();
  await fill({});
  const line = [Math.floor(Date.now() / 1000), "user1", 41, 42, 3, ""];
  await writeFile(join(dead, "usage"), `tpa-submit usage 1 ${"A".repeat(43)}\n${JSON.stringify(line)}\n`, {
    mode: 0o600,
  });
  await (await openFrozenLogins(join(dead, "frozen"))).freeze({
    login: "user3",
    at: 1,
    by: "root",
    reason: "",
  });
  expect((await importing(dead)).status).toBe(0);
  const shown = await run(process.execPath, [
    program,
    "login",
    "show",
    "user1",
    "--json",
    "--config",
    heir.config,
  ]);
  expect(shown.stdout).toMatch(/"used":41\b/);
  expect((await queue(heir, "thaw", "user3", "--yes")).status).toBe(0);
  expect((await importing(dead)).status).toBe(0);
  expect((await queue(heir, "freeze")).stderr).toBe("0 logins frozen\n");
  const after = await run(process.execPath, [
    program,
    "login",
    "show",
    "user1",
    "--json",
    "--config",
    heir.config,
  ]);
  expect(after.stdout).toMatch(/"used":41\b/);
});

test.runIf(asRoot("take over what belongs to a user of another host"))(
  "root takes over a disk whose files belong to nobody here",
  async () => {
    await heir.start();
    await fill({}, {});
    await runWell("chown", ["-R", "54321:54321", dead]);
    expect((await importing(dead)).stderr).toMatch(/^2 messages taken over/);
    await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0", "number 1"]);
  },
);

test("an ID that is there already becomes another one, and the log tells both", async () => {
  const [id = ""] = await fill({});
  await runWell("cp", ["-a", dead, join(heir.folder, "spool")]);
  await rm(join(heir.folder, "spool", "owner"), { force: true });
  await queue(heir, "hold", "--all", "--yes");
  await heir.start();
  const said = await importing(dead);
  const as = new RegExp(`^${id}: is ([0-9A-F]{12}) here\n`).exec(said.stderr)?.[1] ?? "";
  expect(as).not.toBe("");
  expect(as).not.toBe(id);
  expect(heir.log()).toMatch(new RegExp(`${as}: taken over by .*, there ${id}\n`));
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0"]);
});

test("what is damaged is told and left", async () => {
  await heir.start();
  const [, torn = "", , short = ""] = await fill({}, {}, {}, {});
  await writeFile(join(dead, "queue", torn), "{ torn");
  await writeFile(join(dead, "messages", short), "half");
  const said = await importing("--json", dead);
  expect(said.status).toBe(65);
  const told = said.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, string>>);
  expect(told.filter(({ outcome }) => outcome === "damaged").map((one) => one["queue_id"])).toEqual([
    torn,
    short,
  ]);
  expect(told.filter(({ outcome }) => outcome === "done")).toHaveLength(2);
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0", "number 2"]);
  expect(await idsIn(dead)).toEqual([torn, short]);
});

test("a spool in use, another copy, the relay's own spool and other folders are refused in one line", async () => {
  await heir.start();
  await fill({});
  const copy = join(old.folder, "copy");
  await runWell("cp", ["-a", dead, copy]);
  const owner = await openSpool(dead, () => Date.now());
  for (const words of [[dead], ["--dry-run", dead]]) {
    const used = await importing(...words);
    expect(used.status).toBe(75);
    expect(used.stderr).toMatch(/this spool is in use by process \d+/);
  }
  await owner.close();
  // A mark is what tells a copy.
  await writeFile(join(dead, "owner"), JSON.stringify({ id: "0".repeat(32), host: "old.example.org" }));
  await runWell("cp", ["-a", join(dead, "owner"), join(copy, "owner")]);
  expect((await importing(dead)).status).toBe(0);
  for (const [folder, status, why] of [
    [copy, 65, /was taken over before, and this is another copy of it/],
    [join(heir.folder, "spool"), 64, /this is the spool of this relay itself/],
    [heir.folder, 66, /neither a spool.*nor what queue export writes/],
    [join(heir.folder, "nowhere"), 66, /ENOENT/],
  ] as const) {
    const said = await importing(folder);
    expect(said.stderr).toMatch(why);
    expect(said.stderr.trim().split("\n")).toHaveLength(1);
    expect(said.status).toBe(status);
  }
  expect(await idsIn(copy)).toHaveLength(1);
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0"]);
});

test("what queue export wrote comes back, and once", async () => {
  await fill({ attempts: 3 }, { login: null, sender: "" });
  const folder = join(old.folder, "saved");
  expect((await queue(old, "export", "--all", "--to", folder)).status).toBe(0);
  await heir.start();
  expect((await importing(folder)).stderr).toMatch(/^2 messages taken over/);
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0", "number 1"]);
  expect((await importing(folder)).stderr).toMatch(/^0 messages taken over from \S+, 2 had been before\n$/);
  await pause(500);
  expect(subjects()).toEqual(["number 0", "number 1"]);
});

test("while no relay runs the messages wait for its start", async () => {
  await fill({}, {});
  await heir.start();
  heir.signal("SIGTERM");
  await heir.ended;
  const said = await importing(dead);
  expect(said.stderr).toMatch(/^2 messages taken over/m);
  await heir.start();
  await expect.poll(subjects, { timeout: 30_000 }).toEqual(["number 0", "number 1"]);
});

test("whoever is killed at whatever moment, nothing is lost and nothing comes twice", async () => {
  const count = 500;
  // Held, so that nothing is delivered before they are counted.
  const held = { at: Date.now(), by: "root (uid 0)", reason: "" };
  const spool = await openSpool(dead, () => Date.now(), undefined, journal);
  for (let index = 0; index < count; index += 1) {
    const text = "x".repeat(index % 10 === 0 ? 200_000 : 100);
    await put(spool, { ...soon(), held }, `Subject: number ${index}\r\n\r\n${text}\r\n`);
  }
  await spool.close();
  await queue(heir, "list"); // the first call of a day loads everything
  await heir.start();
  let finished = false;
  const killed = { command: 0, relay: 0 };
  for (let round = 0; round < 40 && !finished; round += 1) {
    const child: ChildProcess = spawn(
      process.execPath,
      [program, "queue", "import", "--config", heir.config, dead],
      { stdio: "ignore" },
    );
    const ended = once(child, "close") as Promise<[number | null]>;
    const dies = round % 2 === 0 ? "command" : "relay";
    const patience = 250 + ((round * 97) % 900);
    const early = await Promise.race([ended, pause(patience)]);
    if (early === undefined) {
      killed[dies] += 1;
      if (dies === "command") child.kill("SIGKILL");
      else {
        heir.signal("SIGKILL");
        await heir.ended;
      }
    }
    const [status] = await ended;
    finished = status === 0;
    if (dies === "relay" && early === undefined) await heir.start();
  }
  expect((await importing(dead)).status).toBe(0);
  expect(killed.command).toBeGreaterThan(0);
  expect(killed.relay).toBeGreaterThan(0);
  expect(await idsIn(dead)).toEqual([]);
  expect((await queue(heir, "release", "--all", "--yes")).status).toBe(0);
  const wanted = Array.from({ length: count }, (_, index) => `number ${index}`).sort();
  await expect.poll(() => idsIn(join(heir.folder, "spool")), { timeout: 60_000 }).toEqual([]);
  expect(subjects()).toEqual(wanted);
});
