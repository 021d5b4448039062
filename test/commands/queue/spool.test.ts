/** `tpa-submit queue` where no relay runs: on the spool itself, under its lock. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { openSpool, viewSpool } from "../../../src/server/spool/spool.ts";
import { put } from "../../server/queue/test-scheduler.ts";
import { asRoot } from "../../tools/as-root.ts";
import { copyElsewhere } from "../../tools/elsewhere.ts";
import { real } from "../../tools/real.ts";
import { authPlain, greet } from "../serve/conversation.ts";
import { listed, queue, well } from "./operator.ts";

// Each of the calls starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let relay: Relay;
let spool: string;
let log: string;
beforeEach(async () => {
  relay = await prepareRelay();
  spool = join(relay.folder, "spool");
  log = join(relay.folder, "log");
});
afterEach(() => relay.stop());

const withLog = (): Promise<void> => relay.configure('[log]\ntarget = "file:FOLDER/log"');

/** Messages in the spool of a relay that does not run. */
async function filled(...more: readonly Parameters<typeof put>[1][]): Promise<readonly string[]> {
  const opened = await openSpool(spool, () => Date.now());
  const ids: string[] = [];
  for (const one of more) ids.push((await put(opened, { accepted: Date.now(), due: Date.now(), ...one })).id);
  await opened.close();
  return ids;
}

const inQueue = async (): Promise<readonly string[]> => (await viewSpool(spool)).ids();

test("does every act, and the log says who did it", async () => {
  await withLog();
  const [a = "", b = "", c = "", d = ""] = await filled({ login: "user1" }, { login: "user2" }, {}, {});
  await well(relay, "hold", a, b, "--reason", "odd", "--yes");
  expect((await listed(relay, "--status", "held")).map((one) => one["queue_id"])).toEqual([a, b]);
  await well(relay, "release", "--user", "USER2@example.org", "--yes");
  expect((await listed(relay, "--status", "held")).map((one) => one["queue_id"])).toEqual([a]);
  await well(relay, "bounce", c, "--reason", "gone", "--yes");
  await well(relay, "drop", d, "--yes");
  await well(relay, "redirect", b, "--relay", "smtp://relay.example.org:25", "--yes");
  expect(await listed(relay, b)).toMatchObject([{ relay: "smtp://relay.example.org:25" }]);
  expect(await inQueue()).toHaveLength(3); // a, b and the report about c
  const said = await readFile(log, "utf8");
  expect(said).toMatch(new RegExp(`${a}: placed on hold by \\S+ \\(uid \\d+.*\\): odd$`, "m"));
  for (const words of [
    `${b}: released from hold`,
    `${c}: returned to sender`,
    `${d}: deleted`,
    `${b}: redirected`,
  ]) {
    expect(said).toContain(words);
  }
  expect(await readdir(spool)).not.toContain("control");
});

test("freezes a login, which the next start knows", async () => {
  await filled({ login: "user1" }, { login: "user2" });
  expect(await well(relay, "freeze", "user1", "--json")).toContain('"held":1');
  expect((await listed(relay)).map((one) => one["status"])).toEqual(["held", "waiting"]);
  await relay.start();
  const talk = await greet(relay, "submissions");
  expect(await talk.say(authPlain(relay.login, relay.password))).toMatch(/^525 5\.7\.13 /);
  talk.close();
  await relay.logged(/: removed/); // user2's
  expect((await listed(relay)).map((one) => one["status"])).toEqual(["held"]);
});

test("refuses while another process has the spool and nobody answers at the socket", async () => {
  await filled({});
  const owner = await openSpool(spool, () => Date.now());
  const said = await queue(relay, "hold", "--all", "--yes");
  await owner.close();
  expect(said).toMatchObject({ status: 75, stdout: "" });
  expect(said.stderr).toMatch(
    /this spool is in use by process \d+, since \S+, but nobody answers at \S+\/spool\/control; /,
  );
  expect(said.stderr.trim().split("\n")).toHaveLength(1);
});

test("says so where there is no spool, and makes none", async () => {
  for (const word of ["list", "hold"]) {
    const said = await queue(relay, word, ...(word === "hold" ? ["--all", "--yes"] : []));
    expect(said.status).toBe(66);
    expect(said.stderr).toMatch(/spool: .*(no spool is there|cannot be read)/);
  }
  await expect(stat(spool)).rejects.toThrow("ENOENT");
});

