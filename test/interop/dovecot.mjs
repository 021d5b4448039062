/** A Dovecot of our own in a temporary folder: it checks passwords for Postfix, and takes mail over LMTP. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runWell, start } from "../tools/child.mjs";
import { freePort, untilListening } from "../tools/port.mjs";

/**
 * @typedef {object} Dovecot
 * @property {string} folder
 * @property {number} auth port of its password service, for `smtpd_sasl_path = inet:127.0.0.1:PORT`
 * @property {number} lmtp
 * @property {(user: string) => string} maildir of a user, in which "new" is
 * @property {number} pid
 * @property {() => Promise<void>} stop
 */

/**
 * Starts it. Who is among the logins gets mail at any domain, everybody else is refused.
 * @param {Readonly<Record<string, string>>} passwords hashes by login
 * @returns {Promise<Dovecot>}
 */
export async function startDovecot(passwords) {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-dovecot-"));
  await chmod(folder, 0o755);
  const [auth, lmtp] = [await freePort(), await freePort()];
  await mkdir(join(folder, "mail"));
  await runWell("chown", ["nobody:nogroup", join(folder, "mail")]);
  const lines = Object.entries(passwords).map(([login, password]) => `${login}:${password}::::::\n`);
  await writeFile(join(folder, "passwords"), lines.join(""));
  await writeFile(
    join(folder, "dovecot.conf"),
    `base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
protocols = lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
first_valid_uid = 1
mail_location = maildir:${folder}/mail/%n
passdb {
  driver = passwd-file
  args = ${folder}/passwords
}
userdb {
  driver = passwd-file
  args = ${folder}/passwords
  override_fields = uid=nobody gid=nogroup home=${folder}/mail/%n
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = ${auth}
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${lmtp}
  }
}
`,
  );
  const daemon = start("dovecot", ["-F", "-c", join(folder, "dovecot.conf")]);
  const stop = async () => {
    await daemon.stop();
    await rm(folder, { recursive: true });
  };
  try {
    await Promise.all([untilListening(auth), untilListening(lmtp)]);
  } catch (error) {
    const said = await readFile(join(folder, "log"), "utf8").catch(() => "");
    await stop();
    throw new Error(`${said}${daemon.output()}`, { cause: error });
  }
  return {
    folder,
    auth,
    lmtp,
    maildir: (/** @type {string} */ user) => join(folder, "mail", user),
    pid: daemon.pid,
    stop,
  };
}
