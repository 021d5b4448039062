/** smtp-server's listener with our sessions in it: who may come in, and how all go out again. */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createSecureContext } from "node:tls";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { reply } from "../../../smtp/reply.ts";
import type { ListenerName } from "../../log/events.ts";
import { log } from "../../log/log.ts";
import { Connection } from "../connection.ts";
import { shutOut, stopping, tooMany } from "../farewells.ts";
import { guarded } from "../guard.ts";
import { newJournal } from "../journal.ts";
import { turnedAway } from "../patience.ts";
import { clientName } from "../session.ts";
import type { Submission } from "../submission.ts";
import { isShort } from "./descriptors.ts";
import { takeProxyHeader } from "./proxied.ts";
import type { ProxyHeader } from "./proxy-header.ts";
import type { Visit } from "./visit.ts";

/** A certificate with its chain, and its private key, both PEM. */
export interface KeyPair {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** PEM of those who sign the certificates of clients; "" where none is asked for. */
  readonly clientCa?: string;
  /** For clients that ask for one of these host names (RFC 6066 section 3): more names, perhaps as "*.example.org". */
  readonly others?: readonly (Pick<KeyPair, "key" | "cert"> & { readonly hosts: readonly string[] })[];
  /** The host names of this pair itself, for which no other is used. */
  readonly hosts?: readonly string[];
}

/**
 * RFC 9325 section 4: forward secrecy and authenticated encryption, nothing else; what Node would add is CBC and keys
 * carried by RSA. Every mail program that knows TLS 1.2 and is still kept has one of these.
 */
const ciphers = [
  ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ...["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

/** What TLS is to be like at a door. Throws what is wrong with the pair: no PEM, or a key of another certificate. */
export function tlsOptions(
  door: ListenerName,
  { key, cert, clientCa = "", others = [], hosts = [] }: KeyPair,
) {
  // RFC 8314 section 4.2: inside TLS from the first octet only. Whoever has no certificate, or none of theirs, is
  // welcome to log in with a password.
  const isAsking = door === "smtps" && clientCa !== "";
  const options = {
    key,
    cert,
    minVersion: "TLSv1.2" as const, // RFC 8314 section 4
    ciphers,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION, // would only be work for us
    ca: isAsking ? clientCa : undefined,
    requestCert: isAsking,
    rejectUnauthorized: false,
    sessionIdContext: "tpa-submit", // without one, OpenSSL resumes no session that asked for a certificate
  };
  const sniOptions = new Map<string, typeof options>();
  for (const pair of [{ key, cert, hosts }, ...others]) {
    const itsOwn = { ...options, key: pair.key, cert: pair.cert };
    createSecureContext(itsOwn);
    for (const host of pair.hosts) if (!sniOptions.has(host)) sniOptions.set(host, itsOwn);
  }
  return { ...options, sniOptions };
}

const tooManyOfYou = reply(421, "4.7.0", "Too many connections from your address, please try again later");

type Entrance = Parameters<SMTPServer["_handleProxy"]>[1];
type Upgraded = Parameters<SMTPServer["_upgrade"]>[1];

export class Server extends SMTPServer {
  readonly #door: ListenerName;
  readonly #submission: () => Submission;
  readonly #visits = new Set<Visit>();
  readonly #sessions = new Set<Connection>();
  /** Visits by what the library hands from one step to the next: the socket, then the connection's options. */
  readonly #visitOf = new WeakMap<object, Visit>();
  #draining = false;

  /** `submission` is asked anew for each client, so that a reload reaches those who come after it. */
  constructor(door: ListenerName, pair: KeyPair, submission: () => Submission) {
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
