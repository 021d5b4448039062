/**
 * Everything the relay ever says in its log, a row each: whose name stands before it, how grave it is, its words.
 * The words are Postfix's, because fail2ban, mtail, pflogsumm and people's eyes read them unmodified.
 * man/tpa-submit-serve.8, LOG EVENTS, lists the rows; a test compares the two.
 */
import { doorEvents } from "./door-events.ts";
import { type Delivery, deliveryText } from "./outcome.ts";
import { type InQueue, row, word } from "./row.ts";

export type { Door, Level } from "./row.ts";

/** What an operator does to a message, in the words of postsuper(1) where it has some. */
const operatorWords = {
  hold: "placed on hold",
  release: "released from hold",
  retry: "requeued",
  bounce: "returned to sender",
  drop: "deleted",
  redirect: "redirected",
} as const;

type OperatorAct = keyof typeof operatorWords;

export const events = {
  ...doorEvents,
  "limit-reached": row<{ login: string; limit: string; until: string }>(
    "master",
    "warning",
    ({ login, limit, until }) => `limit of ${limit} reached until ${until}, sasl_username=${word(login)}`,
  ),
  "message-id": row<InQueue & { messageId: string }>(
    "cleanup",
    "info",
    ({ id, messageId }) => `${id}: message-id=<${messageId}>`,
  ),
  queued: row<InQueue & { from: string; size: number; recipients: number }>(
    "qmgr",
    "info",
    ({ id, from, size, recipients }) =>
      `${id}: from=<${from}>, size=${size}, nrcpt=${recipients} (queue active)`,
  ),
  delivery: row<Delivery>("smtp", "info", deliveryText),
  converted: row<InQueue & { host: string }>(
    "smtp",
    "info",
    ({ id, host }) => `${id}: converted to 7-bit MIME for ${host}, which has no 8BITMIME`,
  ),
  "tls-outbound": row<{
    relay: string;
    policy: string;
    trust: "Untrusted" | "Trusted" | "Verified";
    protocol: string;
    cipher: string;
    bits: number;
  }>(
    "smtp",
    "info",
    ({ relay, trust, protocol, cipher, bits }) =>
      `${trust} TLS connection established to ${relay}: ${protocol} with cipher ${cipher} (${bits}/${bits} bits)`,
  ),
  "tls-outbound-failed": row<{ relay: string; reason: string }>(
    "smtp",
    "info",
    ({ relay, reason }) => `Cannot start TLS with ${relay}: ${reason}; going on without`,
  ),
  "clear-outbound": row<{ relay: string }>(
    "smtp",
    "info",
    ({ relay }) => `Cleartext connection established to ${relay}`,
  ),
  "tls-policy-failed": row<{ relay: string; policy: string; reason: string }>(
    "smtp",
    "warning",
    ({ relay, policy, reason }) => `TLS policy "${policy}" not met by ${relay}: ${reason}`,
  ),
  "sts-policy": row<{ domain: string; id: string; mode: string; hosts: number; seconds: number }>(
    "smtp",
    "info",
    ({ domain, id, mode, hosts, seconds }) =>
      `MTA-STS policy of ${domain}: mode ${mode}, ${hosts} mx, for ${seconds} seconds (id ${id})`,
  ),
  "sts-trouble": row<{ domain: string; reason: string; held: boolean }>(
    "smtp",
    "warning",
    ({ domain, reason, held }) =>
      `no MTA-STS policy to be had for ${domain}: ${reason}; ${held ? "the one from before holds" : "going on without"}`,
  ),
  "sts-trial": row<{ relay: string; reason: string }>(
    "smtp",
    "info",
    ({ relay, reason }) => `MTA-STS in testing: ${relay} would not be used: ${reason}`,
  ),
  "sts-unsaved": row<{ domain: string; reason: string }>(
    "smtp",
    "error",
    ({ domain, reason }) => `MTA-STS policies on disk (${domain}): ${reason}`,
  ),
  expired: row<InQueue & { from: string }>(
    "qmgr",
    "info",
    ({ id, from }) => `${id}: from=<${from}>, status=expired, returned to sender`,
  ),
  "failure-report": row<InQueue & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender non-delivery notification: ${report}`,
  ),
  "delay-report": row<InQueue & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender delay notification: ${report}`,
  ),
  "success-report": row<InQueue & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender delivery status notification: ${report}`,
  ),
  "report-dropped": row<InQueue>(
    "bounce",
    "info",
    ({ id }) => `${id}: undeliverable, and without a sender who could be told: discarded`,
  ),
  "destination-paused": row<{ destination: string; seconds: number; reason: string }>(
    "qmgr",
    "info",
    ({ destination, seconds, reason }) =>
      `no delivery to ${destination} for ${Math.round(seconds)} seconds: ${reason}`,
  ),
  "history-lost": row<InQueue & { reason: string }>(
    "qmgr",
    "warning",
    ({ id, reason }) => `${id}: what happened could not be added to its history: ${reason}`,
  ),
  removed: row<InQueue>("qmgr", "info", ({ id }) => `${id}: removed`),
  damaged: row<InQueue & { reason: string }>(
    "qmgr",
    "error",
    ({ id, reason }) => `${id}: cannot be read, left where it is: ${reason}`,
  ),
  "spool-trouble": row<InQueue & { reason: string }>(
    "qmgr",
    "error",
    ({ id, reason }) => `${id}: the spool cannot be written, trying again later: ${reason}`,
  ),
  suspected: row<InQueue>(
    "qmgr",
    "warning",
    ({ id }) => `${id}: was in hand at an unclean end of the relay; after another one it is held`,
  ),
  held: row<InQueue & { reason: string }>("qmgr", "error", ({ id, reason }) => `${id}: held: ${reason}`),
  standstill: row<{ seconds: number; processor: number; id: string }>(
    "master",
    "warning",
    ({ seconds, processor, id }) =>
      `nothing was done for ${seconds.toFixed(1)} seconds (${processor.toFixed(1)} of the processor)${
        id === "" ? "" : `, with ${id} in hand`
      }`,
  ),
  "spool-broken": row<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `the spool can promise nothing more, ending so as to be started anew: ${reason}`,
  ),
  "operator-act": row<InQueue & { act: OperatorAct; by: string; reason: string }>(
    "postsuper",
    "info",
    ({ id, act, by, reason }) => `${id}: ${operatorWords[act]} by ${by}${reason === "" ? "" : `: ${reason}`}`,
  ),
  "operator-done": row<{ act: OperatorAct; messages: number; by: string }>(
    "postsuper",
    "info",
    ({ act, messages, by }) => `${operatorWords[act]}: ${messages} messages by ${by}`,
  ),
  "spool-repaired": row<{ fault: string; remedy: string; by: string }>(
    "postsuper",
    "warning",
    ({ fault, remedy, by }) => `${fault}; repaired by ${by}: ${remedy}`,
  ),
  "login-frozen": row<{ login: string; by: string; reason: string; sessions: number; held: number }>(
    "master",
    "warning",
    ({ login, by, reason, sessions, held }) =>
      `frozen by ${by}, ${sessions} sessions ended, ${held} messages held${
        reason === "" ? "" : ` (${reason})`
      }, sasl_username=${word(login)}`,
  ),
  "login-thawed": row<{ login: string; by: string; released: number; stillHeld: number }>(
    "master",
    "warning",
    ({ login, by, released, stillHeld }) =>
      `thawed by ${by}, ${released} messages released, ${stillHeld} stay held, sasl_username=${word(login)}`,
  ),
  started: row<{ version: string; hostname: string; waiting: number }>(
    "master",
    "info",
    ({ version, hostname, waiting }) =>
      `tpa-submit ${version} started as ${hostname}, ${waiting} messages waiting`,
  ),
  listening: row<{ door: string; address: string }>(
    "master",
    "info",
    ({ door, address }) => `listening for ${door} on ${address}`,
  ),
  "listener-trouble": row<{ door: string; address: string; reason: string }>(
    "master",
    "error",
    ({ door, address, reason }) => `${door} on ${address}: ${reason}`,
  ),
  stopping: row<{ sessions: number }>(
    "master",
    "info",
    ({ sessions }) => `stopping: no new connections, ${sessions} sessions may end`,
  ),
  stopped: row<{ waiting: number }>(
    "master",
    "info",
    ({ waiting }) => `stopped, ${waiting} messages stay in the spool`,
  ),
  reloaded: row<Record<never, never>>(
    "master",
    "info",
    () => "configuration, certificate and passwords re-read",
  ),
  "reload-refused": row<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `configuration not re-read, the old one stays in use: ${reason}`,
  ),
  "restart-needed": row<{ settings: string }>(
    "master",
    "warning",
    ({ settings }) => `changed, but in use only after a restart: ${settings}`,
  ),
  "passwords-loaded": row<{ file: string; logins: number; ignored: number }>(
    "master",
    "info",
    ({ file, logins, ignored }) =>
      `${file}: ${logins} logins${ignored === 0 ? "" : `, ${ignored} lines that let nobody in`}`,
  ),
  "passwords-refused": row<{ file: string; reason: string }>(
    "master",
    "error",
    ({ file, reason }) => `${file}: ${reason}; the last good version stays in use`,
  ),
  "password-line": row<{ file: string; line: number; login: string; reason: string }>(
    "master",
    "warning",
    ({ file, line, login, reason }) => `${file}:${line}: ${login}: ${reason}`,
  ),
  "usage-unread": row<{ file: string; reason: string }>(
    "master",
    "warning",
    ({ file, reason }) => `${file}: ${reason}; what it does not tell no longer counts for the limits`,
  ),
  "usage-unsaved": row<{ file: string; reason: string }>(
    "master",
    "error",
    ({ file, reason }) =>
      `${file}: cannot be written, a restart would forget what counts for the limits: ${reason}`,
  ),
  "certificate-loaded": row<{ file: string; names: string; until: string }>(
    "master",
    "info",
    ({ file, names, until }) => `${file}: certificate for ${names}, valid until ${until}`,
  ),
  "certificate-chain": row<{ file: string; gap: string }>(
    "master",
    "warning",
    ({ file, gap }) => `${file}: ${gap}`,
  ),
  "certificate-ending": row<{ file: string; names: string; days: number }>(
    "master",
    "warning",
    ({ file, names, days }) => `${file}: certificate for ${names} ends in ${days} days`,
  ),
  "certificate-expired": row<{ file: string; names: string; until: string }>(
    "master",
    "error",
    ({ file, names, until }) =>
      `${file}: certificate for ${names} expired on ${until}, clients may refuse it`,
  ),
  "not-listening": row<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `nobody is listened to until this is mended, mail in the queue is delivered: ${reason}`,
  ),
  "certificate-refused": row<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `${reason}; the old certificate stays in use`,
  ),
  "manager-untold": row<{ lines: string; reason: string }>(
    "master",
    "warning",
    ({ lines, reason }) => `systemd-notify could not say ${lines}: ${reason}`,
  ),
  "log-lost": row<{ lines: number }>(
    "master",
    "error",
    ({ lines }) => `${lines} lines of this log could not be written and are lost`,
  ),
  bug: row<{ where: string; stack: string }>(
    "master",
    "error",
    ({ where, stack }) => `bug in ${where}: ${stack}`,
  ),
};

export type EventName = keyof typeof events;
export type FieldsOf<Name extends EventName> = Parameters<(typeof events)[Name]["text"]>[0];
