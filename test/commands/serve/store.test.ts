/** The real relay with its queue in PostgreSQL: takes, keeps, delivers, and says what is the matter. */
import { readdir } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { type Cluster, startCluster } from "../../postgres/cluster.ts";
import { real } from "../../tools/real.ts";
import { note, submitAlone } from "./conversation.ts";

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

  test("tells in one line what keeps it from starting", async () => {
    const empty = await prepare(await cluster.database("empty"));
    await expect(empty.start()).rejects.toThrow(
      /the database has no tables of tpa-submit; run tpa-submit spool migrate/,
    );
    const away = await prepare((await cluster.database()).replace(":5432", ":5431"));
    await expect(away.start()).rejects.toThrow(/the database is away: \S+\.s\.PGSQL\.5431: connect ENOENT/);
  });
});
