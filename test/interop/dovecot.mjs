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
 * @property {number} imap with STARTTLS; 0 where no certificate was given
 * @property {number} imaps
 * @property {(user: string) => string} maildir of a user, in which "new" is
 * @property {number} pid
 * @property {() => Promise<void>} stop
 */

/**
 * Starts it. Who is among the logins gets mail at any domain, everybody else is refused.
 * Mail with [spam] in its subject goes to the folder Junk.
 * @param {Readonly<Record<string, string>>} passwords hashes by login
 * @param {{ readonly cert: string, readonly key: string }} [certificate] PEM; with one, IMAP is offered
 * @param {string} [mechanisms] with which its password service lets people log in
 * @returns {Promise<Dovecot>}
 */
export async function startDovecot(passwords, certificate, mechanisms = "plain login") {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-dovecot-"));
  await chmod(folder, 0o755);
  const [auth, lmtp] = [await freePort(), await freePort()];
  await mkdir(join(folder, "mail"));
  await runWell("chown", ["nobody:nogroup", join(folder, "mail")]);
  const [imap, imaps] = certificate ? [await freePort(), await freePort()] : [0, 0];
  if (certificate) {
    await writeFile(join(folder, "certificate.pem"), certificate.cert);
    await writeFile(join(folder, "key.pem"), certificate.key, { mode: 0o600 });
    await writeFile(
      join(folder, "spam.sieve"),
      'require "fileinto";\nif header :contains "subject" "[spam]" { fileinto "Junk"; }\n',
    );
    await runWell("sievec", [join(folder, "spam.sieve")]);
    await chmod(join(folder, "spam.svbin"), 0o644);
  }
  const lines = Object.entries(passwords).map(([login, password]) => `${login}:${password}::::::\n`);
  await writeFile(join(folder, "passwords"), lines.join(""));
  await writeFile(
    join(folder, "dovecot.conf"),
    `base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
protocols = lmtp${
      certificate
        ? ` imap
ssl_cert = <${folder}/certificate.pem
ssl_key = <${folder}/key.pem`
        : "\nssl = no"
    }
disable_plaintext_auth = no
auth_mechanisms = ${mechanisms}
auth_failure_delay = 0 secs
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
${certificate ? mailboxes(folder, imap, imaps) : ""}`,
  );
  const daemon = start("dovecot", ["-F", "-c", join(folder, "dovecot.conf")]);
  const stop = async () => {
    await daemon.stop();
    await rm(folder, { recursive: true });
  };
  try {
    await Promise.all(
      [auth, lmtp, imap, imaps].filter((port) => port > 0).map((port) => untilListening(port)),
    );
  } catch (error) {
    const said = await readFile(join(folder, "log"), "utf8").catch(() => "");
    await stop();
    throw new Error(`${said}${daemon.output()}`, { cause: error });
  }
  return {
    folder,
    auth,
    lmtp,
    imap,
    imaps,
    maildir: (/** @type {string} */ user) => join(folder, "mail", user),
    pid: daemon.pid,
    stop,
  };
}

/**
 * @param {string} folder
 * @param {number} imap
 * @param {number} imaps
 */
const mailboxes = (folder, imap, imaps) => `
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = ${imap}
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = ${imaps}
    ssl = yes
  }
}
mail_max_userip_connections = 100
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve = file:${folder}/none;active=${folder}/none.sieve
  sieve_before = ${folder}/spam.sieve
}
namespace inbox {
  inbox = yes
  mailbox Junk {
    special_use = \\Junk
    auto = create
  }
}
`;
