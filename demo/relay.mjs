/**
 * A throwaway relay: a temporary folder with certificate, password file and configuration, and the real
 * `tpa-submit serve` started in it on free loopback ports. For the demo, the interop tests and the benchmarks.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import bcrypt from "bcryptjs";
import { generate } from "selfsigned";
import { program } from "./program.mjs";

export { program };

/**
 * @typedef {object} Relay
 * @property {string} folder the temporary folder
 * @property {string} config path of the configuration file
 * @property {string} certificate path of the self-signed certificate, for clients to trust
 * @property {string} login
 * @property {string} password random, made for this relay
 * @property {string} delivered where `file:` delivery puts the messages
 * @property {number} submission port with STARTTLS
 * @property {number} submissions port with TLS
 * @property {number} pid
 * @property {() => string} log the mail log so far
 * @property {(pattern: RegExp, from?: number, seconds?: number) => Promise<RegExpMatchArray>} logged waits for something in the log, which
 *   began when the program did; `from` is how much of it to pass over
 * @property {(signal: NodeJS.Signals) => void} signal
 * @property {string} program what `start` starts: `program`, unless it is set
 * @property {Record<string, string>} environment what the program finds in its environment, in addition to ours
 * @property {Promise<{ status: number | null, signal: NodeJS.Signals | null }>} ended
 * @property {(settings: string) => Promise<void>} configure writes the configuration anew, as startRelay does
 * @property {() => Promise<void>} start starts the program, again if it has ended, in the same folder
 * @property {() => Promise<void>} stop ends the program and removes the folder
 */

/**
 * Makes the certificate that clients can trust as it is: P-256, for "localhost" and 127.0.0.1, 30 days.
 * @param {string} folder
 */
async function makeCertificate(folder) {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    notAfterDate: new Date(Date.now() + 30 * 86_400_000),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
        ],
      },
    ],
  });
  await writeFile(join(folder, "certificate.pem"), made.cert);
  await writeFile(join(folder, "key.pem"), made.private, { mode: 0o600 });
}

/**
 * Starts a relay for `user1`. "FOLDER" in the settings stands for its folder.
 * @param {string} [settings] further lines of TOML; tables named here replace those of the same name
 * @returns {Promise<Relay>}
 */
export async function startRelay(settings = "") {
  const relay = await prepareRelay(settings);
  try {
    await relay.start();
  } catch (error) {
    await relay.stop();
    throw error;
  }
  return relay;
}

/**
 * The same, not started yet.
 * @param {string} [settings]
 * @returns {Promise<Relay>}
 */
export async function prepareRelay(settings = "") {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-"));
  const password = randomBytes(12).toString("hex");
  await makeCertificate(folder);
  await writeFile(join(folder, "mail-passwords"), `user1:${await bcrypt.hash(password, 10)}\n`, {
    mode: 0o600,
  });
  await writeFile(join(folder, "password"), `${password}\n`, { mode: 0o600 });
  await mkdir(join(folder, "delivered"));
  await writeFile(join(folder, "tpa-submit.toml"), configuration(folder, settings));

  let log = "";
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;

  /** @type {Relay} */
  const relay = {
    folder,
    config: join(folder, "tpa-submit.toml"),
    certificate: join(folder, "certificate.pem"),
    login: "user1",
    password,
    delivered: join(folder, "delivered"),
    submission: 0,
    submissions: 0,
    pid: 0,
    log: () => log,
    logged: (pattern, from = 0, seconds = 25) => {
      const { promise, resolve, reject } = withResolvers();
      const giveUp = (/** @type {string} */ why) => {
        reject(new Error(`tpa-submit ${why} before it logged ${pattern}:\n${log.slice(from)}`));
      };
      const look = () => {
        const found = log.slice(from).match(pattern);
        if (found) resolve(found);
        else if (!isRunning()) giveUp("ended");
        else return;
        listeners.delete(look);
        clearTimeout(late);
      };
      const late = setTimeout(() => {
        listeners.delete(look);
        giveUp(`was waited for ${seconds} seconds`);
      }, seconds * 1000);
      listeners.add(look);
      look();
      return promise;
    },
    signal: (signal) => {
      child?.kill(signal);
    },
    program,
    environment: {},
    ended: Promise.resolve({ status: null, signal: null }),
    configure: (changed) => writeFile(relay.config, configuration(folder, changed)),
    start: async () => {
      log = "";
      const started = spawn(process.execPath, [relay.program, "serve", "--config", relay.config], {
        cwd: folder,
        env: { ...process.env, ...relay.environment },
        stdio: ["ignore", "pipe", "pipe"],
      });
      child = started;
      /** @param {Buffer} chunk */
      const gather = (chunk) => {
        log += chunk.toString();
        for (const look of [...listeners]) look();
      };
      started.stdout.on("data", gather);
      started.stderr.on("data", gather);
      relay.pid = started.pid ?? 0;
      relay.ended = new Promise((resolve) => {
        started.on("close", (status, signal) => {
          for (const look of [...listeners]) look();
          resolve({ status, signal });
        });
      });
      const port = async (/** @type {string} */ door) =>
        Number((await relay.logged(new RegExp(`listening for ${door} on \\S+:(\\d+)`)))[1]);
      relay.submission = await port("submission");
      relay.submissions = await port("submissions");
      await relay.logged(/: tpa-submit \S+ started as/);
    },
    stop: async () => {
      if (isRunning()) {
        relay.signal("SIGTERM");
        const hurry = setTimeout(relay.signal, 20_000, "SIGKILL");
        await relay.ended;
        clearTimeout(hurry);
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
  return relay;
}

/**
 * @param {string} folder
 * @param {string} settings
 */
function configuration(folder, settings) {
  const tables = {
    listen: 'submission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = ""',
    tls: `certificate = "${folder}/certificate.pem"\nkey = "${folder}/key.pem"`,
    passwords: `file = "${folder}/mail-passwords"`,
    limits: "messages-per-hour = 1000000\nrecipients-per-day = 1000000\nnew-recipients-per-day = 1000000",
    spool: `directory = "${folder}/spool"`,
    delivery: `relay = "file:${folder}/delivered"`,
  };
  const filled = settings.replaceAll("FOLDER", folder);
  const at = filled.includes("[") ? filled.indexOf("[") : filled.length;
  const [above, given] = [filled.slice(0, at), filled.slice(at)];
  // A relay of root's is told to stay root, unless it is told otherwise.
  const user = process.geteuid?.() === 0 && !/^user *=/m.test(above) ? 'user = "root"\n' : "";
  const standard = Object.entries(tables)
    .filter(([name]) => !given.includes(`[${name}]`))
    .map(([name, lines]) => `\n[${name}]\n${lines}\n`);
  return `hostname = "relay.example.org"\ndomain = "example.org"\n${user}${above}\n${standard.join("")}\n${given}\n`;
}

/** @returns {{ promise: Promise<RegExpMatchArray>, resolve: (found: RegExpMatchArray) => void, reject: (error: Error) => void }} */
function withResolvers() {
  /** @type {(found: RegExpMatchArray) => void} */
  let resolve = () => undefined;
  /** @type {(error: Error) => void} */
  let reject = () => undefined;
  const promise = new Promise((onFound, onError) => {
    resolve = onFound;
    reject = onError;
  });
  return { promise, resolve, reject };
}
