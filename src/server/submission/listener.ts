/**
 * The listeners: ports on which people submit mail (RFC 6409 with STARTTLS, RFC 8314 inside TLS). The server is
 * smtp-server's, with our sessions in it.
 */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { addressText, type ListenAddress, listenOptions } from "../../bound-socket.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { reply } from "../../smtp/reply.ts";
import { listenOnUnixSocket, type UnixSocketOptions } from "../../unix-socket.ts";
import type { ListenerName } from "../log/events.ts";
import { log } from "../log/log.ts";
import { turnedAway } from "./client-limits.ts";
import { loginFrozen, serverStopping, tooManyConnections } from "./closing-replies.ts";
import { guarded, SubmissionConnection } from "./connection.ts";
import { type Admission, isNearLimit } from "./limits/admission.ts";
import { type ProxyHeaderResult, takeProxyHeader } from "./proxy-protocol.ts";
import { clientName, type SessionContext } from "./session.ts";
import { newSessionLog } from "./session-log.ts";
import { type KeyPair, tlsOptions } from "./tls.ts";

export interface Listener {
  readonly address: AddressInfo;
  /** Used for all later handshakes. Throws if there is anything wrong with the pair; the old one then stays in use. */
  replaceCertificate(pair: KeyPair): void;
  /** Open connections, including those in a handshake. */
  sessions(): number;
  /** Sessions that are logged in as `login`. */
  sessionsOf(login: string): number;
  /** Ends the sessions of `login` with 421. Gives their number. */
  endSessions(login: string): number;
  /**
   * Stops listening at once. Idle sessions get 421; those with a transaction may finish it until `deadline`
   * (milliseconds since the epoch). Resolves when all have ended.
   */
  drain(deadline: number): Promise<void>;
}

/** A listener as its sessions are seen from outside. */
export type SessionHolder = Pick<Listener, "sessions" | "sessionsOf" | "endSessions" | "drain">;

const holderOf = (server: SubmissionServer): SessionHolder => ({
  sessions: () => server.connectionCount,
  sessionsOf: (login) => server.sessionsOf(login).length,
  endSessions: (login) => server.endSessions(login),
  drain: (deadline) => server.drain(deadline),
});

/**
 * Opens the local listener, where XCLIENT takes the place of a login. Who may connect there may send as anybody: root, and the
 * socket's group. Throws a Failure where the socket cannot be had.
 */
export async function listenLocally(
  where: UnixSocketOptions,
  context: () => SessionContext,
): Promise<SessionHolder> {
  const server = new SubmissionServer("local", undefined, context);
  await listenOnUnixSocket(server.server, where);
  server.on("error", (error: Error) =>
    log("listener-trouble", { door: "local", address: where.path, reason: errorText(error) }),
  );
  return holderOf(server);
}

/** The address is a path where it is a Unix socket. */
export type OnionListener = Omit<Listener, "address"> & { readonly address: string };

/**
 * Opens the listener of an onion service, a Unix socket or a port of loopback that tor connects to. All its clients have one address, "onion".
 * Where tor is told to export the circuits (HiddenServiceExportCircuitID haproxy), a circuit has what elsewhere an address
 * has of connections. Throws a Failure where the socket cannot be had, and Node's error where the pair is no certificate
 * with its key.
 */
export async function listenForOnion(
  where: UnixSocketOptions | ListenAddress,
  hasCircuits: boolean,
  pair: KeyPair,
  context: () => SessionContext,
): Promise<OnionListener> {
  const server = new SubmissionServer("onion", pair, context, hasCircuits);
  const address = await bindOnion(server, where);
  server.on("error", (error: Error) =>
    log("listener-trouble", { door: "onion", address, reason: errorText(error) }),
  );
  return { address, replaceCertificate: replacing(server, "onion"), ...holderOf(server) };
}

/** Gives what the log calls it. */
async function bindOnion(
  server: SubmissionServer,
  where: UnixSocketOptions | ListenAddress,
): Promise<string> {
  if ("path" in where) {
    await listenOnUnixSocket(server.server, where);
    return where.path;
  }
  const { address: host, port } = await bind(server, "onion", where);
  return addressText({ host, port });
}

/** Made and checked before the library drops the old context. */
const replacing =
  (server: SubmissionServer, listener: ListenerName) =>
  (renewed: KeyPair): void =>
    server.updateSecureContext(tlsOptions(listener, renewed));

