/** The doors: ports on which people submit mail (RFC 6409 with STARTTLS, RFC 8314 inside TLS). */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { reply } from "../../smtp/reply.ts";
import type { Door } from "../log/events.ts";
import { log } from "../log/log.ts";
import { turnedAway } from "./client-limits.ts";
import { Connection, guarded, shutOut, stopping, tooMany } from "./connection.ts";
import { isShort, type Visit } from "./limits/admission.ts";
import { type ProxyHeader, takeProxyHeader } from "./proxy-protocol.ts";
import { clientName, type Submission } from "./session.ts";
import { newJournal } from "./session-log.ts";
import { type KeyPair, tlsOptions } from "./tls.ts";

/** An address to listen on, or the number of a socket that systemd opened. */
export type Place = { readonly host: string; readonly port: number } | { readonly fd: number };

export interface Listener {
  readonly address: AddressInfo;
  /** For all later handshakes. Throws what is wrong with the pair; the old one then stays in use. */
  replaceCertificate(pair: KeyPair): void;
  /** Connections there are, those amid a handshake with them. */
  sessions(): number;
  /** Ends the sessions of `login` with 421; how many there were. */
  expel(login: string): number;
  /**
   * Stops listening at once. Idle sessions hear 421; those with a transaction may finish it until `deadline`
   * (milliseconds since the epoch). Resolves when all are gone.
   */
  drain(deadline: number): Promise<void>;
}

/**
 * Opens a door. `submission` is asked anew for each client. Throws a Failure (69) of one line where the address cannot be had, and whatever Node says of a
 * certificate that is none.
 */
export async function listen(
  door: Door,
  place: Place,
  pair: KeyPair,
  submission: () => Submission,
): Promise<Listener> {
  const server = new Server(door, pair, submission);
  const address = await bind(server, door, place);
  const name = nameOf({ host: address.address, port: address.port });
  server.on("error", (error: Error) =>
    log("listener-trouble", { door, address: name, reason: errorText(error) }),
  );
  return {
    address,
    replaceCertificate(renewed) {
      // Made, and found good, before the library drops the old context.
      server.updateSecureContext(tlsOptions(door, renewed));
    },
    sessions: () => server.visits,
    expel: (login) => server.expel(login),
    drain: (deadline) => server.drain(deadline),
  };
}

async function bind(server: Server, door: Door, place: Place): Promise<AddressInfo> {
  // [::] and 0.0.0.0 are two addresses in the configuration, so they are two here.
  const options = "fd" in place ? place : { ...place, ipv6Only: place.host.includes(":") };
  try {
    const listening = once(server.server, "listening");
    server.once("error", () => undefined); // `once` rejects with it
    server.listen(options);
    await listening;
  } catch (error) {
    throw new Failure(exitStatus.unavailable, cannotListen(door, nameOf(place), error), { cause: error });
  }
  server.removeAllListeners("error");
  const address = server.server.address();
  if (address !== null && typeof address === "object") return address;
  throw new Failure(
    exitStatus.unavailable,
    `${door}: ${nameOf(place)} is no TCP socket; mend the socket unit`,
  );
}

const settingOf: Readonly<Record<Door, string>> = {
  submission: "listen.submission",
  smtps: "listen.submissions",
};

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has this port; stop it, or choose another port in",
  EACCES:
    "ports below 1024 need CAP_NET_BIND_SERVICE or systemd's sockets; grant that, or choose another port in",
  EADDRNOTAVAIL: "this host has no such address; bring it up, or correct",
};

function cannotListen(door: Door, address: string, error: unknown): string {
  const why = advice[errorCode(error)] ?? `${errorText(error)}; check`;
  return `cannot listen on ${address}: ${why} ${settingOf[door]}`;
}

function nameOf(place: Place): string {
  if ("fd" in place) return `file descriptor ${place.fd}`;
  return place.host.includes(":") ? `[${place.host}]:${place.port}` : `${place.host}:${place.port}`;
}

