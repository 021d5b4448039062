/**
 * Which addresses the DNS of a recipient's domain may send us to. MX records and address literals come from outside:
 * without this check they could point the relay at services of its own host or network.
 */
import { BlockList, isIPv6 } from "node:net";

// IANA's special-purpose registries (RFC 6890), without the documentation ranges, which nobody uses.
const inside = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  inside.addSubnet(network, bits, "ipv4"); // and ::ffff:0:0/96, which is the same
  const [a = 0, b = 0, c = 0, d = 0] = network.split(".").map(Number);
  const high = (a * 256 + b).toString(16);
  const low = (c * 256 + d).toString(16);
  inside.addSubnet(`::${high}:${low}`, 96 + bits, "ipv6"); // IPv4-compatible (RFC 4291 section 2.5.5.1)
  inside.addSubnet(`64:ff9b::${high}:${low}`, 96 + bits, "ipv6"); // NAT64 (RFC 6052 section 3.1)
  inside.addSubnet(`2002:${high}:${low}::`, 16 + bits, "ipv6"); // 6to4 (RFC 3056 section 2)
}
for (const [network, bits] of [
  ["::", 127], // unspecified and loopback
  ["64:ff9b:1::", 48],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
] as const) {
  inside.addSubnet(network, bits, "ipv6");
}

/** Whether `address` is public: not loopback, private, link-local or multicast. */
export function isPublic(address: string): boolean {
  return !inside.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}
