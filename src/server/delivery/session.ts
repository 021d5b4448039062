/**
 * A connection to a next hop that is ready for mail: TCP, greeting, EHLO, TLS, login. Every failure is a temporary
 * reply: it is about the host, not about the message. Only for a message with REQUIRETLS is a host without it a
 * permanent failure.
 */

import { connect, isIPv6, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { getSystemErrorMap } from "node:util";
import { errorCode, errorText } from "../../failure.ts";
import { Connection, isPositive, type ServerAnswer, withDeadline } from "../../smtp/client/connection.ts";
import { logIn, offersAuth } from "../../smtp/client/login.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log } from "../log/log.ts";
import { brokenConnection, type NextHop, oneLine, peer, peerWithPort, replyIn } from "./next-hop.ts";
import type { DeliverySession } from "./session-pool.ts";
import { chainOf, matchesTlsa } from "./tls/dane.ts";
import { failureIn, type TlsFailure } from "./tls/observation.ts";
import { policyFor, type TlsPolicy, tlsOptions } from "./tls/policy.ts";
import type { Source, TransportSettings } from "./transport-settings.ts";

export interface SessionFailure {
  readonly reply: Reply;
  /** Why the TLS handshake failed, if TLS was optional: the host may be tried again without. */
  readonly handshake?: string;
  /** Present if TLS was the reason. */
  readonly tls?: TlsFailure;
}

/** Hears how TLS with a host went, if there was a session or should have been one. */
export type HearTls = (failure: TlsFailure | undefined) => void;

/** Opens a session under `policyFor(hop, settings)`. `clear` skips STARTTLS if the policy is opportunistic. */
function openSession(
  hop: NextHop,
  settings: TransportSettings,
  clear: boolean,
  signal: AbortSignal,
): Promise<Connection | SessionFailure> {
  return withDeadline(signal, settings.timeouts.transaction, (bound) => open(hop, settings, clear, bound));
}

async function open(
  hop: NextHop,
  settings: TransportSettings,
  clear: boolean,
  signal: AbortSignal,
): Promise<Connection | SessionFailure> {
  const policy = policyFor(hop, settings);
  const socket = await dial(hop, settings.source ?? {}, settings.timeouts.connect, signal);
  if ("code" in socket) return { reply: socket };
  const { protocol, hostname, timeouts, now } = settings;
  const connection = new Connection(socket, { protocol, hostname, patience: timeouts.reply, now });
  const failure =
    (await failedGreeting(connection, hop, policy, clear, signal)) ??
    failedTlsPolicy(connection, hop, policy, settings) ??
    missingRequireTls(connection, hop) ??
    (await failedLogin(connection, hop, settings, signal));
  if (!failure) return connection;
  connection.close();
  return failure;
}

/** From the first octet to EHLO, TLS included. */
async function failedGreeting(
  connection: Connection,
  hop: NextHop,
  policy: TlsPolicy,
  clear: boolean,
  signal: AbortSignal,
): Promise<SessionFailure | undefined> {
  const needsTls = hop.implicit !== true && policy.kind !== "opportunistic";
  if (hop.implicit) {
    const failed = await failedHandshake(connection, hop, policy, signal);
    if (failed) return failed;
  }
  const greeting = await withDeadline(signal, connection.patience, (bound) => connection.read(bound));
  if (greeting.kind !== "reply" || !greeting.text.startsWith("220"))
    return refusedByHost(greeting, connection, hop);
  const hello = await connection.hello(needsTls, signal);
  if (!isPositive(hello)) return refusedByHost(hello, connection, hop);
  const offered = connection.offers("STARTTLS") && !(clear && !needsTls);
  if (connection.tls || !(offered || needsTls)) return undefined;
  const answer = await connection.command("STARTTLS", signal);
  if (answer.kind !== "reply") return refusedByHost(answer, connection, hop);
  if (!isPositive(answer)) {
    if (!needsTls) return undefined; // in clear, with the extensions announced before
    const reason = `TLS is required, but was not offered by host ${peer(hop)}: ${oneLine(answer.text)}`;
    return policyFailure(policy, hop, { ...temporaryFailure("4.7.4", reason), tls: noStartTls });
  }
  const failed = await failedHandshake(connection, hop, policy, signal);
  if (failed) return failed;
  const again = await connection.hello(needsTls, signal);
  return isPositive(again) ? undefined : refusedByHost(again, connection, hop);
}

async function failedHandshake(
  connection: Connection,
  hop: NextHop,
  policy: TlsPolicy,
  signal: AbortSignal,
): Promise<SessionFailure | undefined> {
  const handshake = await connection.startTls(tlsOptions(policy, hop.host), signal);
  if (handshake.kind === "done") return undefined;
  const reason = oneLine(
    handshake.kind === "failed" ? errorText(handshake.error) : handshakeEndings[handshake.kind],
  );
  const failed = {
    ...temporaryFailure("4.7.5", `Cannot start TLS with ${peer(hop)}: ${reason}`),
    tls: handshake.kind === "failed" ? failureIn(handshake.error) : failureIn(handshake.kind),
  };
  return policy.kind === "opportunistic"
    ? { ...failed, handshake: reason }
    : policyFailure(policy, hop, failed);
}

const handshakeEndings = {
  closed: "Connection closed unexpectedly",
  late: "TLS handshake timed out",
  aborted: "out of time",
} as const;

/** The host refused us, or ended the connection, before the session was ready. */
function refusedByHost(answer: ServerAnswer, { state }: Connection, hop: NextHop): SessionFailure {
  const text = answer.kind === "reply" ? answer.text : answer.kind === "lost" ? answer.rest : undefined;
  if (text === undefined && answer.kind !== "reply") return { reply: brokenConnection(answer, state, hop) };
  const said = text ?? "";
  // Like Postfix's smtp_skip_5xx_greeting, on by default: a host that refuses everybody may change that.
  const status = replyIn(said).status.replace(/^\d/, "4");
  return temporaryFailure(status, `host ${peer(hop)} refused to talk to me: ${oneLine(said)}`);
}

/** Checks that the handshake alone cannot make; then logs the connection's TLS. */
function failedTlsPolicy(
  { tls }: Connection,
  hop: NextHop,
  policy: TlsPolicy,
  { now }: TransportSettings,
): SessionFailure | undefined {
  const relay = peerWithPort(hop);
  if (tls === undefined) {
    if (policy.kind === "opportunistic") {
      log("clear-outbound", { relay });
      if (hop.stsTesting) log("sts-trial", { relay, reason: "no TLS" });
      return undefined;
    }
    return policyFailure(policy, hop, {
      ...temporaryFailure("4.7.4", `TLS is required, but was not had from host ${peer(hop)}`),
      tls: noStartTls,
    });
  }
  if (policy.kind === "dane" && !matchesTlsa(chainOf(tls), policy.records, policy.names, now())) {
    const reason = `the certificate of ${peer(hop)} is not the one that the TLSA records are about (DANE)`;
    return policyFailure(policy, hop, {
      ...temporaryFailure("4.7.5", reason),
      tls: failureIn("tlsa-mismatch"),
    });
  }
  if (hop.stsTesting && !tls.authorized) log("sts-trial", { relay, reason: `${tls.authorizationError}` });
  const { standardName } = tls.getCipher();
  log("tls-outbound", {
    relay,
    policy: policy.kind,
    trust: trustIn(tls, policy),
    protocol: tls.getProtocol() ?? "unknown",
    cipher: standardName,
    bits: standardName.includes("128") ? 128 : 256,
  });
  return undefined;
}

/** Postfix's terms: "Trusted" is signed by a known CA, for any name; "Verified" has met the policy. */
function trustIn(tls: TLSSocket, { kind }: TlsPolicy): "Verified" | "Trusted" | "Untrusted" {
  if (kind === "verified" || kind === "dane") return "Verified";
  return tls.authorized ? "Trusted" : "Untrusted";
}

/** Only the operator can repair a failed login, so the mail stays in the queue. */
async function failedLogin(
  connection: Connection,
  hop: NextHop,
  { credentials }: TransportSettings,
  signal: AbortSignal,
): Promise<SessionFailure | undefined> {
  if (!credentials) return undefined;
  const advice = `check ${credentials.setIn}`;
  if (!connection.tls)
    return temporaryFailure("4.7.4", `no TLS with ${peer(hop)}, so the password is not sent there`);
  if (!offersAuth(connection))
    return temporaryFailure("4.7.0", `host ${peer(hop)} does not offer AUTH: ${advice}`);
  const { succeeded: isIn, answer } = await logIn(connection, credentials, signal);
  if (isIn) return undefined;
  const text = answer.kind === "reply" ? answer.text : answer.kind === "lost" ? answer.rest : undefined;
  if (text === undefined && answer.kind !== "reply")
    return { reply: brokenConnection(answer, connection.state, hop) };
  return temporaryFailure("4.7.0", `host ${peer(hop)} refused our login: ${oneLine(text ?? "")}; ${advice}`);
}

/** RFC 8689 section 4.2.1: the host must offer REQUIRETLS if the message came with it. */
function missingRequireTls(connection: Connection, hop: NextHop): SessionFailure | undefined {
  if (!hop.requireTls || connection.offers("REQUIRETLS")) return undefined;
  return {
    reply: reply(550, "5.7.30", `the message was sent with REQUIRETLS, which ${peer(hop)} does not offer`),
  };
}

function policyFailure({ kind }: TlsPolicy, hop: NextHop, failed: SessionFailure): SessionFailure {
  const { text } = failed.reply;
  log("tls-policy-failed", { relay: peerWithPort(hop), policy: kind, reason: text });
  return hop.requireTls ? { ...failed, reply: reply(550, "5.7.10", text) } : failed; // RFC 8689 section 4.2.1
}

const noStartTls: TlsFailure = { type: "starttls-not-supported", code: "" };

const temporaryFailure = (status: string, text: string): SessionFailure => ({
  reply: reply(451, status, text),
});

/** The session pool's key: all of the hop and all of the settings. */
export function sessionKey(hop: NextHop, settings: TransportSettings): string {
  return `${jsonOf(hop)} ${jsonOf(settings)}`;
}

/** The settings are the same for every message, and may have a hundred certificates in them; a relay's hop often is, too. */
const known = new WeakMap<NextHop | TransportSettings, string>();

function jsonOf(part: NextHop | TransportSettings): string {
  const json = known.get(part) ?? JSON.stringify(part);
  known.set(part, json);
  return json;
}

/** If TLS is optional, a failed handshake is followed by an attempt without it (RFC 7435 section 3). */
export async function newSession(
  hop: NextHop,
  settings: TransportSettings,
  signal: AbortSignal,
  hear: HearTls = () => undefined,
): Promise<DeliverySession | SessionFailure> {
  const first = await openSession(hop, settings, false, signal);
  if (!("reply" in first)) hear(shortcomingOf(first, hop));
  else if (first.tls && !signal.aborted) hear(first.tls);
  if (!("reply" in first)) return newlyOpened(first, hop, settings, true);
  if (first.handshake === undefined || signal.aborted) return first;
  log("tls-outbound-failed", { relay: peerWithPort(hop), reason: first.handshake });
  const second = await openSession(hop, settings, true, signal);
  if ("reply" in second) return second;
  return newlyOpened(second, hop, settings, false);
}

/** Why a session does not do, though it is used: there is no TLS, or a policy in testing would not let it be. */
function shortcomingOf({ tls }: Connection, { stsTesting }: NextHop): TlsFailure | undefined {
  if (tls === undefined) return noStartTls;
  return stsTesting && !tls.authorized ? failureIn(`${tls.authorizationError}`) : undefined;
}

function newlyOpened(
  connection: Connection,
  hop: NextHop,
  settings: TransportSettings,
  lasting: boolean,
): DeliverySession {
  const { tls } = connection;
  return {
    connection,
    opened: settings.now(),
    tls: tls && `${trustIn(tls, policyFor(hop, settings))} ${tls.getProtocol() ?? "unknown"}`,
    uses: 0,
    mostUses: hop.mostMessages,
    needsReset: false,
    before: undefined,
    reused: false,
    reusable: lasting,
  };
}

/** Connects from `source` within `patience` milliseconds and before `signal`. */
function dial(hop: NextHop, source: Source, patience: number, signal: AbortSignal): Promise<Socket | Reply> {
  return withDeadline(signal, patience, (bound) => connected(hop, source, bound));
}

function connected(hop: NextHop, { v4, v6 }: Source, signal: AbortSignal): Promise<Socket | Reply> {
  const localAddress = isIPv6(hop.address) ? v6 : v4;
  const socket = connect({
    host: hop.address,
    port: hop.port,
    ...(localAddress !== undefined && { localAddress }),
  });
  return new Promise((resolve) => {
    const finish = (result: Socket | Reply): void => {
      socket.off("connect", succeed).off("error", refuse);
      signal.removeEventListener("abort", giveUp);
      resolve(result);
    };
    const fail = (reason: string): void => {
      socket.on("error", () => undefined).destroy();
      finish(reply(451, "4.4.1", `connect to ${peerWithPort(hop)}: ${reason}`));
    };
    const succeed = (): void => finish(socket);
    const refuse = (error: Error): void => fail(systemErrorText(error));
    const giveUp = (): void => fail("Connection timed out");
    socket.once("connect", succeed).once("error", refuse);
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
  });
}

/** "Connection refused" for ECONNREFUSED, as strerror(3) returns it. */
function systemErrorText(error: Error): string {
  const code = errorCode(error);
  const words = [...getSystemErrorMap().values()].find(([name]) => name === code)?.[1] ?? error.message;
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}
