/** The real relay with its queue in PostgreSQL: takes, keeps, delivers, and says what is the matter. */
import { readdir } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { type Cluster, startCluster } from "../../postgres/cluster.ts";
import { run } from "../../tools/child.mjs";
import { real } from "../../tools/real.ts";
import { type Conversation, enter, expecting, note, submitAlone } from "./conversation.ts";

vi.setConfig({ testTimeout: 120_000 });

describe.skipIf(!real("postgresql"))("tpa-submit serve with its queue in PostgreSQL", () => {
  let cluster: Cluster;
  const relays: Relay[] = [];
  beforeAll(async () => {
    cluster = await startCluster();
  }, 120_000);
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay.stop();
  });
  afterAll(async () => cluster?.close(), 60_000);

  async function prepare(store: string, more = ""): Promise<Relay> {
    const relay = await prepareRelay(
      `[spool]\ndirectory = "FOLDER/spool"\nstore = "${store}"\nlease = "2s"\n${more}`,
    );
    relays.push(relay);
    return relay;
  }

  /** No route leads anywhere. */
  const nowhere = '[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1s"';

  /** As it was before it was folded to the width. */
  const oneLine = (said: string): string => said.replaceAll(/\s+/g, " ");

  const named = (url: string): string => /(test_\d+)\?/.exec(url)?.[1] ?? "";

  test("delivers what it takes, and leaves nothing behind", async () => {
    const url = await cluster.database();
    const relay = await prepare(url);
    await relay.start();
    const id = await submitAlone(relay, note("one"));
    expect(id).toMatch(/^[0-9A-F]{11}0$/);
    await relay.logged(new RegExp(`${id}: removed`));
    expect(await readdir(relay.delivered)).toContain(`${id}.eml`);
    for (const table of ["messages", "bodies", "history", "drafts"])
      expect(await cluster.sql(`SELECT count(*) FROM ${table}`, named(url))).toBe("0");
  });

  test("has after kill -9 what it promised, and delivers it", async () => {
    const url = await cluster.database();
    const relay = await prepare(url, nowhere);
    await relay.start();
    const ids = [await submitAlone(relay, note("one")), await submitAlone(relay, note("two"))];
    relay.signal("SIGKILL");
    await relay.ended;
    expect(await cluster.sql("SELECT count(*) FROM messages", named(url))).toBe("2");
    await relay.configure(`[spool]\ndirectory = "FOLDER/spool"\nstore = "${url}"`);
    await relay.start();
    for (const id of ids) await relay.logged(new RegExp(`${id}: removed`));
  });

  const withHttp =
    '[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"\n';

  /** Says DATA for a message to somebody, and gives what is answered. */
  async function data(talk: Conversation): Promise<string> {
    await expecting("250", talk.say("MAIL FROM:<user1@example.org>"));
    await expecting("250", talk.say("RCPT TO:<a@example.net>"));
    return talk.say("DATA");
  }

  test("asks clients to wait while the database is away, lets them log in, and goes on when it is back", async () => {
    const url = await cluster.database();
    const relay = await prepare(url, `${nowhere}\n${withHttp}`);
    await relay.start();
    const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
    const health = () => fetch(`http://127.0.0.1:${port}/healthz`);
    expect((await health()).status).toBe(200);
    const before = await submitAlone(relay, note("before"));
    const talk = await enter(relay);
    await cluster.stop("immediate");
    await relay.logged(/the database cannot be reached, no mail is taken or delivered until it can: /);
    expect(await data(talk)).toMatch(/^451 4\.3\.0 .*wait a few minutes/);
    await expecting("250", talk.say("RSET"));
    const another = await enter(relay); // logins need no database
    expect(await data(another)).toMatch(/^451 4\.3\.0 /);
    await vi.waitFor(async () => expect((await health()).status).toBe(503), 20_000);
    expect(await (await health()).text()).toContain("the database is away");
    await cluster.start();
    await relay.logged(/the database is back after \d+ seconds/);
    const after = await submitAlone(relay, note("after"));
    await vi.waitFor(async () => expect((await health()).status).toBe(200), 20_000);
    const ids = await cluster.sql("SELECT id FROM messages ORDER BY id", named(url));
    expect(ids.split("\n")).toEqual([before, after]);
    expect(relay.log()).not.toContain("lost its lease");
    talk.close();
    another.close();
  });

  test("tells of a login that is frozen on this host only, until the others know", async () => {
    const url = await cluster.database();
    const relay = await prepare(url, withHttp);
    const run_ = (...words: readonly string[]) =>
      run(process.execPath, [program, ...words, "--config", relay.config]);
    await relay.start();
    const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
    await cluster.stop("immediate");
    const frozen = await run_("queue", "freeze", "user1", "--yes");
    expect(frozen.stderr).toContain("user1 is frozen on this host, on the others not yet");
    expect(oneLine((await run_("status")).stdout)).toMatch(
      /user1 is frozen on this host only, since \d+s: the others are told as soon as the database is there/,
    );
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toContain("\ntpa_submit_store_frozen_here 1\n");
    relay.signal("SIGKILL");
    await relay.ended;
    await cluster.start();
    const found = await run_("queue", "verify");
    expect(found.stdout + found.stderr).toMatch(
      /user1 is frozen on this host only, since \d{4}-\S+Z: the other hosts let it in/,
    );
    expect(found.status).not.toBe(0);
    expect((await run_("queue", "freeze")).stdout).toMatch(/^user1: frozen since /);
    await relay.start();
    await vi.waitFor(async () => expect(await run_("queue", "verify")).toMatchObject({ status: 0 }), 20_000);
    expect(await cluster.sql("SELECT login FROM frozen", named(url))).toBe("user1");
  });

  test("says who is waited for while a synchronous standby hangs, tells clients to wait, and goes on afterwards", async () => {
    const own = await startCluster({ fsync: true });
    let receiver = 0;
    try {
      const standby = await own.standby("synchronous");
      const name = named(await own.database());
      const relay = await prepare(own.url(name), `${nowhere}\n${withHttp}`);
      await relay.start();
      const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
      const before = await submitAlone(relay, note("before"));
      const talk = await enter(relay);
      receiver = Number(await standby.sql("SELECT pid FROM pg_stat_wal_receiver"));
      process.kill(receiver, "SIGSTOP");

      expect(await data(talk)).toMatch(/^354 /);
      const begun = performance.now();
      expect(await talk.say(`${note("amid")}.`)).toMatch(/^451 4\.3\.0 .*wait a few minutes/);
      expect(performance.now() - begun).toBeLessThan(20_000);
      const why = "a commit has waited \\d+ seconds for a synchronous standby: bring the standby back";
      await relay.logged(new RegExp(`no mail is taken or delivered until it can: ${why}`));
      const health = await fetch(`http://127.0.0.1:${port}/healthz`);
      expect([health.status, await health.text()]).toEqual([503, expect.stringMatching(why)]);
      const words = (command: string) => [program, command, "--config", relay.config];
      const status = await run(process.execPath, words("status"));
      expect(oneLine(status.stdout)).toMatch(new RegExp(`nobody can send: ${why}`));
      expect(status.stdout).toMatch(/^ +store +\S+, away since \d+s: a commit has waited /m);
      expect(status.stdout).not.toContain("the others have its messages");
      const check = await run(process.execPath, words("check"));
      expect(oneLine(check.stdout)).toMatch(
        /none of them has confirmed a commit for \d+ seconds: nobody can send/,
      );
      const list = await run(process.execPath, [program, "queue", "list", "--config", relay.config]);
      expect(list).toMatchObject({ status: 0, stdout: expect.stringContaining(before) });

      process.kill(receiver, "SIGCONT");
      await relay.logged(/the database is back after \d+ seconds/);
      const after = await submitAlone(relay, note("after"));
      await vi.waitFor(
        async () =>
          expect(await own.sql("SELECT id FROM messages ORDER BY id", name)).toBe(`${before}\n${after}`),
        10_000,
      );
      expect(relay.log()).not.toMatch(/\bbug\b/);
      talk.close();
    } finally {
      if (receiver > 0) process.kill(receiver, "SIGCONT");
      for (const relay of relays.splice(0)) await relay.stop();
      await own.close();
    }
  });

  test("goes on with the standby once that is promoted, and has all that was promised", async () => {
    const own = await startCluster();
    try {
      const standby = await own.standby("synchronous");
      const name = named(await own.database());
      const relay = await prepare(own.url(name, standby), nowhere);
      await relay.start();
      const ids = [await submitAlone(relay, note("one"))];
      await own.stop("immediate");
      await standby.promote();
      await vi.waitFor(async () => ids.push(await submitAlone(relay, note("two"))), 30_000);
      expect((await standby.sql("SELECT id FROM messages ORDER BY id", name)).split("\n")).toEqual(ids);
    } finally {
      for (const relay of relays.splice(0)) await relay.stop();
      await own.close();
    }
  });

  test("tells in one line what keeps it from starting", async () => {
    const empty = await prepare(await cluster.database("empty"));
    await expect(empty.start()).rejects.toThrow(
      /the database has no tables of tpa-submit; run tpa-submit spool migrate/,
    );
    const away = await prepare((await cluster.database()).replace(":5432", ":5431"));
    await expect(away.start()).rejects.toThrow(/the database is away: \S+\.s\.PGSQL\.5431: connect ENOENT/);
  });
});