/**
 * Opens a listener. `context` is called for each client. Throws a Failure (69) of one line where the address cannot be
 * had, and Node's error where the pair is no certificate with its key.
 */
export async function listen(
  listener: ListenerName,
  where: ListenAddress,
  pair: KeyPair,
  context: () => SessionContext,
): Promise<Listener> {
  const server = new SubmissionServer(listener, pair, context);
  const address = await bind(server, listener, where);
  const name = addressText({ host: address.address, port: address.port });
  server.on("error", (error: Error) =>
    log("listener-trouble", { door: listener, address: name, reason: errorText(error) }),
  );
  return { address, replaceCertificate: replacing(server, listener), ...holderOf(server) };
}

async function bind(
  server: SubmissionServer,
  listener: ListenerName,
  where: ListenAddress,
): Promise<AddressInfo> {
  try {
    // [::] and 0.0.0.0 are two addresses in the configuration, so they are two here.
    const listening = once(server.server, "listening");
    server.once("error", () => undefined); // `once` rejects with it
    server.listen(listenOptions(where, { ipv6Only: true }));
    await listening;
  } catch (error) {
    throw new Failure(exitStatus.unavailable, cannotListen(listener, addressText(where), error), {
      cause: error,
    });
  }
  server.removeAllListeners("error");
  const address = server.server.address();
  if (address !== null && typeof address === "object") return address;
  throw new Failure(
    exitStatus.unavailable,
    `${listener}: ${addressText(where)} is no TCP socket; mend the socket unit`,
  );
}

const settingName: Readonly<Record<ListenerName, string>> = {
  submission: "listen.submission",
  smtps: "listen.submissions",
  local: "listen.local",
  onion: "listen.onion",
};

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has this port; stop it, or choose another port in",
  EACCES:
    "ports below 1024 need CAP_NET_BIND_SERVICE or systemd's sockets; grant that, or choose another port in",
  EADDRNOTAVAIL: "this host has no such address; bring it up, or correct",
};

function cannotListen(listener: ListenerName, address: string, error: unknown): string {
  const why = advice[errorCode(error)] ?? `${errorText(error)}; check`;
  return `cannot listen on ${address}: ${why} ${settingName[listener]}`;
}

const tooManyFromAddress = reply(
  421,
  "4.7.0",
  "Too many connections from your address, please try again later",
);

/** Milliseconds that a handshake may still take when the server is stopping. Our choice. */
const longestHandshake = 2_000;

type AcceptCallback = Parameters<SMTPServer["_handleProxy"]>[1];
type UpgradeCallback = Parameters<SMTPServer["_upgrade"]>[1];

export class SubmissionServer extends SMTPServer {
  readonly #name: ListenerName;
  readonly #context: () => SessionContext;
  readonly #admissions = new Set<Admission>();
  readonly #sessions = new Set<SubmissionConnection>();
  /** By what the library passes from one step to the next: the socket, then the connection's options. */
  readonly #admissionOf = new WeakMap<object, Admission>();
  /** Handshakes of those who have no session yet; each resolves when it is over. */
  readonly #handshakes = new Set<Promise<void>>();
  readonly #hasCircuits: boolean;
  #draining = false;

  /**
   * `context` is called for each client, so that a reload reaches those who connect later. `hasCircuits`: tor names the
   * circuit of each by the PROXY protocol.
   */
  constructor(
    listener: ListenerName,
    pair: KeyPair | undefined,
    context: () => SessionContext,
    hasCircuits = false,
  ) {
    const { hostname: name } = context();
    // Half open: a client that sends all and shuts down its side still gets the reply to its message.
    super({
      ...(pair && tlsOptions(listener, pair)),
      secure: listener === "smtps",
      name,
      logger: false,
      allowHalfOpen: true,
    });
    this.#name = listener;
    this.#context = context;
    this.#hasCircuits = hasCircuits;
  }

  /** Open connections, including those in a handshake. */
  get connectionCount(): number {
    return this.#admissions.size;
  }

