/** Which addresses a stranger's DNS may send us to, in every way of writing them. */
import { expect, test } from "vitest";
import { isPublic } from "../../../../src/server/delivery/dns/public-addresses.ts";

const inside = [
  "127.0.0.1",
  "10.1.2.3",
  "100.64.0.1",
  "169.254.169.254",
  "172.31.255.255",
  "192.168.1.1",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "fd00::1",
  "fe80::1",
  "ff02::1",
  // IPv4 in IPv6: mapped, compatible, by NAT64, by 6to4
  "::ffff:127.0.0.1",
  "::ffff:a01:203",
  "::127.0.0.1",
  "64:ff9b::10.1.2.3",
  "64:ff9b::c0a8:101",
  "64:ff9b:1::1",
  "2002:7f00:1::1",
  "2002:c0a8:101::",
  "2002:ac1f:ffff:1::",
];

const outside = [
  "192.0.2.1",
  "172.32.0.1",
  "192.0.1.1",
  "2001:db8::1",
  "::ffff:192.0.2.1",
  "64:ff9b::192.0.2.1",
  "2002:c000:201::1",
];

test.each(inside)("%s is not public", (address) => expect(isPublic(address)).toBe(false));
test.each(outside)("%s is public", (address) => expect(isPublic(address)).toBe(true));
