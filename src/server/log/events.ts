/**
 * Every event of the log, a row each: the Postfix program in its tag, its level, its text. The texts are Postfix's,
 * because fail2ban, mtail and pflogsumm read them unmodified, and people know them.
 * man/tpa-submit-serve.8, LOG EVENTS, lists the rows; a test compares the two.
 */
import { formatReply, isPermanent, isPositive, type Reply } from "../../smtp/reply.ts";

export type LogLevel = "info" | "warning" | "error";

/** The listener that the client connected to; part of the tag: `postfix/submission/smtpd`, `postfix/local/smtpd`. */
export type ListenerName = "submission" | "smtps" | "local" | "onion";

interface EventRow<Fields> {
  /** The Postfix program whose line this is; "smtpd" is preceded by the listener. */
  readonly daemon: "smtpd" | "cleanup" | "pickup" | "qmgr" | "smtp" | "bounce" | "postsuper" | "master";
  readonly level: LogLevel;
  readonly text: (fields: Fields) => string;
}

/** A line about a message names it. */
interface OfMessage {
  readonly id: string;
}

interface FromClient {
  readonly door: ListenerName;
  /** `unknown[192.0.2.7]`: the client as Postfix names it. */
  readonly client: string;
}

interface LoggedStage {
  /** The last command; "CONNECT" before the first, "UNKNOWN" for an unknown one. */
  readonly stage: string;
  /** Octets of the message so far. */
  readonly octets?: number;
}

interface DeliveryAttempt {
  readonly id: string;
  readonly to: string;
  /** `mx.example.net[192.0.2.1]:25`, or "none". */
  readonly relay: string;
  /** Seconds: before the queue manager, in the queue manager, connecting, transmitting. */
  readonly delays: readonly [number, number, number, number];
  readonly reply: Reply;
  /** The command that the reply answers, or "". */
  readonly command: string;
  /** How many deliveries the connection has served, where this one did not open it. */
  readonly use?: number;
  /** `Verified TLSv1.3`; absent where the connection was in the clear, or there was none. */
  readonly tls?: string;
}

/** What an operator does to a message, as postsuper(1) logs it where it can. */
const actionTexts = {
  hold: "placed on hold",
  release: "released from hold",
  retry: "requeued",
  bounce: "returned to sender",
  drop: "deleted",
  redirect: "redirected",
  import: "taken over",
  drain: "given to other hosts",
} as const;

type OperatorAction = keyof typeof actionTexts;

