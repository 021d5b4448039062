/**
 * A connection to a next hop that is ready for mail: TCP, greeting, EHLO, TLS, login.
 * Whatever goes wrong comes back as a temporary reply: it says something of the host, nothing of the message. Only for a
 * message that is bound to TLS a host that cannot do it is none for good.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";
import { errorText } from "../../../failure.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { log } from "../../log/log.ts";
import type { Hop } from "../route/route.ts";
import { chainOf, matchesTlsa } from "../tls/dane.ts";
import { policyFor, type TlsPolicy, tlsOptions } from "../tls/policy.ts";
import { within } from "./deadline.ts";
import { dial } from "./dial.ts";
import { brokenConnection, oneLine, peer, peerWithPort, replyIn } from "./peer.ts";
import { step, type WireError } from "./step.ts";
import type { Terms } from "./terms.ts";
import { WireConnection } from "./wire.ts";

export interface NoSession {
  readonly reply: Reply;
  /** Why the TLS handshake failed, where TLS was only a bonus: the host may be tried again without. */
  readonly handshake?: string;
}

/**
 * Opens a session that keeps to `policyFor(hop, terms)`. `clear` forgoes STARTTLS, where the policy is opportunistic.
 */
export function openSession(
  hop: Hop,
  terms: Terms,
  clear: boolean,
  signal: AbortSignal,
): Promise<WireConnection | NoSession> {
  return within(signal, terms.timeouts.transaction, (bound) => open(hop, terms, clear, bound));
}

async function open(
  hop: Hop,
  terms: Terms,
  clear: boolean,
  signal: AbortSignal,
): Promise<WireConnection | NoSession> {
  const policy = policyFor(hop, terms);
  const socket = await dial(hop, terms.source ?? {}, terms.timeouts.connect, signal);
  if ("code" in socket) return { reply: socket };
  const wire = new WireConnection(optionsFor(hop, terms, policy, clear, socket));
  const opened = await step<void>(wire, signal, (done) => wire.connect(done));
  const trouble = opened.error
    ? noSession(opened.error, wire, hop, policy)
    : (unproven(wire, hop, policy, terms) ??
      unbound(wire, hop) ??
      (await refusedLogin(wire, hop, terms, signal)));
  if (!trouble) return wire;
  wire.close();
  return trouble;
}

function optionsFor(
  hop: Hop,
  terms: Terms,
  policy: TlsPolicy,
  clear: boolean,
  connection: Socket,
): SMTPConnectionOptions {
  const { protocol, hostname, timeouts } = terms;
  const implicit = hop.implicit === true;
  const optional = policy.kind === "opportunistic";
  return {
    connection,
    host: hop.host,
    port: hop.port,
    name: hostname,
    lmtp: protocol === "lmtp",
    secure: implicit,
    ignoreTLS: clear && optional,
    requireTLS: !implicit && !optional,
    opportunisticTLS: optional,
    tls: tlsOptions(policy, hop.host),
    connectionTimeout: timeouts.transaction,
    greetingTimeout: timeouts.reply,
    socketTimeout: timeouts.reply,
    socketCloseTimeout: 2000,
    maxResponseSize: 64 * 1024,
  };
}

function noSession(error: WireError, wire: WireConnection, hop: Hop, policy: TlsPolicy): NoSession {
  const { response } = error;
  if (error.command === "STARTTLS" && response !== undefined) {
    const reason = `TLS is required, but was not offered by host ${peer(hop)}: ${oneLine(response)}`;
    return unmet(policy, hop, no("4.7.4", reason));
  }
  if (wire.upgrading === true) {
    const reason = oneLine(errorText(error));
    const failed = no("4.7.5", `Cannot start TLS with ${peer(hop)}: ${reason}`);
    return policy.kind === "opportunistic" ? { ...failed, handshake: reason } : unmet(policy, hop, failed);
  }
  if (response === undefined) return { reply: brokenConnection(error, wire.doing, hop) };
  // As Postfix's smtp_skip_5xx_greeting, on by default: a host that turns everybody away may change its mind.
  const status = replyIn(response).status.replace(/^\d/, "4");
  return no(status, `host ${peer(hop)} refused to talk to me: ${oneLine(response)}`);
}

