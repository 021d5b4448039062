/**
 * Addresses to listen on, some of them bound before: a process that gives up root's rights binds its ports first, and
 * listens when everything else is there. Until then nobody connects.
 */
import { lookup } from "node:dns/promises";
import net, { isIPv6 } from "node:net";
import { getSystemErrorName } from "node:util";
import { errorText, exitStatus, Failure } from "./failure.ts";

/** An address to listen on, perhaps bound already, or the number of a socket that systemd opened. */
export type ListenAddress =
  | { readonly host: string; readonly port: number; readonly bound?: BoundSocket }
  | { readonly fd: number };

/** What listen() of node:net takes as a handle. */
export interface BoundSocket {
  readonly _handle: object;
}

/**
 * What cluster(3) of Node.js binds with. There is no other way to bind a TCP socket without listening, and what listens
 * takes in clients at once. Not in the documentation, so its absence is a failure that says what else can be done.
 */
const createHandle: unknown = Reflect.get(net, "_createServerHandle");

/** UV_TCP_IPV6ONLY of libuv. */
const ipv6Only = 1;

/** An IPv6 socket may take IPv4 as well. */
export interface SocketOptions {
  readonly ipv6Only: boolean;
}

/** Binds `where`; a socket of systemd is bound. `setting` names it. Throws a Failure where the address cannot be had. */
export async function bindEarly(
  setting: string,
  where: ListenAddress,
  options: SocketOptions,
): Promise<ListenAddress> {
  if ("fd" in where) return where;
  const { host, port } = where;
  const trouble = (reason: string): Failure =>
    new Failure(
      exitStatus.unavailable,
      `cannot listen on ${addressText(where)}: ${reason}; check ${setting}`,
    );
  if (typeof createHandle !== "function") {
    throw trouble("this version of Node.js does not bind before it listens; let systemd open the sockets");
  }
  const { address } = await lookup(host).catch((error: unknown) => {
    throw trouble(errorText(error));
  });
  const [family, flags] = isIPv6(address) ? [6, options.ipv6Only ? ipv6Only : 0] : [4, 0];
  const made: unknown = Reflect.apply(createHandle, net, [address, port, family, undefined, flags]);
  if (typeof made === "number") throw trouble(getSystemErrorName(made));
  if (typeof made !== "object" || made === null) throw trouble("no socket was made");
  return { host, port, bound: { _handle: made } };
}

/** For `listen` of node:net. */
export function listenOptions(where: ListenAddress, options: SocketOptions): object {
  if ("fd" in where) return where;
  const { host, port, bound } = where;
  return bound ?? { host, port, ipv6Only: options.ipv6Only && host.includes(":") };
}

/** As people write it. */
export function addressText(where: ListenAddress): string {
  if ("fd" in where) return `file descriptor ${where.fd}`;
  return where.host.includes(":") ? `[${where.host}]:${where.port}` : `${where.host}:${where.port}`;
}