export const events = {
  connect: smtpdEvent<FromClient>("info", ({ client }) => `connect from ${client}`),
  disconnect: smtpdEvent<FromClient & { commands: string }>("info", ({ client, commands }) =>
    `disconnect from ${client} ${commands}`.trimEnd(),
  ),
  "connection-lost": smtpdEvent<FromClient & LoggedStage>(
    "info",
    (fields) => `lost connection after ${stageText(fields)} from ${fields.client}`,
  ),
  "connection-limit": smtpdEvent<FromClient & { count: number }>(
    "warning",
    ({ client, count, door }) =>
      `Connection concurrency limit exceeded: ${count} from ${client} for service ${door}`,
  ),
  "connections-full": smtpdEvent<FromClient & { limit: number }>(
    "warning",
    ({ client, limit }) => `all ${limit} connections are in use, turned away: ${client}`,
  ),
  "made-room": smtpdEvent<FromClient & { limit: number }>(
    "info",
    ({ client, limit }) =>
      `room made for another client, of ${limit} connections this was idle longest: ${client}`,
  ),
  "descriptors-short": smtpdEvent<FromClient & { limit: number }>(
    "warning",
    ({ client, limit }) => `nearly all ${limit} descriptors are in use, turned away: ${client}`,
  ),
  "proxy-refused": smtpdEvent<FromClient & { reason: string }>(
    "warning",
    ({ client, reason }) => `no usable PROXY header from ${client}: ${reason}`,
  ),
  "early-talker": smtpdEvent<FromClient & { octets: number }>(
    "info",
    ({ client, octets }) => `PREGREET ${octets} after 0 from ${client}`,
  ),
  pipelining: smtpdEvent<FromClient & { stage: string }>(
    "info",
    ({ client, stage }) => `improper command pipelining after ${stage} from ${client}`,
  ),
  timeout: smtpdEvent<FromClient & LoggedStage>(
    "info",
    (fields) => `timeout after ${stageText(fields)} from ${fields.client}`,
  ),
  "too-many-errors": smtpdEvent<FromClient & { stage: string }>(
    "info",
    ({ client, stage }) => `too many errors after ${stage} from ${client}`,
  ),
  "turned-away": smtpdEvent<FromClient & { stage: string; reply: Reply }>(
    "info",
    ({ client, stage, reply }) => `turned away after ${stage} from ${client}: ${formatReply(reply)}`,
  ),
  "tls-inbound": smtpdEvent<FromClient & { protocol: string; cipher: string; bits: number }>(
    "info",
    ({ client, protocol, cipher, bits }) =>
      `Anonymous TLS connection established from ${client}: ${protocol} with cipher ${cipher} (${bits}/${bits} bits)`,
  ),
  "tls-inbound-failed": smtpdEvent<FromClient & { reason: string }>(
    "info",
    ({ client, reason }) => `SSL_accept error from ${client}: ${reason}`,
  ),
  "auth-accepted": smtpdEvent<FromClient & { mechanism: string; login: string; password?: string }>(
    "info",
    ({ client, mechanism, login, password }) =>
      `${client}: SASL ${mechanism} authentication succeeded, sasl_username=${asOneWord(login)}${password === undefined ? "" : `, password=${password}`}`,
  ),
  // fail2ban's stock filter knows the mechanisms below only, and counts this line against the client. A failure by
  // another one is written as one by PLAIN, so that it counts as well.
  "auth-failed": smtpdEvent<FromClient & { mechanism: string; login: string; reason: string }>(
    "warning",
    ({ client, mechanism, login, reason }) => {
      const isKnown = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"].includes(mechanism);
      const what = isKnown ? reason : `${reason} (by ${mechanism})`;
      return `${client}: SASL ${isKnown ? mechanism : "PLAIN"} authentication failed: ${what}, sasl_username=${asOneWord(login)}`;
    },
  ),
  // Not a text that fail2ban counts: some programs try the best mechanism with every login, then one that it can use.
  "auth-in-vain": smtpdEvent<FromClient & { mechanism: string; login: string; reason: string }>(
    "info",
    ({ client, mechanism, login, reason }) =>
      `${client}: SASL ${mechanism} authentication not possible: ${reason}, sasl_username=${asOneWord(login)}`,
  ),
  // A text that fail2ban's stock filter ignores: our own failures ban nobody.
  "auth-unavailable": smtpdEvent<FromClient & { mechanism: string; login: string; reason: string }>(
    "warning",
    ({ client, mechanism, login, reason }) =>
      `${client}: SASL ${mechanism} authentication failed: Connection lost to authentication server (${reason}), sasl_username=${asOneWord(login)}`,
  ),
  // Not a text that fail2ban counts: it has counted the wrong passwords before.
  "auth-braked": smtpdEvent<FromClient & { mechanism: string; login: string; until: string }>(
    "warning",
    ({ client, mechanism, login, until }) =>
      `${client}: SASL ${mechanism} authentication not tried until ${until}: too many wrong passwords before, sasl_username=${asOneWord(login)}`,
  ),
  // Nor here: the password was right, and trying again is no attack.
  "auth-frozen": smtpdEvent<FromClient & { mechanism: string; login: string }>(
    "warning",
    ({ client, mechanism, login }) =>
      `${client}: SASL ${mechanism} authentication not allowed: the login is frozen, sasl_username=${asOneWord(login)}`,
  ),
  "session-frozen": smtpdEvent<FromClient & { login: string }>(
    "warning",
    ({ client, login }) => `session ended, the login is frozen: ${client}, sasl_username=${asOneWord(login)}`,
  ),
  "session-outdated": smtpdEvent<FromClient & { login: string }>(
    "warning",
    ({ client, login }) =>
      `session ended, the login was removed, locked or given another hash: ${client}, sasl_username=${asOneWord(login)}`,
  ),
  reject: smtpdEvent<
    FromClient & {
      id?: string;
      login?: string;
      stage: string;
      reply: Reply;
      from: string;
      to: string;
      helo: string;
    }
  >(
    "info",
    ({ client, id, stage, reply, from, to, helo }) =>
      `${id ?? "NOQUEUE"}: reject: ${stage} from ${client}: ${formatReply(reply)}; from=<${from}>${
        to === "" ? "" : ` to=<${to}>`
      } proto=ESMTP helo=<${asOneWord(helo)}>`,
  ),
  client: smtpdEvent<FromClient & OfMessage & { mechanism: string; login: string }>(
    "info",
    ({ id, client, mechanism, login }) =>
      `${id}: client=${client}, sasl_method=${mechanism}, sasl_username=${asOneWord(login)}`,
  ),
  "not-stored": smtpdEvent<FromClient & { id?: string; reason: string }>(
    "error",
    ({ client, id, reason }) => `${id ?? "NOQUEUE"}: message from ${client} could not be stored: ${reason}`,
  ),
  "limit-reached": event<{ login: string; limit: string; until: string }>(
    "master",
    "warning",
    ({ login, limit, until }) =>
      `limit of ${limit} reached until ${until}, sasl_username=${asOneWord(login)}`,
  ),
  milter: event<
    FromClient &
      OfMessage & {
        milter: string;
        verdict: "accepted" | "held" | "discarded" | "rejected" | "tempfailed";
        seconds: number;
        reason: string;
      }
  >(
    "cleanup",
    "info",
    ({ id, client, milter, verdict, seconds, reason }) =>
      `${id}: milter ${milter}: ${verdict} in ${seconds.toFixed(3)} seconds, client=${client}${reason === "" ? "" : `: ${reason}`}`,
  ),
  "milter-away": event<
    FromClient &
      OfMessage & {
        milter: string;
        action: "tempfail" | "accept" | "hold" | "reject";
        seconds: number;
        reason: string;
      }
  >(
    "cleanup",
    "warning",
    ({ id, client, milter, action, reason }) =>
      `${id}: milter ${milter} is away, when-away=${action}, client=${client}: ${reason}`,
  ),
  "message-id": event<OfMessage & { messageId: string }>(
    "cleanup",
    "info",
    ({ id, messageId }) => `${id}: message-id=<${messageId}>`,
  ),
  "author-completed": event<OfMessage & { from: string }>(
    "cleanup",
    "info",
    ({ id, from }) => `${id}: From or Sender named nobody, completed as <${from}>`,
  ),
  queued: event<OfMessage & { from: string; size: number; recipients: number }>(
    "qmgr",
    "info",
    ({ id, from, size, recipients }) =>
      `${id}: from=<${from}>, size=${size}, nrcpt=${recipients} (queue active)`,
  ),
  delivery: event<DeliveryAttempt>("smtp", "info", deliveryText),
  converted: event<OfMessage & { host: string }>(
    "smtp",
    "info",
    ({ id, host }) => `${id}: converted to 7-bit MIME for ${host}, which has no 8BITMIME`,
  ),
  "dkim-signed": event<OfMessage & { domain: string; selector: string; algorithm: string }>(
    "smtp",
    "info",
    ({ id, domain, selector, algorithm }) =>
      `${id}: DKIM-Signature field added (s=${selector}, d=${domain}, a=${algorithm})`,
  ),
  "dkim-unsigned": event<OfMessage & { reason: string }>(
    "smtp",
    "info",
    ({ id, reason }) => `${id}: no DKIM-Signature field added (${reason})`,
  ),
  "dkim-keys": event<{ domain: string; selectors: string }>(
    "master",
    "info",
    ({ domain, selectors }) => `DKIM: mail of ${domain} is signed by ${selectors}`,
  ),
  "dkim-refused": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `the DKIM keys were not taken over, the old ones stay in use: ${reason}`,
  ),
  "tls-outbound": event<{
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
  "tls-outbound-failed": event<{ relay: string; reason: string }>(
    "smtp",
    "info",
    ({ relay, reason }) => `Cannot start TLS with ${relay}: ${reason}; going on without`,
  ),
  "clear-outbound": event<{ relay: string }>(
    "smtp",
    "info",
    ({ relay }) => `Cleartext connection established to ${relay}`,
  ),
  "tls-policy-failed": event<{ relay: string; policy: string; reason: string }>(
    "smtp",
    "warning",
    ({ relay, policy, reason }) => `TLS policy "${policy}" not met by ${relay}: ${reason}`,
  ),
  "sts-policy": event<{ domain: string; id: string; mode: string; hosts: number; seconds: number }>(
    "smtp",
    "info",
    ({ domain, id, mode, hosts, seconds }) =>
      `MTA-STS policy of ${domain}: mode ${mode}, ${hosts} mx, for ${seconds} seconds (id ${id})`,
  ),
  "sts-trouble": event<{ domain: string; reason: string; held: boolean }>(
    "smtp",
    "warning",
    ({ domain, reason, held }) =>
      `cannot get the MTA-STS policy of ${domain}: ${reason}; ${held ? "the previous one stays in force" : "going on without one"}`,
  ),
  "sts-trial": event<{ relay: string; reason: string }>(
    "smtp",
    "info",
    ({ relay, reason }) => `MTA-STS in testing: ${relay} would not be used: ${reason}`,
  ),
  "sts-unsaved": event<{ domain: string; reason: string }>(
    "smtp",
    "error",
    ({ domain, reason }) => `MTA-STS policies on disk (${domain}): ${reason}`,
  ),
  "tls-report": event<{ domain: string; day: string; way: "mail" | "https" }>(
    "bounce",
    "info",
    ({ domain, day, way }) => `TLS report of ${day} on ${domain} sent by ${way}`,
  ),
  "tls-report-failed": event<{ domain: string; reason: string }>(
    "bounce",
    "warning",
    ({ domain, reason }) => `TLS report on ${domain} not sent: ${reason}`,
  ),
  "tls-reports-unsaved": event<{ reason: string }>(
    "bounce",
    "error",
    ({ reason }) => `counts for TLS reports on disk: ${reason}`,
  ),
  expired: event<OfMessage & { from: string }>(
    "qmgr",
    "info",
    ({ id, from }) => `${id}: from=<${from}>, status=expired, returned to sender`,
  ),
  "failure-report": event<OfMessage & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender non-delivery notification: ${report}`,
  ),
  "delay-report": event<OfMessage & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender delay notification: ${report}`,
  ),
  "success-report": event<OfMessage & { report: string }>(
    "bounce",
    "info",
    ({ id, report }) => `${id}: sender delivery status notification: ${report}`,
  ),
  "report-dropped": event<OfMessage>(
    "bounce",
    "info",
    ({ id }) => `${id}: undeliverable, and without a sender who could be told: discarded`,
  ),
  "destination-paused": event<{ destination: string; seconds: number; reason: string }>(
    "qmgr",
    "info",
    ({ destination, seconds, reason }) =>
      `no delivery to ${destination} for ${Math.round(seconds)} seconds: ${reason}`,
  ),
  "provider-paused": event<{ provider: string; seconds: number; reason: string }>(
    "qmgr",
    "warning",
    ({ provider, seconds, reason }) =>
      `no delivery to hosts of ${provider} for ${Math.round(seconds)} seconds: ${reason}`,
  ),
  "history-lost": event<OfMessage & { reason: string }>(
    "qmgr",
    "warning",
    ({ id, reason }) => `${id}: what happened could not be added to its history: ${reason}`,
  ),
  removed: event<OfMessage>("qmgr", "info", ({ id }) => `${id}: removed`),
  damaged: event<OfMessage & { reason: string }>(
    "qmgr",
    "error",
    ({ id, reason }) => `${id}: cannot be read, left where it is: ${reason}`,
  ),
  "spool-trouble": event<OfMessage & { reason: string }>(
    "qmgr",
    "error",
    ({ id, reason }) => `${id}: the spool cannot be written, trying again later: ${reason}`,
  ),
  suspected: event<OfMessage>(
    "qmgr",
    "warning",
    ({ id }) => `${id}: was in hand at an unclean end of the relay; after another one it is held`,
  ),
  held: event<OfMessage & { reason: string }>("qmgr", "error", ({ id, reason }) => `${id}: held: ${reason}`),
  standstill: event<{ seconds: number; processor: number; id: string }>(
    "master",
    "warning",
    ({ seconds, processor, id }) =>
      `nothing was done for ${seconds.toFixed(1)} seconds (${processor.toFixed(1)} of the processor)${
        id === "" ? "" : `, with ${id} in hand`
      }`,
  ),
  "aliases-line": event<{ reason: string }>("cleanup", "warning", ({ reason }) => reason),
  // As Postfix's pickup(8) says whose it is.
  pickup: event<{ drop: string; uid: number; from: string }>(
    "pickup",
    "info",
    ({ drop, uid, from }) => `${drop}: uid=${uid} from=<${from}>`,
  ),
  "drop-deferred": event<{ drop: string; reason: string }>(
    "pickup",
    "warning",
    ({ drop, reason }) => `${drop}: stays in the maildrop for now: ${reason}`,
  ),
  "drop-refused": event<{ drop: string; from: string; recipients: number; reply: Reply }>(
    "pickup",
    "warning",
    ({ drop, from, recipients, reply }) =>
      `${drop}: from=<${from}>, ${recipients} recipients refused: ${formatReply(reply)}`,
  ),
  "drop-ignored": event<{ drop: string; reason: string }>(
    "pickup",
    "warning",
    ({ drop, reason }) => `${drop}: is passed over: ${reason}`,
  ),
  "drop-trouble": event<{ drop: string; reason: string }>(
    "pickup",
    "error",
    ({ drop, reason }) => `${drop}: trying again later: ${reason}`,
  ),
  "spool-broken": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `the spool can promise nothing more, ending so that it is started again: ${reason}`,
  ),
  "lease-lost": event<OfMessage>(
    "qmgr",
    "warning",
    ({ id }) => `${id}: another host delivers it, and nothing of what came of it here was recorded`,
  ),
  "lease-over": event<{ reason: string }>(
    "qmgr",
    "error",
    ({ reason }) => `others may deliver what this host had, and it begins again: ${reason}`,
  ),
  claimed: event<{ host: string; messages: number }>(
    "qmgr",
    "info",
    ({ host, messages }) => `took over ${messages} messages${host === "" ? "" : ` of ${host}`}`,
  ),
  "store-away": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `the database cannot be reached, no mail is taken or delivered until it can: ${reason}`,
  ),
  "store-back": event<{ seconds: number }>(
    "master",
    "warning",
    ({ seconds }) => `the database is back after ${Math.round(seconds)} seconds`,
  ),
  "operator-act": event<OfMessage & { act: OperatorAction; by: string; reason: string }>(
    "postsuper",
    "info",
    ({ id, act, by, reason }) => `${id}: ${actionTexts[act]} by ${by}${reason === "" ? "" : `: ${reason}`}`,
  ),
  "operator-done": event<{ act: OperatorAction; messages: number; by: string }>(
    "postsuper",
    "info",
    ({ act, messages, by }) => `${actionTexts[act]}: ${messages} messages by ${by}`,
  ),
  "spool-repaired": event<{ fault: string; remedy: string; by: string }>(
    "postsuper",
    "warning",
    ({ fault, remedy, by }) => `${fault}; repaired by ${by}: ${remedy}`,
  ),
  "login-frozen": event<{ login: string; by: string; reason: string; sessions: number; held: number }>(
    "master",
    "warning",
    ({ login, by, reason, sessions, held }) =>
      `frozen by ${by}, ${sessions} sessions ended, ${held} messages held${
        reason === "" ? "" : ` (${reason})`
      }, sasl_username=${asOneWord(login)}`,
  ),
  "login-thawed": event<{ login: string; by: string; released: number; stillHeld: number }>(
    "master",
    "warning",
    ({ login, by, released, stillHeld }) =>
      `thawed by ${by}, ${released} messages released, ${stillHeld} stay held, sasl_username=${asOneWord(login)}`,
  ),
  unblocked: event<{ what: string; blocks: number; by: string }>(
    "master",
    "info",
    ({ what, blocks, by }) => `wrong passwords of ${what} forgotten by ${by}, ${blocks} blocks ended`,
  ),
  started: event<{ version: string; hostname: string; waiting: number }>(
    "master",
    "info",
    ({ version, hostname, waiting }) =>
      `tpa-submit ${version} started as ${hostname}, ${waiting} messages waiting`,
  ),
  listening: event<{ door: string; address: string }>(
    "master",
    "info",
    ({ door, address }) => `listening for ${door} on ${address}`,
  ),
  "listener-trouble": event<{ door: string; address: string; reason: string }>(
    "master",
    "error",
    ({ door, address, reason }) => `${door} on ${address}: ${reason}`,
  ),
  stopping: event<{ sessions: number }>(
    "master",
    "info",
    ({ sessions }) => `stopping: no new connections, ${sessions} sessions may end`,
  ),
  stopped: event<{ waiting: number }>(
    "master",
    "info",
    ({ waiting }) => `stopped, ${waiting} messages stay in the spool`,
  ),
  reloaded: event<Record<never, never>>(
    "master",
    "info",
    () => "configuration, certificate and passwords re-read",
  ),
  "reload-refused": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `configuration not re-read, the old one stays in use: ${reason}`,
  ),
  "restart-needed": event<{ settings: string }>(
    "master",
    "warning",
    ({ settings }) => `changed, but in use only after a restart: ${settings}`,
  ),
  "passwords-loaded": event<{ file: string; logins: number; ignored: number }>(
    "master",
    "info",
    ({ file, logins, ignored }) =>
      `${file}: ${logins} logins${ignored === 0 ? "" : `, ${ignored} lines that let nobody in`}`,
  ),
  "passwords-refused": event<{ file: string; reason: string }>(
    "master",
    "error",
    ({ reason }) => reason, // which names the file, and says who can log in now,
  ),
  "password-line": event<{ file: string; line: number; login: string; reason: string }>(
    "master",
    "warning",
    ({ file, line, login, reason }) => `${file}:${line}: ${login}: ${reason}`,
  ),
  "usage-unread": event<{ file: string; reason: string }>(
    "master",
    "warning",
    ({ file, reason }) => `${file}: ${reason}; what is missing there no longer counts for the limits`,
  ),
  "history-unwritten": event<{ directory: string; reason: string }>(
    "master",
    "error",
    ({ directory, reason }) =>
      `${directory}: the history cannot be written, what happens meanwhile will be missing there: ${reason}`,
  ),
  "privacy-key-unsaved": event<{ file: string; reason: string }>(
    "master",
    "error",
    ({ file, reason }) =>
      `${file}: cannot be written, trace finds no recipient of today by the address: ${reason}`,
  ),
  "usage-unsaved": event<{ file: string; reason: string }>(
    "master",
    "error",
    ({ file, reason }) =>
      `${file}: cannot be written, a restart would forget what counts for the limits: ${reason}`,
  ),
  "passwords-used-unsaved": event<{ file: string; reason: string }>(
    "master",
    "warning",
    ({ file, reason }) => `${file}: cannot be written, when passwords were used is not kept: ${reason}`,
  ),
  "certificate-loaded": event<{ file: string; names: string; until: string }>(
    "master",
    "info",
    ({ file, names, until }) => `${file}: certificate for ${names}, valid until ${until}`,
  ),
  "certificate-chain": event<{ file: string; gap: string }>(
    "master",
    "warning",
    ({ file, gap }) => `${file}: ${gap}`,
  ),
  "certificate-ending": event<{ file: string; names: string; days: number }>(
    "master",
    "warning",
    ({ file, names, days }) => `${file}: certificate for ${names} ends in ${days} days`,
  ),
  "certificate-expired": event<{ file: string; names: string; until: string }>(
    "master",
    "error",
    ({ file, names, until }) =>
      `${file}: certificate for ${names} expired on ${until}, clients may refuse it`,
  ),
  "not-listening": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `not listening until this is fixed, mail in the queue is still delivered: ${reason}`,
  ),
  "certificate-refused": event<{ reason: string }>(
    "master",
    "error",
    ({ reason }) => `${reason}; the old certificate stays in use`,
  ),
  "manager-untold": event<{ lines: string; reason: string }>(
    "master",
    "warning",
    ({ lines, reason }) => `systemd-notify could not say ${lines}: ${reason}`,
  ),
  "log-lost": event<{ lines: number }>(
    "master",
    "error",
    ({ lines }) => `${lines} lines of this log could not be written and are lost`,
  ),
  bug: event<{ where: string; stack: string }>(
    "master",
    "error",
    ({ where, stack }) => `bug in ${where}: ${stack}`,
  ),
};

