/** `tpa-submit queue` beside a relay that runs: orders through the control socket. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { asRoot } from "../../tools/as-root.ts";
import { copyElsewhere, type Elsewhere } from "../../tools/elsewhere.ts";
import { until } from "../../tools/until.ts";
import { note, submitAlone } from "../serve/conversation.ts";
import { listed, queue, well } from "./operator.ts";

// Each of the calls starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let relay: Relay;
beforeEach(async () => {
  relay = await startRelay('[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1h"');
});
afterEach(() => relay.stop());

/** Sends a message that nobody takes, and waits until that was tried. */
async function stuck(token: string, to: readonly string[] = ["x@example.net"]): Promise<string> {
  const id = await submitAlone(relay, note(token), { to });
  await until("the attempt to be recorded", async () => {
    const [one] = await listed(relay, id);
    return one?.["status"] === "deferred" ? true : undefined;
  });
  return id;
}

const inQueue = async (): Promise<readonly string[]> =>
  (await readdir(join(relay.folder, "spool/queue"))).sort();

test("lists what waits, in a table, as JSON with the keys of postqueue -j, and as mailq does", async () => {
  const one = await stuck("one");
  const two = await stuck("two", ["y@example.net", "z@example.com"]);
  const table = await well(relay, "list");
  expect(table).toMatch(/^ID +STATUS +AGE +SIZE +TRIES +LOGIN +SENDER +RECIPIENTS +WHY\n/);
  expect(table).toMatch(
    new RegExp(
      `^${one}  deferred +\\d+s +\\d+ +1  user1  user1@example\\.org  x@example\\.net .*4\\.4\\.1`,
      "m",
    ),
  );
  expect(table).toContain("y@example.net,z@example.com");
  expect(await well(relay, "list", "--host", "Relay.example.org")).toContain(`\n${one}  deferred`);
  expect(await listed(relay)).toMatchObject([
    {
      queue_name: "deferred",
      queue_id: one,
      forced_expire: false,
      sender: "user1@example.org",
      recipients: [{ address: "x@example.net", delay_reason: expect.stringContaining("127.0.0.1") }],
      login: "user1",
      attempts: 1,
    },
    { queue_id: two },
  ]);
  const mailq = await well(relay, "list", "--format", "mailq");
  expect(mailq.split("\n")[1]).toMatch(
    new RegExp(`^${one} +\\d+ [A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d [\\d:]{8}  user1@example\\.org$`),
  );
  expect(mailq).toMatch(/^-- \d+ Kbytes in 2 Requests\.\n$/m);
});

test("shows envelope, history, header and, on request, the body", async () => {
  const id = await stuck("to be shown");
  const short = await well(relay, "show", id);
  expect(short).toMatch(/status +deferred, next attempt in \d+[hm], /);
  expect(short).toContain("Subject: to be shown");
  expect(short).not.toContain("Hello");
  expect(short).toMatch(/History\n {2}x@example\.net .*4\.4\.1/);
  expect(await well(relay, "show", "--body", id)).toContain("\n\nHello\n");
  expect(JSON.parse(await well(relay, "show", "--json", id))).toMatchObject({
    queue_id: id,
    history: [{ recipient: "x@example.net", status: "4.4.1" }],
  });
});

