/** crypt(3) with MD5: `$1$` as FreeBSD made it in 1994, and Apache's `$apr1$`, which differs by that name alone. */
import { hash } from "node:crypto";
import { encode } from "./crypt64.ts";

/** The order in which octets of the digest are written, three to four characters; the last one stands alone. */
const order = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
] as const;

/** The whole string `$1$salt$digest`; `magic` is "$1$" or "$apr1$", the salt has at most eight octets. */
export function md5Crypt(password: Buffer, magic: string, salt: string): string {
  const seasoning = Buffer.from(salt, "latin1");
  const alternate = md5(password, seasoning, password);
  const start = [password, Buffer.from(magic), seasoning];
  for (let left = password.length; left > 0; left -= 16)
    start.push(alternate.subarray(0, Math.min(left, 16)));
  for (let bits = password.length; bits > 0; bits >>= 1)
    start.push(bits & 1 ? Buffer.alloc(1) : password.subarray(0, 1));
  let digest = md5(...start);
  for (let round = 0; round < 1000; round += 1) {
    const parts = [round & 1 ? password : digest];
    if (round % 3 !== 0) parts.push(seasoning);
    if (round % 7 !== 0) parts.push(password);
    parts.push(round & 1 ? digest : password);
    digest = md5(...parts);
  }
  const octet = (at: number): number => digest[at] ?? 0;
  const text = order.map(([a, b, c]) => encode((octet(a) << 16) | (octet(b) << 8) | octet(c), 4)).join("");
  return `${magic}${salt}$${text}${encode(octet(11), 2)}`;
}

function md5(...parts: readonly Buffer[]): Buffer {
  return hash("md5", Buffer.concat(parts), "buffer");
}
