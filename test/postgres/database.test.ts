/** The connections to a database that several hosts share, with a real server. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Failure } from "../../src/failure.ts";
import { type Database, DatabaseAway, openDatabase } from "../../src/postgres/database.ts";
import { checkFormat, format, formatOf, migrate } from "../../src/postgres/migrations.ts";
import { type StoreAccess, type StoreSettings, storeAccess } from "../../src/postgres/settings.ts";
import { patiently } from "../../src/server/spool/postgres/patience.ts";
import { selfSigned } from "../tools/certificate.ts";
import { freePort } from "../tools/port.mjs";
import { real } from "../tools/real.ts";
import { accessOf, type Cluster, startCluster } from "./cluster.ts";
import { openWire } from "./wire.ts";

describe.skipIf(!real("postgresql"))("a database of PostgreSQL", () => {
  let cluster: Cluster;
  const opened: Database[] = [];
  beforeAll(async () => {
    cluster = await startCluster();
  }, 120_000);
  afterAll(async () => {
    for (const database of opened) await database.close();
    await cluster?.close();
  }, 60_000);

  async function open(url: string, events: { away?: () => void; back?: () => void } = {}): Promise<Database> {
    const database = await openDatabase(await accessOf(url), "host1", events);
    opened.push(database);
    return database;
  }

  test("gets its tables once, from as many as try", async () => {
    const url = await cluster.database("empty");
    const [one, other] = [await open(url), await open(url)];
    await expect(checkFormat(one)).rejects.toThrow("run tpa-submit spool migrate");
    const done = await Promise.all([migrate(one), migrate(other)]);
    expect(done.flat()).toHaveLength(format);
    await checkFormat(one);
    await one.query("UPDATE tpa_format SET version = 99");
    await expect(checkFormat(other)).rejects.toThrow("has format 99");
    await expect(migrate(other)).rejects.toThrow(Failure);
    expect(await formatOf(one.query)).toBe(99);
  });

  test("gives numbers, octets and nothing, and rolls back what throws", async () => {
    const database = await open(await cluster.database());
    const octets = Buffer.from([0, 255, 92, 39, 10]);
    const [row] = await database.query<{ a: number; b: Buffer; c: null }>(
      "SELECT $1::bigint AS a, $2::bytea AS b, NULL AS c",
      [2 ** 52, octets],
    );
    expect(row).toEqual({ a: 2 ** 52, b: octets, c: null });
    const work = database.transaction(async (query) => {
      await query("INSERT INTO drafts VALUES ('A', 1)");
      throw new Error("enough");
    });
    await expect(work).rejects.toThrow("enough");
    expect(await database.query("SELECT id FROM drafts")).toEqual([]);
  });

  test("commits nothing of a transaction of which one statement failed", async () => {
    const database = await open(await cluster.database());
    const work = database.transaction(async (query) => {
      await query("INSERT INTO drafts VALUES ('A', 1)");
      await query("SELECT nothing").catch(() => undefined);
    });
    await expect(work).rejects.toThrow("rolled back");
    expect(await database.query("SELECT id FROM drafts")).toEqual([]);
  });

  test("hears what is notified, and that something may have been missed", async () => {
    const url = await cluster.database();
    const [one, other] = [await open(url), await open(url)];
    const heard: string[] = [];
    const stop = one.listen("tpa_test", (payload) => heard.push(payload));
    await vi.waitFor(async () => {
      await other.query("SELECT pg_notify('tpa_test', 'a')");
      expect(heard).toContain("a");
    }, 20_000);
    await cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tpa'");
    await vi.waitFor(() => expect(heard).toContain(""), 20_000);
    expect(one.isThere()).toBe(true);
    stop();
  });

  test("is away and comes back, whatever way the server went", async () => {
    const events: string[] = [];
    const url = await cluster.database();
    const database = await open(url, { away: () => events.push("away"), back: () => events.push("back") });
    for (const how of ["fast", "immediate", "kill"] as const) {
      events.length = 0;
      await cluster.stop(how);
      await vi.waitFor(() => expect(events).toEqual(["away"]), 20_000);
      expect(database.isThere()).toBe(false);
      await expect(database.query("SELECT 1")).rejects.toThrow(DatabaseAway);
      expect(await database.there(10)).toBe(false);
      await cluster.start();
      expect(await database.there(20_000)).toBe(true);
      expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      await vi.waitFor(() => expect(events).toEqual(["away", "back"]), 20_000);
    }
  }, 120_000);

  test("does not wait for a server that has fallen silent", async () => {
    const url = await cluster.database();
    const database = await open(url);
    const pids = (
      await database.query<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE usename = 'tpa'")
    ).map(({ pid }) => pid);
    for (const pid of [cluster.pid(), ...pids]) process.kill(pid, "SIGSTOP");
    try {
      await expect(database.query("SELECT 1")).rejects.toThrow(DatabaseAway);
      expect(database.isThere()).toBe(false);
    } finally {
      for (const pid of [cluster.pid(), ...pids]) process.kill(pid, "SIGCONT");
    }
    expect(await database.there(20_000)).toBe(true);
  }, 60_000);

  test("is not asked again at once where a further connection is refused", async () => {
    const url = await cluster.database();
    const wire = await openWire(cluster.folder, cluster.port);
    try {
      const database = await open(wire.through(url));
      const refused = wire.hold();
      const asked = Array.from({ length: 20 }, () =>
        patiently(database, () => database.query("SELECT 1 AS one"), 20_000),
      );
      await pause(1_000);
      expect(database.isThere()).toBe(true); // as far as it knows
      // Eight at a time, after pauses of 50, 100, 200 … milliseconds.
      expect(refused()).toBeLessThan(60);
      wire.heal();
      expect(await Promise.all(asked)).toEqual(asked.map(() => [{ one: 1 }]));
    } finally {
      await wire.close();
    }
  }, 60_000);

  test("tells in one line why it cannot be opened", async () => {
    const url = await cluster.database();
    await expect(open(url.replace(/\/test_\d+\?/, "/nowhere?"))).rejects.toThrow(
      /^\S+: database "nowhere" does not exist$/,
    );
    await expect(open(url.replace(":5432", ":5499"))).rejects.toThrow(/^the database is away: .*ENOENT/);
    await expect(open(url.replace("//tpa@", "//nobody@"))).rejects.toThrow(
      /^\S+: role "nobody" does not exist$/,
    );
  });

  test("is spoken to over TLS with a certificate of the host's name, by a password from a file", async () => {
    const name = /(test_\d+)\?/.exec(await cluster.database())?.[1] ?? "";
    const port = await freePort("127.0.0.1");
    const folder = mkdtempSync(join(tmpdir(), "tpa-pg-tls-"));
    const write = (file: string, text: string): string => {
      const path = join(folder, file);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const { cert: certificate, key } = selfSigned(["localhost", "127.0.0.1"]);
    const secure = await startCluster({
      settings: ["listen_addresses = '127.0.0.1'", "ssl = on", "password_encryption = 'scram-sha-256'"],
      access: ["hostssl all all 127.0.0.1/32 scram-sha-256", "hostnossl all all 127.0.0.1/32 reject"],
      files: { "server.crt": certificate, "server.key": key },
      port,
    });
    try {
      await secure.sql("ALTER ROLE tpa PASSWORD 'correct horse'");
      await secure.sql(`CREATE DATABASE ${name} OWNER tpa`);
      const files = {
        "store-password-file": write("password", "correct horse\n"),
        "store-ca": write("ca", certificate),
      };
      const to = (where: string, more: Partial<StoreSettings> = {}) =>
        storeAccess({ store: where, ...files, "store-certificate": "", "store-key": "", ...more });
      const tcp = (host: string): string => `postgresql://tpa@${host}:${String(port)}/${name}`;
      for (const host of ["127.0.0.1", "localhost"]) {
        const database = await openDatabase(await to(tcp(host)), "host1");
        const rows = await database.query(
          "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        );
        expect(rows).toEqual([{ ssl: true, version: "TLSv1.3" }]);
        await database.close();
      }
      const refused = async (access: Promise<StoreAccess>): Promise<string> =>
        openDatabase(await access, "host1").then(
          () => "opened",
          (error: unknown) => (error instanceof Failure ? error.message : String(error)),
        );
      expect(await refused(to(tcp("127.0.0.1"), { "store-ca": "" }))).toContain("self-signed certificate");
      const other = selfSigned(["db.example.org"]).cert;
      expect(await refused(to(tcp("127.0.0.1"), { "store-ca": write("other", other) }))).toContain(
        "self-signed",
      );
      const wrong = write("wrong", "wrong horse\n");
      const why = await refused(to(tcp("127.0.0.1"), { "store-password-file": wrong }));
      expect(why).toBe(`127.0.0.1:${String(port)}: password authentication failed for user "tpa"`);
      expect(await refused(to(tcp("127.0.0.1"), { "store-password-file": "" }))).toContain(
        "store-password-file of [spool]",
      );
      expect(await refused(to(`${tcp("127.0.0.1")}?sslmode=disable`))).toContain("rejects connection");
    } finally {
      await secure.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 120_000);

  test("is the server that takes writes, and the next one once that is promoted", async () => {
    const standby = await cluster.standby("synchronous");
    const url = cluster.url(/(test_\d+)\?/.exec(await cluster.database())?.[1] ?? "", standby);
    const database = await open(url);
    await database.query("INSERT INTO drafts VALUES ('A', 1)");
    await cluster.stop("immediate");
    await standby.promote();
    expect(await database.there(20_000)).toBe(true);
    expect(await database.query("SELECT id FROM drafts")).toEqual([{ id: "A" }]);
    await database.query("INSERT INTO drafts VALUES ('B', 1)");
  }, 120_000);
});
