/** What a password scheme is, and what all of them need. The rows are in schemes.ts. */
import { hash, timingSafeEqual } from "node:crypto";

/** Octets. A longer password is neither checked nor kept: hashing it would cost more than it is worth. */
export const longestPassword = 1024;

/** A password that a client sent, or that is to be kept. */
export interface PasswordAttempt {
  readonly password: string;
  /** The names that the login may go by, for schemes that mix the name in: `user1@example.org`, `user1`. */
  readonly names: readonly string[];
}

/** What a stored value turns out to be. */
export interface Inspection {
  /** The algorithm that made it, which {CRYPT} leaves open: `BLF-CRYPT`. */
  readonly algorithm: string;
  /** What one check costs, in the scheme's own measure: `cost 10`, `5000 rounds`; "" where it has none. */
  readonly cost: string;
  /** Why it should be replaced; "" where it is fit for use. */
  readonly weakness: string;
  /** Whether the password belongs to it. */
  readonly verify: (attempt: PasswordAttempt) => boolean | Promise<boolean>;
  /** What it holds for mechanisms that never see the password; absent where that is nothing. */
  readonly keys?: Keys;
}

export type Keys =
  /** From the password all other keys can be made. */
  | { readonly kind: "cleartext"; readonly password: Buffer }
  /** The states of HMAC-MD5 (challenge.ts). */
  | { readonly kind: "cram"; readonly states: Buffer }
  | ({ readonly kind: ScramDigest; readonly salt: Buffer; readonly rounds: number } & ScramKeys);

/** Node's name of the digest that a SCRAM mechanism uses. */
export type ScramDigest = "sha1" | "sha256";

/** RFC 5802 section 3. */
export interface ScramKeys {
  readonly stored: Buffer;
  readonly server: Buffer;
}

/** A value that can let nobody in, and why. */
export interface Unusable {
  readonly problem: string;
}

/** The work factor of a scheme. More than `most` is refused in stored values too: it would stall the relay. */
export interface Rounds {
  readonly least: number;
  readonly most: number;
  readonly standard: number;
}

export interface Scheme {
  /** As Dovecot names it, upper case. */
  readonly name: string;
  /** Why it is not fit for new passwords; "" where it is. */
  readonly weakness: string;
  /** How its value is written when no suffix says otherwise. Digests of `octets` are read in hex and in base64. */
  readonly form: "text" | "hex" | "base64";
  readonly octets?: number;
  readonly rounds?: Rounds;
  /** Octets of a password that it takes in; a longer one would be cut, so it is refused for new values. */
  readonly longest?: number;
  /** What its values begin with, where they need no prefix to be known for what they are. */
  readonly bare?: string;
  /** The value depends on the user's name. */
  readonly named?: boolean;
  /** Reads a value; computes nothing yet. */
  readonly inspect: (value: Buffer) => Inspection | Unusable;
  /** A new value; `rounds` is within the limits, and 0 where there are none. */
  readonly generate: (attempt: PasswordAttempt, rounds: number) => Buffer | Promise<Buffer>;
}

/** The problem of a work factor outside the limits, or undefined. */
export function outside(
  { least, most }: Pick<Rounds, "least" | "most">,
  value: number,
  what: string,
): Unusable | undefined {
  if (value > most) return { problem: `${what} ${value} is more than the ${most} allowed` };
  return value < least ? { problem: `${what} ${value} is less than the ${least} needed` } : undefined;
}

/**
 * Whether two digests are the same, in a time that says nothing about where they differ. Their lengths are no secret.
 */
export function sameDigest(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Whether two texts are the same, without telling even their lengths. */
export function sameSecret(one: Uint8Array, other: Uint8Array): boolean {
  return timingSafeEqual(hash("sha256", one, "buffer"), hash("sha256", other, "buffer"));
}

export type Encoding = "hex" | "base64";

/**
 * Reads strictly, since a value has one spelling: the octets, or undefined where `text` is not exactly what {@link
 * Buffer.toString} would write (hex in any case).
 */
export function decode(text: string, encoding: Encoding): Buffer | undefined {
  const octets = Buffer.from(text, encoding);
  const again = octets.toString(encoding);
  return again === text || (encoding === "hex" && again === text.toLowerCase()) ? octets : undefined;
}
