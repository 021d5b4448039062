/**
 * PostgreSQL of Debian on the disk of the bench, with its promises on the disk, for the figures of a shared spool; also with a
 * standby that has each of them before it is answered.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const installed = "/usr/lib/postgresql";

/** Where its programs are; undefined where it is not installed. */
export function postgresPrograms() {
  if (!existsSync(installed)) return undefined;
  const folders = readdirSync(installed).map((version) => join(installed, version, "bin"));
  return folders
    .filter((folder) => existsSync(join(folder, "postgres")))
    .sort()
    .at(-1);
}

/** It refuses to run as root. */
function itsUser() {
  if (process.geteuid?.() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((option) =>
    Number(spawnSync("id", [option, "postgres"], { encoding: "utf8" }).stdout),
  );
  return { uid, gid };
}

/**
 * Starts one below `parent`.
 * @param {string} parent
 * @param {string} programs
 * @param {boolean} [hasStandby]
 */
export async function startPostgres(parent, programs, hasStandby = false) {
  const folder = mkdtempSync(join(parent, "pg-"));
  const user = itsUser();
  if ("uid" in user && user.uid !== undefined && user.gid !== undefined)
    chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const options = { ...user, cwd: folder };
  const words = ["-D", data, "-U", "tpa", "--auth=trust", "-E", "UTF8", "--locale=C"];
  await run(join(programs, "initdb"), words, options);
  const settings = [
    "listen_addresses = ''",
    `unix_socket_directories = '${folder}'`,
    "shared_buffers = 128MB",
  ];
  writeFileSync(join(data, "postgresql.auto.conf"), `${settings.join("\n")}\n`);
  /** @param {string} at @param {string} port */
  async function start(at, port) {
    const words = ["-D", at, "-c", `port=${port}`];
    const server = spawn(join(programs, "postgres"), words, { ...options, stdio: "ignore" });
    const isReady = () => {
      const file = join(at, "postmaster.pid");
      return existsSync(file) && readFileSync(file, "latin1").split("\n")[7]?.trim() === "ready";
    };
    while (!isReady()) {
      if (server.exitCode !== null) throw new Error("PostgreSQL did not start");
      await pause(20);
    }
    return server;
  }

  const to = ["-h", folder, "-p", "5432", "-U", "tpa"];
  async function sql(/** @type {string} */ text, database = "postgres") {
    const words = [...to, "-d", database, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text];
    return (await run(join(programs, "psql"), words, options)).stdout.trim();
  }

  const servers = [await start(data, "5432")];
  if (hasStandby) {
    const copy = join(folder, "standby");
    await run(
      join(programs, "pg_basebackup"),
      [...to, "-D", copy, "-R", "-X", "stream", "-c", "fast"],
      options,
    );
    servers.push(await start(copy, "5433"));
    await sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await sql("SELECT pg_reload_conf()");
    while ((await sql("SELECT sync_state FROM pg_stat_replication")) !== "sync") await pause(20);
  }
  let databases = 0;
  return {
    /** A new database: its name, and as `spool.store` has it. */
    async database() {
      databases += 1;
      const name = `bench${databases}`;
      await sql(`CREATE DATABASE ${name}`);
      return { name, url: `postgresql://tpa@/${name}?host=${folder}` };
    },
    sql,
    /** Of the trees of its processes. */
    roots: () => servers.map(({ pid }) => pid ?? 0),
    async stop() {
      for (const server of servers) {
        const ended = new Promise((resolve) => server.once("exit", resolve));
        server.kill("SIGINT");
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