test.runIf(asRoot("work as another user's spool wants it"))(
  "works as the spool's owner when root runs it, so that the relay can read it",
  async () => {
    await filled({});
    await withLog();
    const nobody = 65_534;
    await chmod(relay.folder, 0o755);
    for (const path of [
      spool,
      ...(await readdir(spool, { recursive: true })).map((name) => join(spool, name)),
    ]) {
      await chown(path, nobody, nobody);
    }
    await writeFile(log, "");
    await chown(log, nobody, nobody);
    await well(relay, "hold", "--all", "--yes");
    const [id = ""] = await inQueue();
    expect((await stat(join(spool, "queue", id))).uid).toBe(nobody);
    expect(await readFile(log, "utf8")).toMatch(/placed on hold by root \(uid 0/);
  },
);

test.runIf(asRoot("run the program as another user"))("tells who may not that they may not", async () => {
  await filled({});
  await chmod(relay.folder, 0o755);
  const theirs = await copyElsewhere();
  onTestFinished(() => theirs.remove());
  const child = spawn(theirs.node, [theirs.program, "queue", "list", "--config", relay.config], {
    cwd: "/",
    uid: 65_534,
    gid: 65_534,
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, "close")) as [number];
  expect(status).toBe(77);
  expect(stderr).toMatch(/EACCES.*; run the command as root/);
});

test.skipIf(!real("script"))("asks on a terminal, and takes nothing but yes for a yes", async () => {
  const ids = await filled({}, {});
  const words = `queue drop --all --config ${relay.config}`;
  async function answered(answer: string): Promise<string> {
    const child = spawn("script", ["-qec", `${process.execPath} ${program} ${words}`, "/dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, SHELL: "/bin/sh" },
    });
    let shown = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const before = shown.includes("[y/N]");
      shown += text;
      if (!before && shown.includes("[y/N]")) child.stdin.write(answer);
    });
    await once(child, "close");
    return shown;
  }
  const shown = await answered("\r");
  expect(shown).toMatch(/ID +STATUS/);
  expect(shown).toContain("drop 2 messages? [y/N]");
  await answered("\x03");
  await answered("no\r");
  expect(await inQueue()).toEqual(ids);
  expect(await answered("y\r")).toContain("2 messages removed");
  expect(await inQueue()).toEqual([]);
});

test("exports messages octet by octet, and shows those of strangers without their control characters", async () => {
  const text = "Subject: \x1b[31mred\x1b[0m\r\n\r\nFrom the start\r\n>From here\r\n\x07\x9b1m";
  const [id = ""] = await filled({ sender: "a@example.org" });
  const opened = await openSpool(spool, () => Date.now());
  const odd = await put(opened, { sender: "a@example.org" }, text);
  await opened.close();
  const folder = join(relay.folder, "out");
  await mkdir(folder);
  expect((await queue(relay, "export", "--all", "--to", folder)).stderr).toMatch(/^2 messages in /);
  expect(await readFile(join(folder, `${odd.id}.eml`), "latin1")).toBe(text);
  expect(JSON.parse(await readFile(join(folder, `${id}.json`), "utf8"))).toMatchObject({
    queue_id: id,
    envelope: { id },
  });
  expect(await well(relay, "export", odd.id)).toMatch(
    /^From a@example\.org \w{3} \w{3} \d\d [\d:]{8} \d{4}\nSubject: /,
  );
  expect(await well(relay, "export", odd.id)).toContain("\n>From the start\n>>From here\n");
  const shown = await well(relay, "show", "--body", odd.id);
  expect(shown).toContain("Subject: \\x1b[31mred\\x1b[0m\n");
  expect(shown).not.toMatch(/(?!\n)\p{Cc}/u);
});

test("finds damage and, told to, sets it aside", async () => {
  const [id = ""] = await filled({}, {});
  await writeFile(join(spool, "queue", id), "{ torn");
  const found = await queue(relay, "verify");
  expect(found.status).toBe(65);
  expect(found.stderr).toMatch(new RegExp(`queue/${id}: .*; a repair would set`));
  expect(await listed(relay, "--status", "damaged")).toMatchObject([{ queue_id: id, queue_name: "corrupt" }]);
  expect((await queue(relay, "verify", "--repair", "--yes")).status).toBe(0);
  expect(await readdir(join(spool, "damaged"))).not.toEqual([]);
  expect((await queue(relay, "verify")).stderr).toBe("no damage\n");
  expect(await inQueue()).toHaveLength(1);
});
