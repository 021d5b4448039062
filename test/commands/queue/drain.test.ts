/** `tpa-submit queue drain`: planned work on a host, whose mail another one delivers. "ssh" is a script here. */
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { viewSpool } from "../../../src/server/spool/spool.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { note, submitAlone } from "../serve/conversation.ts";
import { queue } from "./operator.ts";

vi.setConfig({ testTimeout: 240_000 });

const relays: Relay[] = [];
let hop: FakeServer;
let tired: Relay;
let other: Relay;

async function host(port: number, name: string): Promise<Relay> {
  const relay = await prepareRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${port}"\nretry-first = "1h"`);
  relays.push(relay);
  const settings = await readFile(relay.config, "utf8");
  await writeFile(relay.config, settings.replace(/^hostname = .*/m, `hostname = "${name}"`));
  await relay.start();
  return relay;
}

beforeEach(async () => {
  hop = await fakeServer();
  tired = await host(await freePort(), "tired.example.org");
  other = await host(hop.port, "other.example.org");
});
afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop();
  await hop.close();
});

/** Runs what it is told to, as a login at the other host would; `first` comes before. */
async function drain(first = "", ...words: readonly string[]): Promise<Ended> {
  const bin = join(tired.folder, "bin");
  await mkdir(bin, { recursive: true });
  const script = `#!/bin/sh\nshift 3\ntest "$1 $2" = "-- other.example.org" || exit 99\n${first}\nexec $3 --config ${other.config}\n`;
  await writeFile(join(bin, "ssh"), script);
  await chmod(join(bin, "ssh"), 0o755);
  const remote = `${process.execPath} ${program} queue import -`;
  const all = ["queue", "drain", "--to", "other.example.org", "--remote", remote, "--yes", ...words];
  return run(process.execPath, [program, ...all, "--config", tired.config], "", {
    PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}`,
  });
}

async function waiting(count: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const id = await submitAlone(tired, note(`n${index}`));
    await tired.logged(new RegExp(`${id}: to=.*status=deferred`));
    ids.push(id);
  }
  return ids;
}

const subjects = (): readonly string[] =>
  hop.received.map(({ message }) => /^Subject: (.*)\r$/m.exec(message)?.[1] ?? "").sort();
const idsIn = async ({ folder }: Relay): Promise<readonly string[]> =>
  (await viewSpool(join(folder, "spool"))).ids();

/** Whether somebody listens there. */
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });

test("all that waits goes to the other host with its holds and logins, and no more mail is taken", async () => {
  const [first = "", second = ""] = await waiting(3);
  await queue(tired, "hold", second, "--reason", "mine", "--yes");
  await queue(tired, "freeze", "user2", "--reason", "stolen");
  const said = await drain("", "--json");
  expect(said.stderr).toMatch(/^3 messages handed to other\.example\.org\n$/m);
  expect(said.status).toBe(0);
  expect(
    said.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object),
  ).toContainEqual({
    queue_id: first,
    new_id: first,
    outcome: "done",
    says: "",
  });
  expect(await idsIn(tired)).toEqual([]);
  expect(await readdir(join(tired.folder, "spool"))).not.toContain("drain");
  expect((await queue(other, "freeze")).stdout).toMatch(/^user2: frozen.*stolen\n$/);
  const [left] = JSON.parse(`[${(await queue(other, "list", "--json", second)).stdout.trim()}]`) as readonly [
    { readonly held: { readonly reason: string } },
  ];
  expect(left.held.reason).toBe("mine");
  // They were tried before, and keep their schedule.
  expect((await queue(other, "retry", "--all", "--yes")).status).toBe(0);
  await expect.poll(subjects, { timeout: 30_000 }).toHaveLength(2);
  expect(await listens(tired.submission)).toBe(false);
  expect((await run(process.execPath, [program, "status", "--config", tired.config])).stdout).toMatch(
    /the queue goes to other\.example\.org/,
  );
});

test("goes on where it was broken off, with nothing twice, and takes mail meanwhile where it is told to", async () => {
  await waiting(2);
  const refused = await drain("exit 3", "--keep-listening");
  expect(refused.status).toBe(69);
  expect(refused.stderr).toMatch(/other\.example\.org: ".*queue import -" ended with status 3; /m);
  expect(await listens(tired.submission)).toBe(true);
  const elsewhere = await run(process.execPath, [
    program,
    ...["queue", "drain", "--to", "third.example.org", "--yes", "--config", tired.config],
  ]);
  expect(elsewhere.status).toBe(75);
  expect(elsewhere.stderr).toMatch(/a drain to other\.example\.org has begun and not ended/);
  // The other host takes all of it, and the answers are lost on the way.
  const deaf = await drain(`timeout 5 $3 --config ${other.config} > /dev/null; exit 4`, "--keep-listening");
  expect(deaf.status).toBe(69);
  expect(await idsIn(tired)).toHaveLength(2);
  await queue(other, "retry", "--all", "--yes");
  const said = await drain("", "--keep-listening");
  expect(said.status, said.stderr).toBe(0);
  expect(await idsIn(tired)).toEqual([]);
  await queue(other, "retry", "--all", "--yes");
  await expect.poll(subjects, { timeout: 30_000 }).toHaveLength(2);
  expect(new Set(subjects()).size).toBe(2);

  // The next drain is another one.
  const [id = ""] = await waiting(1);
  expect((await drain("", "--keep-listening")).status).toBe(0);
  await queue(other, "retry", id, "--yes");
  await expect.poll(subjects, { timeout: 30_000 }).toHaveLength(3);
});

test("words that are missing are told", async () => {
  const { status, stderr } = await queue(tired, "drain", "--yes");
  expect(status).toBe(64);
  expect(stderr).toMatch(/--to: expected a host/);
});

test("a relay that does not run is drained as well", async () => {
  await waiting(2);
  tired.signal("SIGTERM");
  await tired.ended;
  const said = await drain();
  expect(said.stderr).toMatch(/^2 messages handed to other\.example\.org$/m);
  expect(await idsIn(tired)).toEqual([]);
  expect(await idsIn(other)).toHaveLength(2);
});
