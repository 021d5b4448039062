/**
 * For whom a request is meant, by its Host field: a page of the web that lets its own name lead to this address (DNS
 * rebinding) must not read what the listener tells. Pure.
 */
import { isIP } from "node:net";

/** Loopback by name: RFC 6761 section 6.3, and what Debian has in /etc/hosts. */
const loopback = /^(?:.+\.)?localhost(?:\.localdomain)?$/;

/**
 * Whether `host`, the Host field, names this host: an address, which no DNS can lead elsewhere, a loopback name, or one of
 * `names` (in lower case). A browser always sends the field (RFC 9112 section 3.2); a health check with HTTP/1.0 may not.
 */
export function isForUs(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return true;
  const [, inBrackets, other = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  if (inBrackets !== undefined) return isIP(inBrackets) === 6;
  const name = other.toLowerCase().replace(/\.$/, "");
  return isIP(name) === 4 || loopback.test(name) || names.includes(name);
}

/**
 * The names of a host that its system calls `system` and mail clients `hostname`: both, each without its domain, and
 * a bare `system` with the domain of `hostname`, as monitoring calls hosts.
 */
export function namesOfHost(hostname: string, system: string): readonly string[] {
  const domain = /\..*/.exec(hostname)?.[0] ?? "";
  const full = system.includes(".") ? system : `${system}${domain}`;
  const all = [hostname, system, full].map((name) => name.toLowerCase());
  return [...new Set([...all, ...all.map((name) => name.replace(/\..*/, ""))])];
}
