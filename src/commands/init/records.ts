/** The DNS records that a relay needs, as a zone file has them (RFC 1035 section 5). */
import { isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import type { Config } from "../../config/settings.ts";
import { isPublic } from "../../server/delivery/dns/public-addresses.ts";

/** The addresses of this host that others can reach; of a host behind NAT there is none. */
export function publicAddresses(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): readonly string[] {
  return Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && isPublic(address))
    .map(({ address }) => address);
}

/** Ports of the two listeners; the first counts. */
export function recordsFor(
  { hostname, domain, listen }: Pick<Config, "hostname" | "domain" | "listen">,
  addresses: readonly string[],
): string {
  const known = addresses.length > 0 ? addresses : ["192.0.2.1"];
  const srv = (label: string, [first]: Config["listen"]["submission"]): readonly string[] =>
    first ? [`${label}._tcp.${domain}.  IN SRV  0 1 ${first.port} ${hostname}.`] : [];
  const networks = known.map((address) => `${isIPv6(address) ? "ip6" : "ip4"}:${address}`);
  const lines = [
    ...known.map((address) => `${hostname}.  IN ${isIPv6(address) ? "AAAA" : "A"}  ${address}`),
    ...srv("_submission", listen.submission),
    ...srv("_submissions", listen.submissions),
    `${domain}.  IN TXT  "v=spf1 ${networks.join(" ")} mx -all"`,
    `_dmarc.${domain}.  IN TXT  "v=DMARC1; p=none; rua=mailto:postmaster@${domain}"`,
  ];
  const note = addresses.length > 0 ? "" : "; 192.0.2.1 stands for the public address of this host\n";
  const reverse = `; and, from whoever provides the address: a PTR record that names ${hostname}\n`;
  return `${note}${lines.map((text) => `${text}\n`).join("")}${reverse}`;
}
