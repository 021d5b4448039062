/**
 * Where mail for a domain goes when no server is named: its mail exchangers, an address that stands for them, itself.
 */

import { isIP } from "node:net";

export interface Exchanger {
  /** Host name; "" is the null MX (RFC 7505). */
  readonly exchange: string;
  readonly priority: number;
}

/**
 * Hosts to try one after another, the best first; empty where the domain says that it takes no mail.
 *
 * `domain` is what stands behind the "@", `[192.0.2.1]` and `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3) and the
 * ancient `#3221225985` too. `exchangers` asks the DNS, and returns none where it has no answer or does not answer:
 * then the domain is its own exchanger (section 5.1), so that a probe works without the DNS.
 */
export async function mailHosts(
  domain: string,
  exchangers: (domain: string) => Promise<readonly Exchanger[]>,
): Promise<readonly string[]> {
  if (domain === "") return ["localhost"];
  const address = addressIn(domain);
  if (address !== undefined) return [address];
  const found = await exchangers(domain);
  if (found.length === 0) return [domain];
  const hosts = found
    .toSorted((one, other) => one.priority - other.priority)
    .map(({ exchange }) => exchange.replace(/\.$/, ""));
  return hosts.filter((host) => host !== "");
}

function addressIn(domain: string): string | undefined {
  const literal = /^\[(?:ipv6:)?([^\]]+)\]$/i.exec(domain)?.[1];
  if (literal !== undefined) return isIP(literal) === 0 ? undefined : literal;
  const number = Number(/^#(\d{1,10})$/.exec(domain)?.[1] ?? Number.NaN);
  if (!(number <= 0xffffffff)) return undefined;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
}