// smtp-server's listener with our sessions in it: who may come in, and how all go out again.

const tooManyOfYou = reply(421, "4.7.0", "Too many connections from your address, please try again later");

type Entrance = Parameters<SMTPServer["_handleProxy"]>[1];
type Upgraded = Parameters<SMTPServer["_upgrade"]>[1];

export class Server extends SMTPServer {
  readonly #door: Door;
  readonly #submission: () => Submission;
  readonly #visits = new Set<Visit>();
  readonly #sessions = new Set<Connection>();
  /** Visits by what the library hands from one step to the next: the socket, then the connection's options. */
  readonly #visitOf = new WeakMap<object, Visit>();
  #draining = false;

  /** `submission` is asked anew for each client, so that a reload reaches those who come after it. */
  constructor(door: Door, pair: KeyPair, submission: () => Submission) {
    const { hostname: name } = submission();
    // Half open: who sends all and shuts its side down still hears what became of its message.
    super({ ...tlsOptions(door, pair), secure: door === "smtps", name, logger: false, allowHalfOpen: true });
    this.#door = door;
    this.#submission = submission;
  }

  /** Connections there are, those amid a handshake with them. */
  get visits(): number {
    return this.#visits.size;
  }

  /** The library then closes at the end what still waits for a header. */
  override _expectsProxyHeader(socket: Socket): boolean {
    return this.#submission().isProxy(addressOf(socket));
  }

  /** The first that sees a client, or a proxy. */
  override _handleProxy(socket: Socket, next: Entrance): void {
    // Between here and the next listener an error would otherwise end the program; the socket is closed by it.
    socket.on("error", () => undefined);
    guarded(socket, () => {
      const address = addressOf(socket);
      const { isProxy, patience } = this.#submission();
      if (!isProxy(address)) this.#enter(socket, address, next);
      else {
        void takeProxyHeader(socket, patience.proxy).then((header) =>
          guarded(socket, () => this.#handedOver(socket, header, next)),
        );
      }
    });
  }

  #handedOver(socket: Socket, header: ProxyHeader | undefined, next: Entrance): void {
    const proxy = addressOf(socket);
    if (header?.kind === "header" && !socket.destroyed) {
      this.#enter(socket, plain(header.client ?? proxy), next);
      return;
    }
    if (header?.kind === "wrong") {
      log("proxy-refused", {
        door: this.#door,
        client: clientName({ address: proxy }),
        reason: header.reason,
      });
    }
    socket.destroy();
    next(new Error("no client was handed over"));
  }

