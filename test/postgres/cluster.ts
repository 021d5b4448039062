/**
 * PostgreSQL of Debian in a temporary folder, on a Unix socket: one server for a test file, a database for each test.
 *
 *     const cluster = startCluster();            // while tests are being declared, behind real("postgresql")
 *     test("…", async () => { const url = await (await cluster).database(); … });
 *     afterAll(async () => (await cluster).close());
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { openDatabase } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrations.ts";
import { storeAccess } from "../../src/postgres/settings.ts";
import { postgresFolder } from "../tools/real.ts";

const run = promisify(execFile);

/** How a server is stopped: pg_ctl(1). "immediate" is what a crash leaves. */
const stopSignals = { smart: "SIGTERM", fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;

export interface Cluster {
  /** Of its sockets. */
  readonly folder: string;
  readonly port: number;
  /** Of the server, while it runs: kill(2) with SIGSTOP makes it silent. */
  pid(): number;
  /** Makes a database of its own, and gives its URL. It has the tables of the program unless it is to be `empty`. */
  database(empty?: "empty"): Promise<string>;
  /** The URL of a database of that name, as the role that owns it. Of several servers: all their ports, in that order. */
  url(database: string, ...others: readonly Cluster[]): string;
  /** What an administrator says, in the words of psql(1): a line for each row, "|" between columns. */
  sql(text: string, database?: string): Promise<string>;
  stop(how?: keyof typeof stopSignals): Promise<void>;
  /** Starts it again after a stop. */
  start(): Promise<void>;
  /** A second server, which follows this one. With "synchronous" no commit is answered before it is there as well. */
  standby(how?: "synchronous"): Promise<Cluster>;
  /** Makes a standby a server that takes writes. */
  promote(): Promise<void>;
  /** Ends it, and its standbys, and removes all that is left of it. */
  close(): Promise<void>;
}

export interface ClusterOptions {
  /** Whether it keeps what it promises when the machine dies. Tests that are about that want it; it costs time. */
  readonly fsync?: boolean;
  /** Lines for postgresql.conf and for the top of pg_hba.conf. */
  readonly settings?: readonly string[];
  readonly access?: readonly string[];
  /** Files in its folder, by name: a certificate and its key. */
  readonly files?: Readonly<Record<string, string>>;
  /** 5432 where it is only the name of a socket. */
  readonly port?: number;
}

/** The role of the program, which may do nothing but what is in its own databases. */
export const role = "tpa";

export async function startCluster({
  fsync = false,
  settings = [],
  access = [],
  files = {},
  port = 5432,
}: ClusterOptions = {}): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), "tpa-pg-"));
  give(folder);
  const data = join(folder, `data-${String(port)}`);
  await program(
    "initdb",
    "-D",
    data,
    "-U",
    "postgres",
    "--auth=trust",
    "--no-sync",
    "-E",
    "UTF8",
    "--locale=C",
  );
  const lines = [
    "listen_addresses = ''",
    `unix_socket_directories = '${folder}'`,
    "shared_buffers = 32MB",
    "max_connections = 120",
    "wal_keep_size = 64MB",
    "timezone = 'UTC'",
    `fsync = ${fsync ? "on" : "off"}`,
    ...settings,
  ];
  writeFileSync(join(data, "postgresql.auto.conf"), `${lines.join("\n")}\n`);
  writeFileSync(
    join(data, "pg_hba.conf"),
    [...access, "local all all trust", "local replication all trust", ""].join("\n"),
  );
  for (const [name, text] of Object.entries(files)) {
    const path = join(data, name);
    writeFileSync(path, text, { mode: 0o600 });
    give(path);
  }
  const cluster = newCluster(folder, port, async () => rmSync(folder, { recursive: true, force: true }));
  await cluster.start();
  await cluster.sql(`CREATE ROLE ${role} LOGIN`);
  return cluster;
}

