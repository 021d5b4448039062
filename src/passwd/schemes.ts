/**
 * Every scheme, a row each, in the order in which `doveadm pw -l` names them.
 * man/tpa-submit-passwd.5, SCHEMES, lists the rows; a test compares the two.
 */
import { argon2Scheme } from "./argon2.ts";
import { cramMd5Scheme, digestMd5Scheme, otpScheme } from "./challenge.ts";
import { bcryptScheme, desCryptScheme, md5CryptScheme, shaCryptScheme } from "./crypt.ts";
import { sha256Crypt, sha512Crypt } from "./crypt-algorithms.ts";
import { digestScheme, digests, md5Scheme, plainScheme, saltedScheme, truncatedScheme } from "./digests.ts";
import { pbkdf2Scheme, scramScheme } from "./pbkdf2.ts";
import type { Scheme } from "./scheme.ts";

/** What a bare crypt string is read as, and what new passwords get unless somebody asks for another. */
export const standardScheme = bcryptScheme("CRYPT");

export const schemes: readonly Scheme[] = [
  digestScheme("SHA1", digests.sha1, "base64"),
  saltedScheme("SSHA512", digests.sha512),
  scramScheme("SCRAM-SHA-256", "sha256"),
  bcryptScheme("BLF-CRYPT", "BLF-CRYPT"),
  plainScheme("PLAIN"),
  cramMd5Scheme("HMAC-MD5"),
  otpScheme("OTP"),
  digestScheme("SHA512", digests.sha512, "base64"),
  digestScheme("SHA", digests.sha1, "base64"),
  desCryptScheme("DES-CRYPT"),
  standardScheme,
  saltedScheme("SSHA", digests.sha1),
  md5CryptScheme("MD5-CRYPT"),
  digestScheme("PLAIN-MD4", digests.md4, "hex"),
  digestScheme("PLAIN-MD5", digests.md5, "hex"),
  scramScheme("SCRAM-SHA-1", "sha1"),
  shaCryptScheme("SHA512-CRYPT", sha512Crypt),
  plainScheme("CLEAR"),
  plainScheme("CLEARTEXT"),
  argon2Scheme({ name: "ARGON2I", memory: 32_768, rounds: { least: 3, most: 32, standard: 4 } }),
  argon2Scheme({ name: "ARGON2ID", memory: 65_536, rounds: { least: 1, most: 16, standard: 3 } }),
  saltedScheme("SSHA256", digests.sha256),
  md5Scheme(md5CryptScheme("MD5")),
  pbkdf2Scheme("PBKDF2"),
  digestScheme("SHA256", digests.sha256, "base64"),
  cramMd5Scheme("CRAM-MD5"),
  truncatedScheme("PLAIN-TRUNC"),
  shaCryptScheme("SHA256-CRYPT", sha256Crypt),
  saltedScheme("SMD5", digests.md5),
  digestMd5Scheme("DIGEST-MD5"),
  digestScheme("LDAP-MD5", digests.md5, "base64"),
];

const byName = new Map(schemes.map((scheme) => [scheme.name, scheme]));

/** The row of a name in any case, or undefined. */
export function findScheme(name: string): Scheme | undefined {
  return byName.get(name.toUpperCase());
}
