/** Postfix, with Dovecot for its passwords, as the server beside which ours is measured. */
import { join } from "node:path";
import { startDovecot } from "../test/interop/dovecot.mjs";
import { startPostfix } from "../test/interop/postfix.mjs";
import { runWell } from "../test/tools/child.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */

/**
 * The settings are those that Debian's Postfix has, but for limits that would be met, and the second for which it makes a
 * client wait that is quicker than its delivery.
 * @param {Workspace} workspace
 * @param {object} options
 * @param {number} [options.hop] port of the next hop on 127.0.0.1
 * @param {boolean} [options.hold] whether what comes in waits until it is released
 * @param {readonly string[]} [options.logins]
 */
export async function startPostfixAndDovecot(workspace, { hop = 9, hold = false, logins = ["user1"] }) {
  const { certificate, key, hash } = workspace.credentials;
  const passwords = Object.fromEntries(logins.map((login) => [login, `{BLF-CRYPT}${hash}`]));
  const dovecot = await workspace.keep(startDovecot(passwords));
  const postfix = await workspace.keep(
    startPostfix(`relayhost = [127.0.0.1]:${hop}
smtpd_tls_cert_file = ${certificate}
smtpd_tls_key_file = ${key}
smtpd_tls_wrappermode = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${dovecot.auth}
smtpd_relay_restrictions = ${hold ? "check_client_access static:HOLD, " : ""}permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
default_process_limit = 200
message_size_limit = 60000000
in_flow_delay = 0
minimal_backoff_time = 300s
maximal_backoff_time = 4000s
queue_run_delay = 300s
ipc_idle = 5s
max_idle = 100s`),
  );
  const master = await postfix.pid();
  return {
    port: postfix.port,
    folder: postfix.folder,
    roots: () => [master, dovecot.pid],
    /** Lets go of what was held. */
    async release() {
      await runWell("postsuper", ["-c", postfix.folder, "-H", "ALL"]);
      await runWell("postqueue", ["-c", postfix.folder, "-f"]); // what is released is deferred
    },
    queue: join(postfix.folder, "queue"),
    async stop() {
      await postfix.stop();
      await dovecot.stop();
    },
  };
}