  /** If so, the library closes sockets that still wait for a header at the end. */
  override _expectsProxyHeader(socket: Socket): boolean {
    if (this.#name === "local") return false;
    return this.#name === "onion" ? this.#hasCircuits : this.#context().isProxy(addressOf(socket));
  }

  /** The library's first step with a socket: it is a client's, or a proxy's. */
  override _handleProxy(socket: Socket, next: AcceptCallback): void {
    // Until the library listens for errors, one would end the program. It closes the socket anyway.
    socket.on("error", () => undefined);
    guarded(socket, () => {
      if (!this._expectsProxyHeader(socket)) this.#admit(socket, this.#addressOf(socket), next);
      else {
        void takeProxyHeader(socket, this.#context().timeouts.proxy).then((header) =>
          guarded(socket, () => this.#takeProxied(socket, header, next)),
        );
      }
    });
  }

  #takeProxied(socket: Socket, header: ProxyHeaderResult | undefined, next: AcceptCallback): void {
    const proxy = this.#addressOf(socket);
    if (header?.kind === "header" && !socket.destroyed) {
      const client = header.client === undefined ? proxy : plainAddress(header.client);
      // The address of an onion's client is made up by tor: it is the number of the circuit, and nobody's network.
      if (this.#name === "onion") this.#admit(socket, proxy, next, `circuit ${client}`);
      else this.#admit(socket, client, next);
      return;
    }
    if (header?.kind === "wrong") {
      log("proxy-refused", {
        door: this.#name,
        client: clientName({ address: proxy }),
        reason: header.reason,
      });
    }
    socket.destroy();
    next(new Error("no client was handed over"));
  }

  /** Whom the log names, unless a proxy says it. */
  #addressOf(socket: Socket): string {
    if (this.#name === "local") return thisHost;
    return this.#name === "onion" ? onionClient : addressOf(socket);
  }

  /** `source` is whose connections are limited together: an address, a circuit. */
  #admit(socket: Socket, address: string, next: AcceptCallback, source = address): void {
    const admission = this.#decideAdmission(socket, address, source);
    if (!admission) return;
    const options = { id: "session", remoteAddress: admission.address };
    this.#admissionOf.set(options, admission);
    this.#admissionOf.set(socket, admission);
    next(null, options);
  }

  /** The handshake before a session inside TLS. */
  override _upgrade(socket: Socket, next: UpgradeCallback): void {
    const admission = this.#admissionOf.get(socket);
    const { now } = this.#context();
    // The library's timeout restarts with every octet. Destroys the TLS socket: destroying the one below crashes Node.
    const timer = setTimeout(
      () => (this._pendingSockets.get(socket) ?? socket).destroy(),
      (admission?.loginDue ?? 0) - now(),
    );
    let over = (): void => undefined;
    const handshake = new Promise<void>((resolve) => {
      over = resolve;
    });
    this.#handshakes.add(handshake);
    super._upgrade(socket, (error, tlsSocket) => {
      clearTimeout(timer);
      tlsSocket?.off("end", gone);
      if (error && admission) guarded(socket, () => this.#handshakeFailed(admission, error.message));
      next(error, tlsSocket);
      this.#handshakes.delete(handshake);
      over();
    });
    // Half open is for SMTP. A client that shuts down during the handshake is gone.
    const upper = this._pendingSockets.get(socket);
    const gone = (): void => void upper?.destroy();
    upper?.once("end", gone);
  }

  /** The library looks for exact names only. */
  override _resolveSNI(name: string, next: Parameters<SMTPServer["_resolveSNI"]>[1]): void {
    const host = this._normalizeHostname(name);
    const wildcard = `*${host.slice(Math.max(0, host.indexOf(".")))}`;
    super._resolveSNI(this.secureContext.has(host) ? host : wildcard, next);
  }

  /** A failed handshake is in the log already, and is no error of the listener. */
  override _onError(error: Error): void {
    if (!("meta" in error)) super._onError(error);
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const admission = options && this.#admissionOf.get(options);
    if (!admission) throw new Error("a client that was never admitted");
    guarded(socket, () => this.#startSession(socket, admission));
  }

  #startSession(socket: Socket, admission: Admission): void {
    const connection = new SubmissionConnection(this, socket, admission, this.#context());
    admission.evict = () => guarded(socket, () => connection.evict());
    this.connections.add(connection);
    this.#sessions.add(connection);
    void connection.done.then(() => this.#sessions.delete(connection));
    if (this.#draining) connection.drain(serverStopping);
    connection.init();
  }

  /**
   * Resolves when every session has ended. Those still there at `deadline` are aborted. Who is in a handshake has a moment
   * to end it: before that, nobody could be told why.
   */
  async drain(deadline: number): Promise<void> {
    this.#draining = true;
    this.server.close();
    for (const [socket, upper] of this._pendingSockets) if (socket === upper) socket.destroy(); // a proxy's
    for (const session of this.#sessions) session.drain(serverStopping);
    const left = Math.max(0, deadline - this.#context().now());
    const handshakesDue = setTimeout(
      () => {
        for (const socket of this._pendingSockets.values()) socket.destroy();
        for (const session of this.#sessions) session.endHandshake();
      },
      Math.min(left, longestHandshake),
    );
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.abort();
    }, left);
    while (this.#sessions.size + this.#handshakes.size > 0) {
      await Promise.all([...this.#handshakes, ...[...this.#sessions].map(({ done }) => done)]);
    }
    clearTimeout(handshakesDue);
    clearTimeout(timer);
  }

  sessionsOf(login: string): readonly SubmissionConnection[] {
    return [...this.#sessions].filter((session) => session.login === login);
  }

  /** Ends the sessions of `login`. Gives their number. */
  endSessions(login: string): number {
    const theirs = this.sessionsOf(login);
    for (const session of theirs) {
      const client = clientName({ address: session.remoteAddress });
      log("session-frozen", { door: this.#name, client, login });
      session.drain(loginFrozen);
      session.abort();
    }
    return theirs.length;
  }

  #handshakeFailed({ listener, address, release }: Admission, reason: string): void {
    release();
    const sessionLog = newSessionLog(listener, address);
    sessionLog.handshakeFailed(reason);
    sessionLog.closed();
  }

  /** Decides whether the client may stay. Undefined where there are too many even to refuse it with a reply. */
  #decideAdmission(socket: Socket, address: string, source: string): Admission | undefined {
    const { now, timeouts, connectionTable, connections, connectionsPerAddress, descriptors } =
      this.#context();
    const at = { door: this.#name, client: clientName({ address }) };
    log("connect", at);
    const isLocal = this.#name === "local";
    const counted = connectionTable.add(isLocal ? "local" : source);
    const { fromNetwork, total, admit, active, loggedIn, farewell, release } = counted;
    const isShared = isLocal || source === onionClient; // by many, who have only the limit of all together
    const overAddressLimit = !isShared && fromNetwork > connectionsPerAddress;
    const isShort = isNearLimit(socket, descriptors);
    const isFull = isShort || connectionTable.admitted() >= connections;
    const hasRoom = overAddressLimit || !isFull || connectionTable.evictIdle();
    const refused = overAddressLimit || isShort || !hasRoom;
    if (overAddressLimit) log("connection-limit", { ...at, count: fromNetwork });
    else if (isShort) log("descriptors-short", { ...at, limit: descriptors });
    else if (!hasRoom) log("connections-full", { ...at, limit: connections });
    if (refused && total > connections + turnedAway) {
      release();
      newSessionLog(this.#name, address).closed();
      socket.destroy();
      return undefined;
    }
    const admission: Admission = {
      listener: this.#name,
      address,
      loginDue: now() + timeouts.login,
      isStressed: () => connectionTable.admitted() > connections / 2,
      active,
      loggedIn,
      farewell: (end) => farewell(isShared ? connections : connectionsPerAddress, end),
      evict: () => (this._pendingSockets.get(socket) ?? socket).destroy(),
      refusal: overAddressLimit ? tooManyFromAddress : refused ? tooManyConnections : undefined,
      release: () => {
        release();
        this.#admissions.delete(admission);
      },
    };
    this.#admissions.add(admission);
    if (!refused) {
      admit(() => {
        log("made-room", { ...at, limit: connections });
        admission.evict();
      });
    }
    return admission;
  }
}

/** Whom the log names where a client comes by the local socket, and nobody says whose address it is. */
const thisHost = "127.0.0.1";

/** Whom the log names where a client comes by tor. */
export const onionClient = "onion";

const addressOf = ({ remoteAddress }: Socket): string => plainAddress(remoteAddress ?? "::");

/** An IPv4 address without "::ffff:", an IPv6 one without its zone. */
const plainAddress = (address: string): string =>
  address.replace(/^::ffff:(?=[\d.]+$)/i, "").split("%", 1)[0] ?? "";