/** What the handshake could not find out; after it, what the connection has is written down. */
function unproven(
  { socket }: WireConnection,
  hop: Hop,
  policy: TlsPolicy,
  { now }: Terms,
): NoSession | undefined {
  const relay = peerWithPort(hop);
  if (!(socket instanceof TLSSocket)) {
    if (policy.kind === "opportunistic") {
      log("clear-outbound", { relay });
      if (hop.trial) log("sts-trial", { relay, reason: "no TLS" });
      return undefined;
    }
    return unmet(policy, hop, no("4.7.4", `TLS is required, but was not had from host ${peer(hop)}`));
  }
  if (policy.kind === "dane" && !matchesTlsa(chainOf(socket), policy.records, policy.names, now())) {
    const reason = `the certificate of ${peer(hop)} is not the one that the TLSA records are about (DANE)`;
    return unmet(policy, hop, no("4.7.5", reason));
  }
  if (hop.trial && !socket.authorized) log("sts-trial", { relay, reason: `${socket.authorizationError}` });
  const { standardName } = socket.getCipher();
  log("tls-outbound", {
    relay,
    policy: policy.kind,
    trust: trustIn(socket, policy),
    protocol: socket.getProtocol() ?? "unknown",
    cipher: standardName,
    bits: standardName.includes("128") ? 128 : 256,
  });
  return undefined;
}

/** Postfix's words: "Trusted" is signed by a known CA, for whatever name; "Verified" is what was demanded. */
function trustIn(socket: TLSSocket, { kind }: TlsPolicy): "Verified" | "Trusted" | "Untrusted" {
  if (kind === "verified" || kind === "dane") return "Verified";
  return socket.authorized ? "Trusted" : "Untrusted";
}

/**
 * A login that fails is the operator's to mend: the mail stays here, the sender could do nothing about it.
 */
async function refusedLogin(
  wire: WireConnection,
  hop: Hop,
  { credentials }: Terms,
  signal: AbortSignal,
): Promise<NoSession | undefined> {
  if (!credentials) return undefined;
  const { user, password, setIn } = credentials;
  const mend = `check ${setIn}`;
  if (!wire.secure) return no("4.7.4", `no TLS with ${peer(hop)}, so the password is not sent there`);
  if (!wire.allowsAuth) return no("4.7.0", `host ${peer(hop)} does not offer AUTH: ${mend}`);
  const { error } = await step(wire, signal, (done) => wire.login({ user, pass: password }, done));
  if (!error) return undefined;
  if (error.response === undefined) return { reply: brokenConnection(error, wire.doing, hop) };
  return no("4.7.0", `host ${peer(hop)} refused our login: ${oneLine(error.response)}; ${mend}`);
}

/** RFC 8689 section 4.2.1: the host must take over the promise that the message came with. */
function unbound(wire: WireConnection, hop: Hop): NoSession | undefined {
  if (!hop.bound || wire.offers("REQUIRETLS")) return undefined;
  return {
    reply: reply(550, "5.7.30", `the message was sent with REQUIRETLS, which ${peer(hop)} does not offer`),
  };
}

function unmet({ kind }: TlsPolicy, hop: Hop, failed: NoSession): NoSession {
  const { text } = failed.reply;
  log("tls-policy-failed", { relay: peerWithPort(hop), policy: kind, reason: text });
  return hop.bound ? { reply: reply(550, "5.7.10", text) } : failed; // RFC 8689 section 4.2.1
}

const no = (status: string, text: string): NoSession => ({ reply: reply(451, status, text) });
