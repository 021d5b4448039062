/** `tpa-submit serve` from any built checkout, as one of the servers that are measured. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort, untilListening } from "../test/tools/port.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */

/**
 * @typedef {object} Relay
 * @property {string} program
 * @property {string} folder
 * @property {string} hostname of its configuration, when that is written
 * @property {string} config
 * @property {string} spool
 * @property {string} passwords the file
 * @property {number} port inside TLS
 * @property {number} pid 0 while it does not run
 * @property {(settings: string) => Promise<void>} configure writes the configuration with these tables in place of its own
 * @property {() => Promise<void>} start resolves when it listens
 * @property {(signal: NodeJS.Signals) => Promise<void>} end resolves when it has ended
 * @property {() => Promise<string>} metrics nothing where it does not answer
 * @property {() => Promise<void>} stop
 */

/** Nothing that is measured is to meet a limit. */
const limits = `messages-per-hour = 1000000
recipients-per-day = 1000000
new-recipients-per-day = 1000000
connections = 10000
connections-per-address = 1000
message-size = "50M"`;

/**
 * Prepares it; `start` starts it.
 * @param {Workspace} workspace
 * @param {string} checkout
 * @param {string} settings tables of the configuration
 * @param {readonly string[]} [logins]
 * @returns {Promise<Relay>}
 */
export async function prepareRelay(workspace, checkout, settings, logins = ["user1"]) {
  const folder = await workspace.folderFor("relay");
  const { certificate, key, hash } = workspace.credentials;
  const [port, http] = [await freePort(), await freePort()];
  const [passwords, log, spool] = ["passwords", "log", "spool"].map((name) => join(folder, name));
  await writeFile(passwords ?? "", logins.map((login) => `${login}:${hash}\n`).join(""), { mode: 0o600 });
  /** @type {Readonly<Record<string, string>>} */
  const tables = {
    listen: `submission = []\nsubmissions = ["127.0.0.1:${port}"]\nhttp = "127.0.0.1:${http}"`,
    tls: `certificate = "${certificate}"\nkey = "${key}"`,
    passwords: `file = "${passwords}"`,
    limits,
    spool: `directory = "${spool}"\nreserve = "1M"\nreserve-inodes = 1`,
    log: `target = "file:${log}"`,
  };
  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  /** @type {Promise<unknown>} */
  let ended = Promise.resolve();

  /** @type {Relay} */
  const relay = {
    program: join(checkout, "bin/tpa-submit"),
    folder,
    hostname: "relay.example.org",
    config: join(folder, "tpa-submit.toml"),
    spool: spool ?? "",
    passwords: passwords ?? "",
    port,
    pid: 0,
    async configure(changed) {
      const standard = Object.entries(tables).map(([name, lines]) => `[${name}]\n${lines}\n`);
      const kept = standard.filter((table) => !changed.includes(table.slice(0, table.indexOf("\n"))));
      // An older program neither minds being root nor knows the setting.
      const isAsked = existsSync(join(checkout, "dist/commands/serve/privileges.js"));
      const user = process.geteuid?.() === 0 && isAsked ? '\nuser = "root"' : "";
      const text = [`hostname = "${relay.hostname}"\ndomain = "example.org"${user}`, ...kept, changed].join(
        "\n",
      );
      await writeFile(relay.config, `${text}\n`);
    },
    async start() {
      const output = await open(join(folder, "output"), "a");
      const started = spawn(process.execPath, [relay.program, "serve", "--config", relay.config], {
        cwd: folder,
        stdio: ["ignore", output.fd, output.fd],
      });
      child = started;
      ended = once(started, "close");
      await output.close();
      relay.pid = started.pid ?? 0;
      const early = ended.then(async () => {
        throw new Error(`${relay.program} ended:\n${await readFile(join(folder, "output"), "utf8")}`);
      });
      await Promise.race([untilListening(port), early]);
      early.catch(() => undefined); // its end is awaited by whoever ends it
    },
    async end(signal) {
      child?.kill(signal);
      await ended;
      relay.pid = 0;
    },
    metrics: () =>
      fetch(`http://127.0.0.1:${http}/metrics`)
        .then((answer) => answer.text())
        .catch(() => ""),
    stop: () => relay.end("SIGKILL"), // it would wait for what is under way
  };
  await relay.configure(settings);
  return workspace.keep(Promise.resolve(relay));
}
