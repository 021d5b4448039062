/**
 * Submission in bulk, beside Postfix and Dovecot SASL in the same run: 2 000 messages of 5 kB over 20 connections
 * inside TLS, logged in before the clock starts. Messages a second, and what a message costs the server's CPU.
 *   node bench/submission.mjs [MESSAGES]      build first; as root, because Postfix is started by root only
 * Each server meets the load twice: "into the spool", where nothing leaves meanwhile, and "to a folder", where every
 * message is delivered to a file while others come in. Both fsync what they promise, on the disk of the temporary folder.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startRelay } from "../demo/relay.mjs";
import { startDovecot } from "../test/interop/dovecot.mjs";
import { startPostfix } from "../test/interop/postfix.mjs";
import { runWell } from "../test/tools/child.mjs";

/** @type {typeof import("../src/server/spool/spool.ts")} */
const { viewSpool } = await import(new URL("../dist/server/spool/spool.js", import.meta.url).href);

const messages = Number(process.argv[2] ?? 2_000);
const connections = 20;

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {number} port inside TLS
 * @property {readonly number[]} roots of the trees of its processes
 * @property {string} passwordFile
 * @property {string} certificate
 * @property {() => Promise<number>} left messages that are not done with
 * @property {() => Promise<void>} stop
 */

/** A next hop that takes connections and never says a word. */
async function silentHop() {
  const server = createServer();
  await new Promise((/** @type {(value: void) => void} */ resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : 0 };
}

const quota = "[limits]\nmessages-per-hour = 1000000\nrecipients-per-day = 1000000\n";

/**
 * @param {"into the spool" | "to a folder"} mode
 * @returns {Promise<Target>}
 */
async function ours(mode) {
  const { server, port } = await silentHop();
  const held = `[delivery]\nrelay = "smtp://127.0.0.1:${port}"\nconcurrency = 1\n`;
  const relay = await startRelay(`${quota}${mode === "into the spool" ? held : ""}`);
  return {
    name: "tpa-submit",
    port: relay.submissions,
    roots: [relay.pid],
    passwordFile: join(relay.folder, "password"),
    certificate: relay.certificate,
    left: async () => (await (await viewSpool(join(relay.folder, "spool"))).ids()).length,
    stop: async () => {
      relay.signal("SIGKILL"); // it would wait for the silent hop
      await relay.ended;
      await relay.stop();
      server.close();
    },
  };
}

/**
 * @param {"into the spool" | "to a folder"} mode
 * @returns {Promise<Target>}
 */
async function theirs(mode) {
  const credentials = await startRelay(); // for its certificate, its password and its hash
  const [, hash = ""] = (await readFile(join(credentials.folder, "mail-passwords"), "utf8"))
    .trim()
    .split(":");
  const dovecot = await startDovecot({ user1: `{BLF-CRYPT}${hash}` });
  const hold = mode === "into the spool" ? "check_client_access static:HOLD, " : "";
  const postfix = await startPostfix(
    `smtpd_tls_cert_file = ${credentials.folder}/certificate.pem
smtpd_tls_key_file = ${credentials.folder}/key.pem
smtpd_tls_wrappermode = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${dovecot.auth}
smtpd_relay_restrictions = ${hold}permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
default_process_limit = 100
virtual_mailbox_domains = example.net
virtual_mailbox_maps = static:box/
virtual_mailbox_base = FOLDER/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534`,
  );
  await mkdir(join(postfix.folder, "mail"));
  await runWell("chown", ["65534:65534", join(postfix.folder, "mail")]);
  credentials.signal("SIGTERM"); // only its folder is wanted
  await credentials.ended;
  return {
    name: "Postfix + Dovecot",
    port: postfix.port,
    roots: [await postfix.pid(), dovecot.pid],
    passwordFile: join(credentials.folder, "password"),
    certificate: credentials.certificate,
    left: async () => {
      const queues = ["incoming", "active", "deferred"].map((name) => join(postfix.folder, "queue", name));
      const found = await Promise.all(queues.map((queue) => readdir(queue, { recursive: true })));
      return found.flat().filter((name) => /[0-9A-F]{6,}$/.test(name)).length;
    },
    stop: async () => {
      await postfix.stop();
      await dovecot.stop();
      await credentials.stop();
    },
  };
}

/** Clock ticks a second in /proc. */
const ticks = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU seconds that the processes `roots` and all below them have used, those that ended included: in the program
 * and in the kernel.
 * @param {readonly number[]} roots
 */
async function cpu(roots) {
  /** @type {Map<number, { parent: number, program: number, kernel: number }>} */
  const all = new Map();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => ""); // it may have ended
    const [, parent = 0, ...fields] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    // utime, stime, and those of children that were waited for: fields 14 to 17 of proc(5)
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(9, 13);
    all.set(Number(name), { parent, program: utime + cutime, kernel: stime + cstime });
  }
  /** @type {(pid: number) => boolean} */
  const isOurs = (pid) => roots.includes(pid) || (pid > 1 && isOurs(all.get(pid)?.parent ?? 0));
  let [program, kernel] = [0, 0];
  for (const [pid, used] of all) {
    if (!isOurs(pid)) continue;
    program += used.program / ticks;
    kernel += used.kernel / ticks;
  }
  return { program, kernel };
}

/** @param {Target} target */
async function measure({ port, roots, passwordFile, certificate, left }) {
  const words = [String(port), "user1", passwordFile, certificate, String(connections), String(messages)];
  const child = spawn(process.execPath, [fileURLToPath(new URL("load.mjs", import.meta.url)), ...words], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  if ((await lines.next()).value !== "ready") throw new Error("the clients could not log in");
  const before = await cpu(roots);
  child.stdin.write("go\n");
  /** @type {{ seconds: number, median: number, late: number }} */
  const load = JSON.parse((await lines.next()).value ?? "");
  const after = await cpu(roots);
  const each = (/** @type {"program" | "kernel"} */ where) =>
    (1_000 * (after[where] - before[where])) / messages;
  return { ...load, program: each("program"), kernel: each("kernel"), left: await left() };
}

/** @type {(value: number, digits: number) => string} */
const show = (value, digits) => value.toFixed(digits).padStart(13);

const disk = execFileSync("df", ["--output=fstype", tmpdir()], { encoding: "utf8" })
  .trim()
  .split("\n")
  .at(-1);
const postfixVersion = (await runWell("postconf", ["-d", "-h", "mail_version"])).trim();
console.log(
  `${messages} messages of 5 kB over ${connections} TLS connections; Node ${process.versions.node}, Postfix ${postfixVersion}, ${disk}`,
);
const columns = ["messages/s", "median ms", "95 % ms", "CPU ms each", "in kernel", "left"];
console.log("".padEnd(32) + columns.map((column) => column.padStart(13)).join(""));
for (const mode of /** @type {const} */ (["into the spool", "to a folder"])) {
  for (const begin of [ours, theirs]) {
    const target = await begin(mode);
    try {
      const { seconds, median, late, program, kernel, left } = await measure(target);
      const rate = messages / seconds;
      const figures = [
        show(rate, 0),
        show(median, 1),
        show(late, 1),
        show(program + kernel, 2),
        show(kernel, 2),
        show(left, 0),
      ];
      console.log(`${target.name} ${mode}`.padEnd(32) + figures.join(""));
    } finally {
      await target.stop();
    }
  }
}