export type EventName = keyof typeof events;
export type FieldsOf<Name extends EventName> = Parameters<(typeof events)[Name]["text"]>[0];

/** A row of the table. */
function event<Fields>(
  daemon: EventRow<Fields>["daemon"],
  level: LogLevel,
  text: (fields: Fields) => string,
): EventRow<Fields> {
  return { daemon, level, text };
}

/** A name that a client chose, as one word: it must not look like another part of the line. */
function asOneWord(said: string): string {
  return said.replace(/[\s<>,]/g, "?");
}

/** `DATA (123 bytes)`, as in Postfix. */
function stageText({ stage, octets }: LoggedStage): string {
  return octets === undefined ? stage : `${stage} (${octets} bytes)`;
}

function smtpdEvent<Fields extends FromClient>(
  level: LogLevel,
  text: (fields: Fields) => string,
): EventRow<Fields> {
  return { daemon: "smtpd", level, text };
}

/** The result of a delivery, in RFC 3464 terms as Postfix uses them. */
export function deliveryStatus(reply: Reply): "sent" | "bounced" | "deferred" {
  if (isPositive(reply)) return "sent";
  return isPermanent(reply) ? "bounced" : "deferred";
}

/** The line about one delivery, in Postfix's format. */
function deliveryText({ id, to, relay, delays, reply, command, use }: DeliveryAttempt): string {
  const total = delays.reduce((sum, part) => sum + part, 0);
  const quote = formatReply(reply);
  const said = relay === "none" ? reply.text : `host ${relay.replace(/:\d+$/, "")} said: ${quote}`;
  const reason = isPositive(reply)
    ? quote
    : `${said}${command === "" ? "" : ` (in reply to ${command} command)`}`;
  return (
    `${id}: to=<${to}>, relay=${relay}, ${use === undefined ? "" : `conn_use=${use}, `}delay=${seconds(total)}, delays=${delays.map(seconds).join("/")}, ` +
    `dsn=${reply.status}, status=${deliveryStatus(reply)} (${reason})`
  );
}

/** Delays that were written a moment ago: most are those of a few milliseconds. How many is our choice. */
const writtenSeconds = new Map<number, string>();
const mostWritten = 1_000;

/** Two significant digits and at most two behind the point, as Postfix prints delays. */
function seconds(value: number): string {
  if (value < 0.005) return "0";
  const known = writtenSeconds.get(value);
  if (known !== undefined) return known;
  const text = value < 10 ? String(Number(Number(value.toPrecision(2)).toFixed(2))) : value.toFixed(0);
  if (writtenSeconds.size >= mostWritten) writtenSeconds.clear();
  writtenSeconds.set(value, text);
  return text;
}
