/** Hosts with ports: HOST, HOST:PORT, [HOST]:PORT, HOST/PORT. Ports by number or by name. */
import { isIP } from "node:net";
import { mistake } from "./mistake.ts";

export interface Endpoint {
  readonly host: string;
  /** As written. */
  readonly port?: string;
}

/** Reads one; a host with several colons is an IPv6 address, and has no port. */
export function endpointOf(text: string): Endpoint {
  const bracketed = /^\[(.*)\](?::(.*))?$/s.exec(text);
  const parted = bracketed ?? /^([^/]+)\/([^/]+)$/s.exec(text) ?? /^([^:]+):([^:]+)$/s.exec(text);
  const [, host, port] = parted ?? [];
  if (host === undefined) return { host: text };
  return port === undefined || port === "" ? { host } : { host, port };
}

/** The number behind a port's name. `services` is the text of /etc/services. */
export function portOf(port: string, services: () => string): number {
  if (/^\d+$/.test(port)) return Number(port);
  for (const line of services().split("\n")) {
    const [name, place = "", ...others] = line.replace(/#.*/, "").trim().split(/\s+/);
    const [, number] = /^(\d+)\/tcp$/.exec(place) ?? [];
    if (number !== undefined && [name, ...others].includes(port)) return Number(number);
  }
  throw mistake(`unable to resolve service name ${port} into a port, exiting`);
}

/** 4 or 6 for an address, without its zone; 0 for a name. */
export const familyOf = (host: string): number => isIP(host.split("%", 1)[0] ?? "");
