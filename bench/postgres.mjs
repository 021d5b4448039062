/** PostgreSQL of Debian on the disk of the bench, with its promises on the disk, for the figures of a shared spool. */
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
 * Starts one below `parent`, with one database.
 * @param {string} parent
 * @param {string} programs
 */
export async function startPostgres(parent, programs) {
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
  const server = spawn(join(programs, "postgres"), ["-D", data], { ...options, stdio: "ignore" });
  const isReady = () => {
    const file = join(data, "postmaster.pid");
    return existsSync(file) && readFileSync(file, "latin1").split("\n")[7]?.trim() === "ready";
  };
  while (!isReady()) {
    if (server.exitCode !== null) throw new Error("PostgreSQL did not start");
    await pause(20);
  }
  return {
    url: `postgresql://tpa@/postgres?host=${folder}`,
    async stop() {
      const ended = new Promise((resolve) => server.once("exit", resolve));
      server.kill("SIGINT");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
