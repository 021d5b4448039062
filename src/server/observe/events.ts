/**
 * Everything the relay ever says in its log, a row each: whose name stands before it, how grave it is, its words.
 * The words are Postfix's, because fail2ban, mtail, pflogsumm and people's eyes read them unmodified.
 * man/tpa-submit-serve.8, LOG EVENTS, lists the rows; a test compares the two.
 */
import { formatReply, type Reply } from "../../smtp/reply.ts";
import { type Delivery, deliveryText } from "./outcome.ts";

export type Level = "info" | "warning" | "error";

/** Which door a client came through; part of the tag: `postfix/submission/smtpd`, `postfix/smtps/smtpd`. */
export type Door = "submission" | "smtps";

interface Row<Fields> {
  /** The Postfix program whose line this is; "smtpd" is preceded by the door. */
  readonly daemon: "smtpd" | "cleanup" | "qmgr" | "smtp" | "bounce" | "master";
  readonly level: Level;
  readonly text: (fields: Fields) => string;
}

interface AtDoor {
  readonly door: Door;
  /** `unknown[192.0.2.7]`: the client as Postfix names it. */
  readonly client: string;
}

interface Stage {
  /** The command that was last; "CONNECT" before the first, "UNKNOWN" for one that is none. */
  readonly stage: string;
  /** Of a message, as far as it came. */
  readonly octets?: number;
}

interface InQueue {
  readonly id: string;
}

export const events = {
  connect: at<AtDoor>("info", ({ client }) => `connect from ${client}`),
  disconnect: at<AtDoor & { commands: string }>("info", ({ client, commands }) =>
    `disconnect from ${client} ${commands}`.trimEnd(),
  ),
  "connection-lost": at<AtDoor & Stage>(
    "info",
    (fields) => `lost connection after ${stageText(fields)} from ${fields.client}`,
  ),
  "connection-limit": at<AtDoor & { count: number }>(
    "warning",
    ({ client, count, door }) =>
      `Connection concurrency limit exceeded: ${count} from ${client} for service ${door}`,
  ),
  "connections-full": at<AtDoor & { limit: number }>(
    "warning",
    ({ client, limit }) => `all ${limit} connections are in use, turned away: ${client}`,
  ),
  timeout: at<AtDoor & Stage>("info", (fields) => `timeout after ${stageText(fields)} from ${fields.client}`),
  "too-many-errors": at<AtDoor & { stage: string }>(
    "info",
    ({ client, stage }) => `too many errors after ${stage} from ${client}`,
  ),
  "tls-inbound": at<AtDoor & { protocol: string; cipher: string; bits: number }>(
    "info",
    ({ client, protocol, cipher, bits }) =>
      `Anonymous TLS connection established from ${client}: ${protocol} with cipher ${cipher} (${bits}/${bits} bits)`,
  ),
  "tls-inbound-failed": at<AtDoor & { reason: string }>(
    "info",
    ({ client, reason }) => `SSL_accept error from ${client}: ${reason}`,
  ),
  "auth-accepted": at<AtDoor & { mechanism: string; login: string }>(
    "info",
    ({ client, mechanism, login }) =>
      `${client}: SASL ${mechanism} authentication succeeded, sasl_username=${word(login)}`,
  ),
  // fail2ban's stock filter knows LOGIN and PLAIN only, and counts this line against the client.
  "auth-failed": at<AtDoor & { mechanism: string; login: string; reason: string }>(
    "warning",
    ({ client, mechanism, login, reason }) =>
      `${client}: SASL ${mechanism} authentication failed: ${reason}, sasl_username=${word(login)}`,
  ),
  // The words that fail2ban's stock filter passes over: trouble of ours bans nobody.
  "auth-unavailable": at<AtDoor & { mechanism: string; login: string; reason: string }>(
    "warning",
    ({ client, mechanism, login, reason }) =>
      `${client}: SASL ${mechanism} authentication failed: Connection lost to authentication server (${reason}), sasl_username=${word(login)}`,
  ),
  // No words of fail2ban's: it has counted the wrong passwords that led here.
  "auth-braked": at<AtDoor & { mechanism: string; login: string; until: string }>(
    "warning",
    ({ client, mechanism, login, until }) =>
      `${client}: SASL ${mechanism} authentication not tried until ${until}: too many wrong passwords before, sasl_username=${word(login)}`,
  ),
  reject: at<AtDoor & { id?: string; stage: string; reply: Reply; from: string; to: string; helo: string }>(
    "info",
    ({ client, id, stage, reply, from, to, helo }) =>
      `${id ?? "NOQUEUE"}: reject: ${stage} from ${client}: ${formatReply(reply)}; from=<${from}>${
        to === "" ? "" : ` to=<${to}>`
      } proto=ESMTP helo=<${word(helo)}>`,
  ),
  client: at<AtDoor & InQueue & { mechanism: string; login: string }>(
    "info",
    ({ id, client, mechanism, login }) =>
      `${id}: client=${client}, sasl_method=${mechanism}, sasl_username=${word(login)}`,
  ),
  "not-stored": at<AtDoor & { id?: string; reason: string }>(
    "error",
    ({ client, id, reason }) => `${id ?? "NOQUEUE"}: message from ${client} could not be stored: ${reason}`,
  ),
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
  "tls-outbound": row<{
    relay: string;
    trust: "Untrusted" | "Verified";
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
  "certificate-refused": row<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `${reason}; the old certificate stays in use`,
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

/** `DATA (123 bytes)`, as Postfix says it. */
function stageText({ stage, octets }: Stage): string {
  return octets === undefined ? stage : `${stage} (${octets} bytes)`;
}

/** What a client calls itself, as one word: what it says must not look like a further part of the line. */
function word(said: string): string {
  return said.replace(/[\s<>,]/g, "?");
}

function at<Fields extends AtDoor>(level: Level, text: (fields: Fields) => string): Row<Fields> {
  return { daemon: "smtpd", level, text };
}

function row<Fields>(
  daemon: Row<Fields>["daemon"],
  level: Level,
  text: (fields: Fields) => string,
): Row<Fields> {
  return { daemon, level, text };
}
