/** What operators do on one of several hosts, to the messages of all: real relays with one database of Debian's PostgreSQL. */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { listed, queue, well } from "../commands/queue/operator.ts";
import { enter, note, submitAlone } from "../commands/serve/conversation.ts";
import { run } from "../tools/child.mjs";
import { freePort } from "../tools/port.mjs";
import { real } from "../tools/real.ts";
import { type Cluster, startCluster } from "./cluster.ts";

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const [one, two] = ["mail1.example.org", "mail2.example.org"] as const;

describe.skipIf(!real("postgresql"))("two hosts with one database", () => {
  let started: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (started ??= startCluster());
  afterAll(async () => (await started)?.close());

  const relays: Relay[] = [];
  let first: Relay;
  let second: Relay;

  async function host(name: string, store: string, port: number): Promise<Relay> {
    const relay = await prepareRelay(
      `[spool]\ndirectory = "FOLDER/spool"\nstore = "${store}"\nlease = "6s"\n[delivery]\nrelay = "smtp://127.0.0.1:${port}"\nretry-first = "1h"`,
    );
    relays.push(relay);
    const settings = await readFile(relay.config, "utf8");
    await writeFile(relay.config, settings.replace(/^hostname = .*/m, `hostname = "${name}"`));
    return relay;
  }

  beforeEach(async () => {
    const store = await (await cluster()).database();
    const nowhere = await freePort();
    first = await host(one, store, nowhere);
    second = await host(two, store, nowhere);
  });
  afterEach(async () => {
    for (const relay of relays.splice(0)) {
      relay.signal("SIGCONT");
      await relay.stop();
    }
  });

  /** A message that waits at `relay`. */
  async function waiting(relay: Relay): Promise<string> {
    const id = await submitAlone(relay, note("a note"));
    await relay.logged(new RegExp(`${id}: to=.*status=deferred`));
    return id;
  }

  const status = async (relay: Relay) => {
    const said = await run(process.execPath, [program, "status", "--json", "--config", relay.config]);
    return JSON.parse(said.stdout) as {
      readonly hosts?: readonly {
        readonly name: string;
        readonly live: boolean;
        readonly draining: boolean;
        readonly waiting: number;
        readonly own: boolean;
      }[];
      readonly relay?: { readonly store?: { readonly there: boolean } };
      readonly findings: readonly { readonly grade: string; readonly text: string }[];
    };
  };

  test("each shows the messages of both, and changes those of the other, which names who did it", async () => {
    await first.start();
    const ours = await waiting(first);
    expect((await queue(first, "list")).stdout).toMatch(/^ID +STATUS +AGE/); // alone: no column for it
    await second.start();
    const theirs = await waiting(second);
    for (const relay of [first, second]) {
      const { stdout } = await queue(relay, "list");
      expect(stdout).toMatch(/^ID +STATUS +HOST +AGE/);
      expect(stdout).toMatch(new RegExp(`^${ours} +deferred +${one} `, "m"));
      expect(stdout).toMatch(new RegExp(`^${theirs} +deferred +${two} `, "m"));
    }
    expect(await listed(second, ours)).toMatchObject([{ queue_id: ours, host: one, status: "deferred" }]);
    expect((await queue(second, "show", ours)).stdout).toMatch(new RegExp(`^ {2}host +${one}$`, "m"));

    const held = await queue(second, "hold", "--all", "--reason", "odd", "--yes");
    expect(held).toMatchObject({ status: 0, stdout: "2 messages held\n" });
    await first.logged(new RegExp(`${ours}: placed on hold by \\S+ \\(uid \\d+\\) on ${two}: odd`));
    await second.logged(new RegExp(`${theirs}: placed on hold by \\S+ \\(uid \\d+\\): odd`));
    expect((await listed(first)).map((message) => message["status"])).toEqual(["held", "held"]);
    await well(first, "release", theirs, "--yes");
    await second.logged(new RegExp(`${theirs}: released from hold by .* on ${one}`));
    await well(second, "drop", ours, theirs, "--yes");
    expect(await listed(first)).toEqual([]);
    expect(first.log()).toContain(`${ours}: removed`);
  });

  test("one that stands still is named, and does not do later what was said to be undone", async () => {
    for (const relay of [first, second]) {
      const settings = await readFile(relay.config, "utf8");
      await writeFile(relay.config, settings.replace('lease = "6s"', 'lease = "5m"'));
      await relay.start();
    }
    const ours = await waiting(first);
    const theirs = await waiting(second);
    first.signal("SIGSTOP");
    const said = await queue(second, "hold", ours, theirs, "--yes");
    expect(said).toMatchObject({ status: 74, stdout: "1 message held\n" });
    expect(said.stderr).toContain(`${ours}: ${one}: it did not answer within 5 seconds; nothing was changed`);
    first.signal("SIGCONT");
    expect(await queue(second, "hold", theirs, "--yes")).toMatchObject({ status: 0 }); // held already
    await queue(second, "retry", ours, "--yes"); // the first has looked for requests by then
    await first.logged(new RegExp(`${ours}: requeued by .* on ${two}`), 0, 60);
    expect(await listed(second, ours)).toMatchObject([{ status: "deferred", host: one }]);
  });

  test("one that dies is told of, and its messages are the other's", async () => {
    await first.start();
    await second.start();
    const ours = await waiting(first);
    first.signal("SIGKILL");
    await first.ended;
    const changed = async () => (await queue(second, "hold", ours, "--yes")).stdout;
    await expect.poll(changed, { timeout: 60_000, interval: 500 }).toBe("1 message held\n");
    expect(await listed(second)).toMatchObject([{ queue_id: ours, host: two, status: "held" }]);
    const told = await status(second);
    expect(told.hosts).toMatchObject([
      { name: one, live: false, waiting: 0, own: false },
      { name: two, live: true, waiting: 1, own: true, draining: false },
    ]);
    expect(told.relay?.store).toMatchObject({ there: true });
    expect(told.findings.map(({ text }) => text).join("\n")).toContain(`the relay of ${one} is gone since`);
    const text = (await run(process.execPath, [program, "status", "--config", second.config])).stdout;
    expect(text).toMatch(/ store +postgresql:.*there since/);
    expect(text).toMatch(new RegExp(` hosts +${one}: gone, last seen`));
    expect(text).toMatch(new RegExp(`${two} \\(this host\\): 1 message, seen \\d+s ago`));
  });

  test("commands work where no relay runs here, and where none runs anywhere", async () => {
    await second.start();
    second.signal("SIGTERM");
    await second.ended;
    await first.start();
    const ours = await waiting(first);
    expect(await listed(second)).toMatchObject([{ queue_id: ours, host: one }]);
    expect(await queue(second, "hold", ours, "--yes")).toMatchObject({
      status: 0,
      stdout: "1 message held\n",
    });
    await first.logged(new RegExp(`${ours}: placed on hold by .* on ${two}`));
    first.signal("SIGTERM");
    await first.ended;
    const release = async () => (await queue(second, "release", ours, "--yes")).stdout;
    await expect.poll(release, { timeout: 90_000 }).toBe("1 message released\n");
    expect(await listed(second)).toMatchObject([{ queue_id: ours, status: "deferred", host: null }]);
    expect((await queue(second, "summary")).stdout).toMatch(/example\.net +1 /);
    expect((await queue(second, "export", ours)).stdout).toContain("Subject: a note");
    expect(await queue(second, "verify")).toMatchObject({ status: 0, stderr: "no damage\n" });
    await first.start();
    await first.logged(new RegExp(`${ours}: to=.*status=deferred`));
  });

  test("a freeze ends the sessions on all hosts, and counts them", async () => {
    await first.start();
    await second.start();
    const ours = await waiting(first);
    const talk = await enter(first);
    const frozen = await queue(second, "freeze", "user1", "--reason", "stolen");
    expect(frozen.status, frozen.stderr).toBe(0);
    expect(frozen.stdout).toMatch(/^sessions ended: 1$/m);
    expect(frozen.stdout).toMatch(/^messages held: 1$/m);
    talk.close();
    expect(await listed(first, ours)).toMatchObject([
      { status: "held", held: { reason: expect.stringContaining("frozen") } },
    ]);
    expect((await queue(first, "freeze")).stdout).toMatch(/^user1: frozen since .*stolen\n$/);
  });

  test("login show counts the sessions on all hosts, and names one that does not answer", async () => {
    for (const relay of [first, second]) {
      const settings = await readFile(relay.config, "utf8");
      await writeFile(relay.config, settings.replace('lease = "6s"', 'lease = "5m"'));
      await relay.start();
    }
    const show = async (relay: Relay, ...words: readonly string[]) =>
      (await run(process.execPath, [program, "login", "show", "user1", ...words, "--config", relay.config]))
        .stdout;
    const talks = [await enter(first), await enter(first), await enter(second)];
    expect(await show(second)).toMatch(new RegExp(`^ {2}sessions +3: 2 on ${one}, 1 on ${two}$`, "m"));
    expect(JSON.parse(await show(first, "--json"))).toMatchObject({
      relay: {
        sessions: 3,
        hosts: [
          { host: one, sessions: 2 },
          { host: two, sessions: 1 },
        ],
      },
    });
    second.signal("SIGTERM");
    await second.ended;
    expect(await show(second)).toMatch(new RegExp(`^ {2}sessions +2: 2 on ${one}$`, "m")); // no relay runs here
    await second.start();
    first.signal("SIGSTOP");
    expect(await show(second)).toMatch(new RegExp(`^ {2}sessions +0; ${one} does not answer$`, "m"));
    for (const talk of talks) talk.close();
  });

  test("what one host delivers is listed and counted by its name", async () => {
    await first.start();
    await second.start();
    const [ours, theirs] = [await waiting(first), await waiting(second)];
    for (const relay of [first, second]) {
      expect((await listed(relay, "--host", one)).map((message) => message["queue_id"])).toEqual([ours]);
      expect(await listed(relay, "--host", two.toUpperCase(), ours, theirs)).toMatchObject([
        { queue_id: theirs, host: two },
      ]);
      expect((await queue(relay, "summary", "--host", two)).stdout).toMatch(/TOTAL +1 /);
    }
    for (const command of ["list", "summary"]) {
      const typo = await queue(first, command, "--host", "mial1.example.org");
      expect(typo).toMatchObject({ status: 64, stdout: "" });
      expect(typo.stderr).toMatch(
        /no host of this queue is called "mial1\.example\.org"; did you mean mail1\./,
      );
    }
    expect((await queue(first, "list", "--host", "elsewhere")).stderr).toMatch(
      new RegExp(`no host of this queue is called "elsewhere"; those that share it are ${one}, ${two}$`, "m"),
    );
  });

  test("verify finds a message that is not whole, whoever has it", async () => {
    await first.start();
    const ours = await waiting(first);
    const name = /\/(test_\d+)\?/.exec(await readFile(first.config, "utf8"))?.[1] ?? "";
    await (await cluster()).sql(`UPDATE bodies SET octets = substr(octets, 2) WHERE id = '${ours}'`, name);
    const found = await queue(second, "verify");
    expect(found).toMatchObject({ status: 65 });
    expect(found.stderr).toMatch(
      new RegExp(
        `^${ours} in the database: expected a body of \\d+ octets, found \\d+; a repair would leave it`,
      ),
    );
  });

  test("drain gives all to the others within a second or two, and goes on doing so", async () => {
    await first.start();
    const lonely = await queue(first, "drain", "--yes");
    expect(lonely).toMatchObject({ status: 75 });
    expect(lonely.stderr).toContain("no other host is at work with this database");
    await second.start();
    const ids = [await waiting(first), await waiting(first)];
    const said = await queue(first, "drain", "--keep-listening", "--yes");
    expect(said).toMatchObject({ status: 0, stderr: "2 messages given to the other hosts\n" });
    const hosts = async () => (await listed(second)).map((message) => message["host"]);
    await expect.poll(hosts, { timeout: 20_000 }).toEqual([two, two]);
    const late = await waiting(first);
    await expect.poll(hosts, { timeout: 20_000 }).toEqual([two, two, two]);
    expect((await status(second)).hosts).toMatchObject([{ name: one, draining: true, waiting: 0 }, {}]);
    expect((await listed(second)).map((message) => message["queue_id"])).toEqual([...ids, late]);
    expect(await queue(first, "drain", "--to", two, "--yes")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("the other hosts share this one's database"),
    });
    expect(await queue(first, "drain", "--yes")).toMatchObject({ status: 0 });
    expect((await status(first)).findings.map(({ text }) => text).join("\n")).toContain(
      "the queue goes to the other hosts",
    );
  });
});
