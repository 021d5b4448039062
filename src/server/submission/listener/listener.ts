/** The doors: ports on which people submit mail (RFC 6409 with STARTTLS, RFC 8314 inside TLS). */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import type { ListenerName } from "../../log/events.ts";
import { log } from "../../log/log.ts";
import type { Submission } from "../submission.ts";
import { type KeyPair, Server, tlsOptions } from "./server.ts";

export { standardPatience } from "../patience.ts";
export type { Submission } from "../submission.ts";
export type { KeyPair } from "./server.ts";

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
  door: ListenerName,
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

async function bind(server: Server, door: ListenerName, place: Place): Promise<AddressInfo> {
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

const settingOf: Readonly<Record<ListenerName, string>> = {
  submission: "listen.submission",
  smtps: "listen.submissions",
};

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has this port; stop it, or choose another port in",
  EACCES:
    "ports below 1024 need CAP_NET_BIND_SERVICE or systemd's sockets; grant that, or choose another port in",
  EADDRNOTAVAIL: "this host has no such address; bring it up, or correct",
};

function cannotListen(door: ListenerName, address: string, error: unknown): string {
  const why = advice[errorCode(error)] ?? `${errorText(error)}; check`;
  return `cannot listen on ${address}: ${why} ${settingOf[door]}`;
}

function nameOf(place: Place): string {
  if ("fd" in place) return `file descriptor ${place.fd}`;
  return place.host.includes(":") ? `[${place.host}]:${place.port}` : `${place.host}:${place.port}`;
}
