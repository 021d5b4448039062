/** PostgreSQL, which several relays share, with a standby that has each commit before it is answered; both sync. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */

const installed = "/usr/lib/postgresql";

/** Where Debian has the programs of the newest version; nothing where it has none. */
function programs() {
  const versions = existsSync(installed) ? readdirSync(installed) : [];
  return versions
    .toSorted((one, other) => Number(other) - Number(one))
    .map((version) => join(installed, version, "bin"))
    .find((folder) => existsSync(join(folder, "pg_basebackup")));
}

/** Whether it can be started here. */
export const hasPostgres = () => programs() !== undefined;

/** It refuses to run as root: then it is its own user. */
function owner() {
  if (process.geteuid?.() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((which) =>
    Number(execFileSync("id", [which, "postgres"], { encoding: "utf8" })),
  );
  return { uid, gid };
}

/** A step of what `run` waits for, in milliseconds, and how long it waits. */
const step = 20;
const patience = 60_000;

/**
 * Starts it, with an empty database of the role `tpa`.
 * @param {Workspace} workspace
 * @param {boolean} hasStandby
 */
export async function startPostgres(workspace, hasStandby) {
  const at = programs() ?? "";
  const folder = await workspace.folderFor("postgres");
  const user = owner();
  const give = (/** @type {string} */ path) => {
    if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid);
  };
  give(folder);
  /** @type {(name: string, ...words: readonly string[]) => string} */
  const run = (name, ...words) =>
    execFileSync(join(at, name), words, {
      ...user,
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  /** @type {import("node:child_process").ChildProcess[]} */
  const servers = [];

  /** @param {string} data @param {number} port */
  async function start(data, port) {
    const server = spawn(join(at, "postgres"), ["-D", data, "-c", `port=${port}`], {
      ...user,
      cwd: folder,
      stdio: "ignore",
    });
    servers.push(server);
    // The last line of that file: miscadmin.h, LOCK_FILE_LINE_PM_STATUS.
    const isReady = () => {
      const file = join(data, "postmaster.pid");
      return existsSync(file) && readFileSync(file, "latin1").split("\n")[7]?.trim() === "ready";
    };
    for (let waited = 0; !isReady(); waited += step) {
      if (server.exitCode !== null || waited > patience) throw new Error("PostgreSQL did not start");
      await pause(step);
    }
  }

  const [first, second] = [join(folder, "first"), join(folder, "second")];
  const to = ["-h", folder, "-p", "5432", "-U", "postgres"];
  const sql = (/** @type {string} */ text) => run("psql", ...to, "-X", "-q", "-A", "-t", "-c", text).trim();
  run("initdb", "-D", first, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C");
  const settings = [
    "listen_addresses = ''",
    `unix_socket_directories = '${folder}'`,
    "shared_buffers = 128MB",
    "max_wal_size = 2GB",
  ];
  writeFileSync(join(first, "postgresql.auto.conf"), `${settings.join("\n")}\n`);
  await start(first, 5432);
  sql("CREATE ROLE tpa LOGIN");
  sql("CREATE DATABASE mail OWNER tpa");
  if (hasStandby) {
    await mkdir(second, { mode: 0o700 });
    give(second);
    run("pg_basebackup", ...to, "-D", second, "-R", "-X", "stream", "-c", "fast");
    await start(second, 5433);
    sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    sql("SELECT pg_reload_conf()");
    while (sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") !== "1")
      await pause(step);
  }
  return workspace.keep(
    Promise.resolve({
      /** For `store` of [spool]. */
      url: `postgresql://tpa@/mail?host=${folder}`,
      /** Of the trees of its processes. */
      roots: () => servers.map(({ pid }) => pid ?? 0),
      async stop() {
        for (const server of servers) {
          if (server.exitCode !== null || server.signalCode !== null) continue;
          const ended = once(server, "close");
          server.kill("SIGQUIT");
          await ended;
        }
      },
    }),
  );
}