test("holds, releases and tries anew; each is in the log with who did it", async () => {
  const id = await stuck("on hold");
  expect(await well(relay, "hold", id, "--reason", "looks odd", "--yes")).toBe("1 message held\n");
  expect(await listed(relay, "--status", "held")).toMatchObject([
    { queue_id: id, held: { reason: "looks odd" } },
  ]);
  await relay.logged(
    new RegExp(`postsuper\\[\\d+\\]: ${id}: placed on hold by \\S+ \\(uid \\d+.*: looks odd`),
  );
  expect((await queue(relay, "retry", id, "--yes")).stderr).toContain("held; release it first");
  expect((await queue(relay, "hold", id, "--yes")).stderr).toContain("held already");
  const before = relay.log().length;
  expect(await well(relay, "release", id, "--yes")).toBe("1 message released\n");
  await relay.logged(new RegExp(`${id}: to=<x@example.net>.*status=deferred`), before);
  const again = relay.log().length;
  expect(await well(relay, "retry", id, "--yes")).toBe("1 message tried now\n");
  await relay.logged(new RegExp(`${id}: to=<x@example.net>.*status=deferred`), again);
  const shown = await well(relay, "show", id);
  expect(shown).toMatch(/^ {2}\S+Z hold by \S+ \(uid \d+.*\): looks odd\n {2}\S+Z release by \S+ \(uid \d+/m);
  const { history } = JSON.parse(await well(relay, "show", "--json", id)) as { history: object[] };
  expect(history).toContainEqual({
    at: expect.stringMatching(/Z$/),
    act: "hold",
    by: expect.stringMatching(/uid/),
    reason: "looks odd",
  });
});

test("gives up with a report, and without", async () => {
  const [bounced, dropped] = [await stuck("to be returned"), await stuck("to be dropped")];
  expect(await well(relay, "bounce", bounced, "--reason", "5.4.1 gone for good", "--yes")).toBe(
    "1 message returned to sender\n",
  );
  const [, report] = await relay.logged(new RegExp(`${bounced}: sender non-delivery notification: (\\w+)`));
  expect(await readFile(join(relay.folder, `spool/messages/${report}`), "utf8")).toContain("gone for good");
  await relay.logged(new RegExp(`${bounced}: to=<x@example.net>, relay=none.*dsn=5.4.1, status=bounced`));
  expect(await well(relay, "drop", dropped, "--yes")).toBe("1 message removed\n");
  expect(await inQueue()).toEqual([report]);
});

test("redirects to another relay", async () => {
  const id = await stuck("to go elsewhere");
  const elsewhere = `file:${relay.folder}/delivered`;
  await well(relay, "redirect", id, "--relay", elsewhere, "--yes");
  await relay.logged(new RegExp(`${id}: removed`));
  expect(await readdir(relay.delivered)).toContain(`${id}.eml`);
});

describe("refuses, in one line,", () => {
  const cases: readonly (readonly [name: string, words: readonly string[], status: number, line: RegExp])[] =
    [
      ["an ID that is none", ["hold", "xyz"], 64, /"xyz" is no queue ID: expected 12 hexadecimal digits/],
      [
        "an ID that is not there",
        ["hold", "0123456789AB"],
        66,
        /^0123456789AB: not in the queue\nno messages\n$/,
      ],
      ["to change everything for want of a word", ["drop"], 64, /which messages\?/],
      ["IDs together with --all", ["drop", "--all", "0123456789AB"], 64, /--all does not go together/],
      [
        "a time that is none",
        ["list", "--older-than", "soon"],
        64,
        /--older-than <time>: expected a duration/,
      ],
      ["a status that is none", ["list", "--status", "lost"], 64, /--status <status>: expected one of/],
      ["a relay that is none", ["redirect", "--all", "--relay", "example.org"], 64, /--relay: expected "mx"/],
      [
        "another host, where the queue is in files",
        ["list", "--host", "mail2.example.org"],
        64,
        /--host "mail2\.example\.org": this queue is \S+'s alone; several hosts have one with spool\.store/,
      ],
      ["a word that is none", ["freze"], 64, /there is no "queue freze"; did you mean "freeze"\?/],
      ["to thaw who is not frozen", ["thaw", "user1", "--yes"], 66, /user1 is not frozen/],
    ];
  test.each(cases)("%s", async (_, [word = "", ...words], status, line) => {
    const said = await queue(relay, word, ...words);
    expect(said.stderr).toMatch(line);
    expect(said).toMatchObject({ status, stdout: "" });
  });
});

test("changes nothing unless it is told --yes where there is no terminal", async () => {
  const id = await stuck("safe");
  const said = await queue(relay, "drop", "--all");
  expect(said).toMatchObject({ status: 64, stdout: "" });
  expect(said.stderr).toContain(id);
  expect(said.stderr).toMatch(/there is no terminal to ask on; say --yes to drop 1 message$/m);
  expect((await queue(relay, "drop", "--all", "--dry-run")).status).toBe(0);
  expect(await inQueue()).toEqual([id]);
});

test("keeps the socket to its owner and group, replaces one that a killed relay left, and takes it away at the end", async () => {
  const socket = join(relay.folder, "spool/control");
  const { mode } = await stat(socket);
  expect(mode & 0o777).toBe(0o660);
  relay.signal("SIGKILL");
  await relay.ended;
  expect((await stat(socket)).isSocket()).toBe(true);
  await relay.start();
  expect(await well(relay, "list")).toBe("");
  relay.signal("SIGTERM");
  await relay.ended;
  await expect(stat(socket)).rejects.toThrow("ENOENT");
});

test.runIf(asRoot("run the program as another user, of a group"))(
  "takes orders of who is in the socket's group only, and of nobody else",
  async () => {
    const socket = join(relay.folder, "run/control");
    await chmod(relay.folder, 0o755);
    await mkdir(join(relay.folder, "run"), { mode: 0o755 });
    relay.signal("SIGTERM");
    await relay.ended;
    await relay.configure(
      `[control]\nsocket = "${socket}"\n[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1h"`,
    );
    await relay.start();
    const id = await stuck("for the group");
    await chown(socket, 0, group);
    const theirs = await copyElsewhere();
    onTestFinished(() => theirs.remove());
    const as = runner(theirs);
    const inside = await as({ uid: 64_000, gid: group }, "hold", "--all", "--yes");
    expect(inside).toMatchObject({ status: 0, stdout: "1 message held\n" });
    expect((await as({ uid: 64_000, gid: group }, "list")).stdout).toContain(id);
    const outside = await as({ uid: 64_000, gid: 64_000 }, "release", "--all", "--yes");
    expect(outside).toMatchObject({ status: 77, stdout: "" });
    expect(outside.stderr).toMatch(/the relay cannot be asked: .*EACCES.*in the group of this socket\n$/);
  },
);

/** nogroup. */
const group = 65_534;

/** Runs our program as a plain user: what that one gets to see. */
const runner =
  ({ node, program }: Elsewhere) =>
  async (user: { readonly uid: number; readonly gid: number }, word: string, ...words: readonly string[]) => {
    const child = spawn(node, [program, "queue", word, "--config", relay.config, ...words], {
      ...user,
      cwd: "/",
    });
    const [stdout, stderr, [status]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close") as Promise<[number | null]>,
    ]);
    return { status, stdout, stderr };
  };