function newCluster(folder: string, port: number, clear: () => Promise<void>): Cluster {
  const data = join(folder, `data-${String(port)}`);
  let server: ChildProcess | undefined;
  let databases = 0;
  let template: Promise<string> | undefined;
  const standbys: Cluster[] = [];

  async function sql(text: string, database = "postgres"): Promise<string> {
    const words = [
      "-X",
      "-q",
      "-A",
      "-t",
      "-v",
      "ON_ERROR_STOP=1",
      "-h",
      folder,
      "-p",
      String(port),
      "-U",
      "postgres",
    ];
    return (await program("psql", ...words, "-d", database, "-c", text)).trimEnd();
  }

  const url = (database: string, ...others: readonly Cluster[]): string =>
    `postgresql://${role}@${[port, ...others.map((one) => one.port)].map((one) => `:${String(one)}`).join(",")}/${database}?host=${folder}`;

  async function create(name: string, from?: string): Promise<string> {
    await sql(`CREATE DATABASE ${name} OWNER ${role}${from === undefined ? "" : ` TEMPLATE ${from}`}`);
    return name;
  }

  async function newTemplate(): Promise<string> {
    const name = await create(`template_${String(port)}`);
    const database = await openDatabase(await accessOf(url(name)), "tests");
    try {
      await migrate(database);
    } finally {
      await database.close();
    }
    return name;
  }

  async function start(): Promise<void> {
    const log = openSync(join(folder, `log-${String(port)}`), "a");
    const words = ["-D", data, "-c", `port=${String(port)}`];
    const child = spawn(bin("postgres"), words, { stdio: ["ignore", log, log], ...owner(), cwd: folder });
    closeSync(log);
    server = child;
    for (let waited = 0; !isReady(data); waited += 20) {
      if (child.exitCode !== null || child.signalCode !== null || waited > 120_000)
        throw new Error(
          `PostgreSQL did not start:\n${readFileSync(join(folder, `log-${String(port)}`), "utf8")}`,
        );
      await sleep(20);
    }
  }

  async function stop(how: keyof typeof stopSignals = "fast"): Promise<void> {
    const child = server;
    server = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(stopSignals[how]);
    child.kill("SIGCONT"); // it may have been made silent
    await ended;
    // The processes of a server that was killed notice on their own.
    if (how === "kill") await sleep(200);
  }

  return {
    folder,
    port,
    pid: () => server?.pid ?? 0,
    url,
    sql,
    async database(empty) {
      databases += 1;
      const name = `test_${String(databases)}`;
      if (empty === undefined) template ??= newTemplate();
      return url(await create(name, await (empty === undefined ? template : undefined)));
    },
    start,
    stop,
    async standby(how) {
      const other = port + 1 + standbys.length;
      const target = join(folder, `data-${String(other)}`);
      mkdirSync(target, { mode: 0o700 });
      give(target);
      const from = ["-h", folder, "-p", String(port), "-U", "postgres"];
      const slot = `standby_${String(other)}`;
      await program(
        "pg_basebackup",
        ...from,
        "-D",
        target,
        "-R",
        "-X",
        "stream",
        "-C",
        "-S",
        slot,
        "-c",
        "fast",
        "--no-sync",
      );
      const standby = newCluster(folder, other, async () => undefined);
      standbys.push(standby);
      await standby.start();
      if (how === "synchronous") {
        await sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        await sql("SELECT pg_reload_conf()");
        for (;;) {
          if ((await sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")) === "1")
            break;
          await sleep(20);
        }
      }
      return standby;
    },
    async promote() {
      await sql("SELECT pg_promote()");
      for (;;) {
        if ((await sql("SELECT pg_is_in_recovery()")) === "f") break;
        await sleep(20);
      }
      // The old one is not there any more to confirm anything.
      await sql("ALTER SYSTEM RESET synchronous_standby_names");
      await sql("SELECT pg_reload_conf()");
    },
    async close() {
      for (const standby of standbys) await standby.close();
      await stop("immediate");
      await clear();
    },
  };
}

/** How `url` is reached, for a test that talks to the database itself. */
export const accessOf = (store: string) =>
  storeAccess({
    store,
    "store-password-file": "",
    "store-ca": "",
    "store-certificate": "",
    "store-key": "",
  });

const bin = (name: string): string => join(postgresFolder() ?? "", name);

async function program(name: string, ...words: readonly string[]): Promise<string> {
  const { stdout } = await run(bin(name), words, { ...owner(), cwd: tmpdir(), maxBuffer: 64 * 2 ** 20 });
  return stdout;
}

/** The last line of the file that tells of its state: miscadmin.h, LOCK_FILE_LINE_PM_STATUS. */
function isReady(data: string): boolean {
  try {
    return readFileSync(join(data, "postmaster.pid"), "latin1").split("\n")[7]?.trim() === "ready";
  } catch {
    return false; // not yet there
  }
}

interface Ids {
  readonly uid: number;
  readonly gid: number;
}

let known: Ids | undefined;

/** PostgreSQL refuses to run as root: then it is its own user, or nobody. */
function owner(): Ids | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  known ??= idsOf("postgres") ?? idsOf("nobody");
  return known;
}

function idsOf(user: string): Ids | undefined {
  const [uid, gid] = ["-u", "-g"].map((option) =>
    Number.parseInt(spawnSync("id", [option, user], { encoding: "utf8" }).stdout, 10),
  );
  return Number.isNaN(uid ?? Number.NaN) ? undefined : { uid: uid ?? 0, gid: gid ?? 0 };
}

function give(folder: string): void {
  const ids = owner();
  if (ids) chownSync(folder, ids.uid, ids.gid);
}