  #enter(socket: Socket, address: string, next: Entrance): void {
    const visit = this.#arrival(socket, address);
    if (!visit) return;
    const options = { id: "session", remoteAddress: visit.address };
    this.#visitOf.set(options, visit);
    this.#visitOf.set(socket, visit);
    next(null, options);
  }

  /** The handshake that comes before a session inside TLS. */
  override _upgrade(socket: Socket, next: Upgraded): void {
    const visit = this.#visitOf.get(socket);
    const { now } = this.#submission();
    // The library's timeout starts anew with every octet. The upper socket: taking the lower one away crashes Node.
    const late = setTimeout(
      () => (this._pendingSockets.get(socket) ?? socket).destroy(),
      (visit?.loginDue ?? 0) - now(),
    );
    super._upgrade(socket, (error, tlsSocket) => {
      clearTimeout(late);
      tlsSocket?.off("end", gone);
      if (error && visit) guarded(socket, () => this.#handshakeFailed(visit, error.message));
      next(error, tlsSocket);
    });
    // Half open is for those who speak SMTP: who shuts down amid a handshake is gone.
    const upper = this._pendingSockets.get(socket);
    const gone = (): void => void upper?.destroy();
    upper?.once("end", gone);
  }

  /** The library knows exact names only. */
  override _resolveSNI(name: string, next: Parameters<SMTPServer["_resolveSNI"]>[1]): void {
    const host = this._normalizeHostname(name);
    const wildcard = `*${host.slice(Math.max(0, host.indexOf(".")))}`;
    super._resolveSNI(this.secureContext.has(host) ? host : wildcard, next);
  }

  /** A failed handshake is in the log already, and no trouble of the listener's. */
  override _onError(error: Error): void {
    if (!("meta" in error)) super._onError(error);
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const visit = options && this.#visitOf.get(options);
    if (!visit) throw new Error("a client that came in by no door");
    guarded(socket, () => this.#welcome(socket, visit));
  }

  #welcome(socket: Socket, visit: Visit): void {
    const connection = new Connection(this, socket, visit, this.#submission());
    visit.giveWay = () => guarded(socket, () => connection.giveWay());
    this.connections.add(connection);
    this.#sessions.add(connection);
    void connection.done.then(() => this.#sessions.delete(connection));
    if (this.#draining) connection.drain(stopping);
    connection.init();
  }

  /** Resolves when every session is gone; those still there at `deadline` (by the submission's clock) are cut off. */
  async drain(deadline: number): Promise<void> {
    this.#draining = true;
    this.server.close();
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const session of this.#sessions) session.drain(stopping);
    const late = setTimeout(
      () => {
        for (const session of this.#sessions) session.cut();
      },
      Math.max(0, deadline - this.#submission().now()),
    );
    while (this.#sessions.size > 0) await Promise.all([...this.#sessions].map(({ done }) => done));
    clearTimeout(late);
  }

  /** Ends the sessions of `login`; how many there were. */
  expel(login: string): number {
    const theirs = [...this.#sessions].filter((session) => session.login === login);
    for (const session of theirs) {
      const client = clientName({ address: session.remoteAddress });
      log("session-frozen", { door: this.#door, client, login });
      session.drain(shutOut);
      session.cut();
    }
    return theirs.length;
  }

  #handshakeFailed({ door, address, leave }: Visit, reason: string): void {
    leave();
    const journal = newJournal(door, address);
    journal.handshakeFailed(reason);
    journal.closed();
  }

  /** Undefined for one too many to be told so. */
  #arrival(socket: Socket, address: string): Visit | undefined {
    const { now, patience, crowd, connections, connectionsPerAddress, descriptors } = this.#submission();
    const at = { door: this.#door, client: clientName({ address }) };
    log("connect", at);
    const { fromHere, all, admit, heard, known, leave } = crowd.enter(address);
    const crowded = fromHere > connectionsPerAddress;
    const short = isShort(socket, descriptors);
    const isFull = short || crowd.admitted() >= connections;
    const hasRoom = crowded || !isFull || crowd.makeRoom();
    const refused = crowded || short || !hasRoom;
    if (crowded) log("connection-limit", { ...at, count: fromHere });
    else if (short) log("descriptors-short", { ...at, limit: descriptors });
    else if (!hasRoom) log("connections-full", { ...at, limit: connections });
    if (refused && all > connections + turnedAway) {
      leave();
      newJournal(this.#door, address).closed();
      socket.destroy();
      return undefined;
    }
    const visit: Visit = {
      door: this.#door,
      address,
      loginDue: now() + patience.login,
      isStressed: () => crowd.admitted() > connections / 2,
      heard,
      known,
      giveWay: () => (this._pendingSockets.get(socket) ?? socket).destroy(),
      refusal: crowded ? tooManyOfYou : refused ? tooMany : undefined,
      leave: () => {
        leave();
        this.#visits.delete(visit);
      },
    };
    this.#visits.add(visit);
    if (!refused) {
      admit(() => {
        log("made-room", { ...at, limit: connections });
        visit.giveWay();
      });
    }
    return visit;
  }
}

const addressOf = ({ remoteAddress }: Socket): string => plain(remoteAddress ?? "::");

/** An IPv4 address without "::ffff:", an IPv6 one without its zone. */
const plain = (address: string): string => address.replace(/^::ffff:(?=[\d.]+$)/i, "").split("%", 1)[0] ?? "";
