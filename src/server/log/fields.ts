/**
 * Every field of every event, with the kind of what stands in it. What `log.privacy` shortens follows from the kind, and
 * man/tpa-submit-serve.8, LOG EVENTS, lists the fields. The compiler wants a place here for each field of a row of
 * events.ts; a test tries them all.
 */
import type { EventName, FieldsOf } from "./events.ts";

/**
 * open: nothing about a person but a login or a sender, who is known to the site. client: the address of a client, alone
 * or in brackets. recipient: an address. said: words of somebody else, or a reply, which may hold either.
 */
export type FieldKind = "open" | "client" | "recipient" | "said";

const open = "open";
const client = "client";
const recipient = "recipient";
const said = "said";

type FieldKinds = { readonly [Name in EventName]: { readonly [Field in keyof FieldsOf<Name>]-?: FieldKind } };

export const fieldKinds: FieldKinds = {
  connect: { door: open, client: client },
  disconnect: { door: open, client: client, commands: open },
  "connection-lost": { door: open, client: client, stage: open, octets: open },
  "connection-limit": { door: open, client: client, count: open },
  "connections-full": { door: open, client: client, limit: open },
  "made-room": { door: open, client: client, limit: open },
  "descriptors-short": { door: open, client: client, limit: open },
  "proxy-refused": { door: open, client: client, reason: said },
  "early-talker": { door: open, client: client, octets: open },
  pipelining: { door: open, client: client, stage: open },
  timeout: { door: open, client: client, stage: open, octets: open },
  "too-many-errors": { door: open, client: client, stage: open },
  "turned-away": { door: open, client, stage: open, reply: said },
  "tls-inbound": { door: open, client: client, protocol: open, cipher: open, bits: open },
  "tls-inbound-failed": { door: open, client: client, reason: said },
  "auth-accepted": { door: open, client: client, mechanism: open, login: open },
  "auth-failed": { door: open, client: client, mechanism: open, login: open, reason: said },
  "auth-in-vain": { door: open, client: client, mechanism: open, login: open, reason: said },
  "auth-unavailable": { door: open, client: client, mechanism: open, login: open, reason: said },
  "auth-braked": { door: open, client: client, mechanism: open, login: open, until: open },
  "auth-frozen": { door: open, client: client, mechanism: open, login: open },
  "session-frozen": { door: open, client: client, login: open },
  "session-outdated": { door: open, client: client, login: open },
  reject: {
    door: open,
    client: client,
    id: open,
    login: open,
    stage: open,
    reply: said,
    from: open,
    to: recipient,
    helo: client,
  },
  client: { door: open, client: client, id: open, mechanism: open, login: open },
  "not-stored": { door: open, client: client, id: open, reason: said },
  "limit-reached": { login: open, limit: open, until: open },
  "message-id": { id: open, messageId: open },
  queued: { id: open, from: open, size: open, recipients: open },
  delivery: {
    id: open,
    to: recipient,
    relay: open,
    delays: open,
    reply: said,
    command: open,
    use: open,
    tls: open,
  },
  converted: { id: open, host: open },
  "tls-outbound": { relay: open, policy: open, trust: open, protocol: open, cipher: open, bits: open },
  "tls-outbound-failed": { relay: open, reason: said },
  "clear-outbound": { relay: open },
  "tls-policy-failed": { relay: open, policy: open, reason: said },
  "sts-policy": { domain: open, id: open, mode: open, hosts: open, seconds: open },
  "sts-trouble": { domain: open, reason: said, held: open },
  "sts-trial": { relay: open, reason: said },
  "sts-unsaved": { domain: open, reason: said },
  expired: { id: open, from: open },
  "failure-report": { id: open, report: open },
  "delay-report": { id: open, report: open },
  "success-report": { id: open, report: open },
  "report-dropped": { id: open },
  "destination-paused": { destination: open, seconds: open, reason: said },
  "history-lost": { id: open, reason: said },
  removed: { id: open },
  damaged: { id: open, reason: said },
  "spool-trouble": { id: open, reason: said },
  suspected: { id: open },
  held: { id: open, reason: said },
  standstill: { seconds: open, processor: open, id: open },
  "spool-broken": { reason: said },
  "operator-act": { id: open, act: open, by: open, reason: said },
  "operator-done": { act: open, messages: open, by: open },
  "spool-repaired": { fault: said, remedy: open, by: open },
  "login-frozen": { login: open, by: open, reason: said, sessions: open, held: open },
  "login-thawed": { login: open, by: open, released: open, stillHeld: open },
  unblocked: { what: client, blocks: open, by: open },
  started: { version: open, hostname: open, waiting: open },
  listening: { door: open, address: open },
  "listener-trouble": { door: open, address: open, reason: said },
  stopping: { sessions: open },
  stopped: { waiting: open },
  reloaded: {},
  "reload-refused": { reason: said },
  "restart-needed": { settings: open },
  "passwords-loaded": { file: open, logins: open, ignored: open },
  "passwords-refused": { file: open, reason: said },
  "password-line": { file: open, line: open, login: open, reason: said },
  "usage-unread": { file: open, reason: said },
  "history-unwritten": { directory: open, reason: said },
  "privacy-key-unsaved": { file: open, reason: said },
  "usage-unsaved": { file: open, reason: said },
  "certificate-loaded": { file: open, names: open, until: open },
  "certificate-chain": { file: open, gap: open },
  "certificate-ending": { file: open, names: open, days: open },
  "certificate-expired": { file: open, names: open, until: open },
  "not-listening": { reason: said },
  "certificate-refused": { reason: said },
  "manager-untold": { lines: open, reason: said },
  "log-lost": { lines: open },
  bug: { where: open, stack: said },
};
