/**
 * A Postfix of our own, with its configuration, queue and log in a temporary folder, beside whatever the host runs.
 * Its master insists on being root, and so do the tests that want it.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runWell, start } from "../tools/child.mjs";
import { freePort, untilListening } from "../tools/port.mjs";

/**
 * @typedef {object} Postfix
 * @property {string} folder
 * @property {number} port where it takes mail, on 127.0.0.1
 * @property {() => Promise<string>} log everything it logged
 * @property {() => Promise<number>} pid of its master
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Extras
 * @property {string} [services] lines of master.cf
 * @property {Readonly<Record<string, string>>} [files] by name
 * @property {readonly string[]} [maps] names of those that are made into hash: maps
 */

/**
 * Starts it. In all that is given FOLDER stands for its folder and PORT for its port.
 * @param {string} settings lines of main.cf
 * @param {Extras} [extras]
 * @returns {Promise<Postfix>}
 */
export async function startPostfix(settings, { services = "", files = {}, maps = [] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-postfix-"));
  await chmod(folder, 0o755); // Postfix's own user goes in and out
  const port = await freePort();
  const filled = (/** @type {string} */ text) =>
    text.replaceAll("FOLDER", folder).replaceAll("PORT", String(port));
  for (const name of ["queue", "data"]) await mkdir(join(folder, name));
  await runWell("chown", ["postfix", join(folder, "data")]);
  await writeFile(join(folder, "main.cf"), filled(overridden(mainCf, settings)));
  await writeFile(join(folder, "master.cf"), filled(`${masterCf}${services}\n`));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), filled(text));
  for (const name of maps) await runWell("postmap", ["-c", folder, `hash:${join(folder, name)}`]);
  const script = start("postfix", ["-c", folder, "start-fg"]);
  const log = () => readFile(join(folder, "mail.log"), "utf8").catch(() => script.output());
  const pid = async () => Number(await readFile(join(folder, "queue/pid/master.pid"), "utf8"));
  const stop = async () => {
    const master = await pid().catch(() => 0);
    if (master !== 0) process.kill(master, "SIGTERM"); // the script passes no signal on, and ends with it
    const hurry = setTimeout(() => process.kill(master, "SIGKILL"), 8_000);
    await script.stop(master !== 0);
    clearTimeout(hurry);
    await rm(folder, { recursive: true });
  };
  try {
    await untilListening(port);
  } catch (error) {
    const said = `${await log()}${script.output()}`;
    await stop();
    throw new Error(said, { cause: error });
  }
  return { folder, port, log, pid, stop };
}

/**
 * The lines of `standard` but those that `settings` have, too, and then these. To have both in main.cf would do but for a
 * warning of every process, and postlogd with a full queue of warnings waits for itself to read it.
 * @param {string} standard
 * @param {string} settings
 */
function overridden(standard, settings) {
  const nameOf = (/** @type {string} */ line) => line.split(/[ =]/)[0];
  const given = new Set(settings.split("\n").map(nameOf));
  const kept = standard.split("\n").filter((line) => !given.has(nameOf(line)));
  return `${kept.join("\n")}\n${settings}\n`;
}

/** Nothing of the host's own configuration, no chroot, and no way out but what the settings add. */
const mainCf = `compatibility_level = 3.6
config_directory = FOLDER
queue_directory = FOLDER/queue
data_directory = FOLDER/data
maillog_file = FOLDER/mail.log
maillog_file_prefixes = FOLDER
daemon_directory = /usr/lib/postfix/sbin
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.net
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
default_process_limit = 20
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
ipc_idle = 1s
max_idle = 5s
`;

const masterCf = `127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`;
