/**
 * A connection to a next hop that is ready for mail: TCP, greeting, EHLO, TLS, login.
 * Whatever goes wrong comes back as a temporary reply: it says something of the host, nothing of the message.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";
import { errorText } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log } from "../observe/log.ts";
import { within } from "./deadline.ts";
import { dial } from "./dial.ts";
import { brokenConnection, oneLine, peer, peerWithPort, replyIn } from "./peer.ts";
import type { Hop } from "./route.ts";
import { step, type WireError } from "./step.ts";
import type { Terms } from "./terms.ts";
import { WireConnection } from "./wire.ts";

export interface NoSession {
  readonly reply: Reply;
  /** Why the TLS handshake failed, where TLS was only a bonus: the host may be tried again without. */
  readonly handshake?: string;
}

/** Opens a session; `clear` forgoes STARTTLS. */
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
  const socket = await dial(hop, terms.timeouts.connect, signal);
  if ("code" in socket) return { reply: socket };
  const wire = new WireConnection(optionsFor(hop, terms, clear, socket));
  const opened = await step<void>(wire, signal, (done) => wire.connect(done));
  const trouble = opened.error
    ? noSession(opened.error, wire, hop, terms)
    : await refusedLogin(wire, hop, terms, signal);
  if (!trouble) return wire;
  wire.close();
  return trouble;
}

function optionsFor(hop: Hop, terms: Terms, clear: boolean, connection: Socket): SMTPConnectionOptions {
  const { protocol, hostname, security, timeouts } = terms;
  const implicit = security.kind === "implicit";
  const needed = security.verified || terms.credentials !== undefined;
  return {
    connection,
    host: hop.host,
    port: hop.port,
    name: hostname,
    lmtp: protocol === "lmtp",
    secure: implicit,
    ignoreTLS: clear,
    requireTLS: !implicit && needed,
    opportunisticTLS: !implicit && !needed,
    tls: {
      rejectUnauthorized: security.verified,
      minVersion: "TLSv1.2",
      ...(security.ca !== undefined && { ca: security.ca }),
    },
    connectionTimeout: timeouts.transaction,
    greetingTimeout: timeouts.reply,
    socketTimeout: timeouts.reply,
    socketCloseTimeout: 2000,
    maxResponseSize: 64 * 1024,
  };
}

function noSession(error: WireError, wire: WireConnection, hop: Hop, terms: Terms): NoSession {
  const { response } = error;
  const { security, credentials } = terms;
  if (error.command === "STARTTLS" && response !== undefined) {
    return no("4.7.4", `TLS is required, but was not offered by host ${peer(hop)}: ${oneLine(response)}`);
  }
  if (wire.upgrading === true) {
    const failed = no("4.7.5", `Cannot start TLS with ${peer(hop)}: ${errorText(error)}`);
    const optional = security.kind === "starttls" && !security.verified && credentials === undefined;
    return optional ? { ...failed, handshake: errorText(error) } : failed;
  }
  if (response === undefined) return { reply: brokenConnection(error, wire.doing, hop) };
  // As Postfix's smtp_skip_5xx_greeting, on by default: a host that turns everybody away may change its mind.
  const status = replyIn(response).status.replace(/^\d/, "4");
  return no(status, `host ${peer(hop)} refused to talk to me: ${oneLine(response)}`);
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
  noteTls(wire.socket, peerWithPort(hop));
  if (!credentials) return undefined;
  const mend = "check delivery.relay-user and delivery.relay-password-file";
  if (!wire.secure) return no("4.7.4", `no TLS with ${peer(hop)}, so the password is not sent there`);
  if (!wire.allowsAuth) return no("4.7.0", `host ${peer(hop)} does not offer AUTH: ${mend}`);
  const { user, password } = credentials;
  const { error } = await step(wire, signal, (done) => wire.login({ user, pass: password }, done));
  if (!error) return undefined;
  if (error.response === undefined) return { reply: brokenConnection(error, wire.doing, hop) };
  return no("4.7.0", `host ${peer(hop)} refused our login: ${oneLine(error.response)}; ${mend}`);
}

const no = (status: string, text: string): NoSession => ({ reply: reply(451, status, text) });

function noteTls(socket: Socket | undefined, relay: string): void {
  if (!(socket instanceof TLSSocket)) return;
  const { standardName } = socket.getCipher();
  log("tls-outbound", {
    relay,
    trust: socket.authorized ? "Verified" : "Untrusted",
    protocol: socket.getProtocol() ?? "unknown",
    cipher: standardName,
    bits: standardName.includes("128") ? 128 : 256,
  });
}
