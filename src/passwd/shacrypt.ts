/** crypt(3) with SHA-256 (`$5$`) and SHA-512 (`$6$`), after Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512". */
import { hash } from "node:crypto";
import { encode } from "./crypt64.ts";

export interface ShaCrypt {
  readonly digest: "sha256" | "sha512";
  readonly magic: "$5$" | "$6$";
  readonly octets: 32 | 64;
}

export const sha256Crypt: ShaCrypt = { digest: "sha256", magic: "$5$", octets: 32 };
export const sha512Crypt: ShaCrypt = { digest: "sha512", magic: "$6$", octets: 64 };

/** What the string leaves out when it has no `rounds=`. */
export const standardRounds = 5000;

/**
 * The whole string `$6$rounds=N$salt$digest`. The salt has at most sixteen octets; `rounds` is written down where
 * `stated`, as a string that names the standard number must be answered by one that does.
 */
export function shaCrypt(
  kind: ShaCrypt,
  password: Buffer,
  salt: string,
  rounds: { readonly count: number; readonly stated: boolean },
): string {
  const seasoning = Buffer.from(salt, "latin1");
  const digestOf = (...parts: readonly Buffer[]): Buffer => hash(kind.digest, Buffer.concat(parts), "buffer");
  const alternate = digestOf(password, seasoning, password);
  const start = [password, seasoning, stretch(alternate, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1) start.push(bits & 1 ? alternate : password);
  const first = digestOf(...start);
  const passwords = stretch(digestOf(...repeat(password, password.length)), password.length);
  const salts = stretch(digestOf(...repeat(seasoning, 16 + (first[0] ?? 0))), seasoning.length);

  let digest = first;
  for (let round = 0; round < rounds.count; round += 1) {
    const parts = [round & 1 ? passwords : digest];
    if (round % 3 !== 0) parts.push(salts);
    if (round % 7 !== 0) parts.push(passwords);
    parts.push(round & 1 ? digest : passwords);
    digest = digestOf(...parts);
  }
  const prefix = rounds.stated ? `rounds=${rounds.count}$` : "";
  return `${kind.magic}${prefix}${salt}$${write(kind, digest)}`;
}

/** Three octets to four characters; each next triple takes its octets from the thirds in another order. */
function write(kind: ShaCrypt, digest: Buffer): string {
  const third = Math.floor(kind.octets / 3);
  // SHA-512 goes round one way, SHA-256 the other (steps 22 of the specification).
  const turn = kind.octets === 64 ? 1 : 2;
  const octet = (at: number): number => digest[at] ?? 0;
  let text = "";
  for (let at = 0; at < third; at += 1) {
    const [a, b, c] = [0, 1, 2].map((part) => octet(((part + turn * at) % 3) * third + at));
    text += encode(((a ?? 0) << 16) | ((b ?? 0) << 8) | (c ?? 0), 4);
  }
  return kind.octets === 64 ? text + encode(octet(63), 2) : text + encode((octet(31) << 8) | octet(30), 3);
}

function stretch(digest: Buffer, length: number): Buffer {
  return Buffer.alloc(length, digest);
}

function repeat(part: Buffer, times: number): Buffer[] {
  return Array.from({ length: times }, () => part);
}
