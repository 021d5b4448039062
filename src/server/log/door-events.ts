/** What happens at the doors, where clients come in: the first part of the table in events.ts. */
import { formatReply, type Reply } from "../../smtp/reply.ts";
import { type Door, type InQueue, type Level, type Row, word } from "./row.ts";

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

export const doorEvents = {
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
  "made-room": at<AtDoor & { limit: number }>(
    "info",
    ({ client, limit }) =>
      `room made for another client, of ${limit} connections this was idle longest: ${client}`,
  ),
  "descriptors-short": at<AtDoor & { limit: number }>(
    "warning",
    ({ client, limit }) => `nearly all ${limit} descriptors are in use, turned away: ${client}`,
  ),
  "proxy-refused": at<AtDoor & { reason: string }>(
    "warning",
    ({ client, reason }) => `no usable PROXY header from ${client}: ${reason}`,
  ),
  "early-talker": at<AtDoor & { octets: number }>(
    "info",
    ({ client, octets }) => `PREGREET ${octets} after 0 from ${client}`,
  ),
  pipelining: at<AtDoor & { stage: string }>(
    "info",
    ({ client, stage }) => `improper command pipelining after ${stage} from ${client}`,
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
  // fail2ban's stock filter knows the mechanisms below only, and counts this line against the client. A failure by
  // another one is written as one by PLAIN, so that it counts as well.
  "auth-failed": at<AtDoor & { mechanism: string; login: string; reason: string }>(
    "warning",
    ({ client, mechanism, login, reason }) => {
      const isKnown = ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"].includes(mechanism);
      const what = isKnown ? reason : `${reason} (by ${mechanism})`;
      return `${client}: SASL ${isKnown ? mechanism : "PLAIN"} authentication failed: ${what}, sasl_username=${word(login)}`;
    },
  ),
  // No words of fail2ban's: some programs try the best mechanism with every login, and then one that it can use.
  "auth-in-vain": at<AtDoor & { mechanism: string; login: string; reason: string }>(
    "info",
    ({ client, mechanism, login, reason }) =>
      `${client}: SASL ${mechanism} authentication not possible: ${reason}, sasl_username=${word(login)}`,
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
  // Nor here: the password was right, and another try from there is no crime.
  "auth-frozen": at<AtDoor & { mechanism: string; login: string }>(
    "warning",
    ({ client, mechanism, login }) =>
      `${client}: SASL ${mechanism} authentication not allowed: the login is frozen, sasl_username=${word(login)}`,
  ),
  "session-frozen": at<AtDoor & { login: string }>(
    "warning",
    ({ client, login }) => `session ended, the login is frozen: ${client}, sasl_username=${word(login)}`,
  ),
  "session-outdated": at<AtDoor & { login: string }>(
    "warning",
    ({ client, login }) =>
      `session ended, the login was removed, locked or given another hash: ${client}, sasl_username=${word(login)}`,
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
};

/** `DATA (123 bytes)`, as Postfix says it. */
function stageText({ stage, octets }: Stage): string {
  return octets === undefined ? stage : `${stage} (${octets} bytes)`;
}

function at<Fields extends AtDoor>(level: Level, text: (fields: Fields) => string): Row<Fields> {
  return { daemon: "smtpd", level, text };
}
