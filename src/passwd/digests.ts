/** Schemes that keep one digest of the password, plain or salted: all of them quick to guess. */
import { createHash, randomBytes } from "node:crypto";
import { sameDigest } from "./compare.ts";
import { decode, type Encoding } from "./encoding.ts";
import { md4 } from "./md.ts";
import { type Scheme, sound, unsound } from "./scheme.ts";

/** A digest function and the octets it gives. */
export interface Digest {
  readonly octets: number;
  readonly of: (...parts: readonly Uint8Array[]) => Buffer;
}

function openssl(name: string, octets: number): Digest {
  return {
    octets,
    of: (...parts) => {
      const digest = createHash(name);
      for (const part of parts) digest.update(part);
      return digest.digest();
    },
  };
}

export const digests = {
  md4: { octets: 16, of: (...parts: readonly Uint8Array[]) => md4(Buffer.concat(parts)) },
  md5: openssl("md5", 16),
  sha1: openssl("sha1", 20),
  sha256: openssl("sha256", 32),
  sha512: openssl("sha512", 64),
} satisfies Record<string, Digest>;

export const weakDigest = "one round of a quick digest: millions of guesses a second";

/** A digest without salt. */
export function digestScheme(name: string, digest: Digest, form: Encoding): Scheme {
  return {
    name,
    weakness: weakDigest,
    form,
    octets: digest.octets,
    inspect: (value) => ofLength(name, value, digest.octets),
    verify: (value, { password }) => sameDigest(value, digest.of(Buffer.from(password))),
    generate: ({ password }) => digest.of(Buffer.from(password)),
  };
}

/** A digest with a salt behind it: digest(password, salt), salt. */
export function saltedScheme(name: string, digest: Digest): Scheme {
  const { octets } = digest;
  return {
    name,
    weakness: weakDigest,
    form: "base64",
    inspect: (value) =>
      value.length > octets
        ? sound(name, "", weakDigest)
        : unsound(`${value.length} octets instead of ${octets + 1} at least`),
    verify: (value, { password }) =>
      sameDigest(value.subarray(0, octets), digest.of(Buffer.from(password), value.subarray(octets))),
    generate: ({ password }) => {
      const salt = randomBytes(4); // as many as Dovecot takes
      return Buffer.concat([digest.of(Buffer.from(password), salt), salt]);
    },
  };
}

/** `md5Crypt`, whose row also takes plain MD5 digests in hex or base 64: LDAP's {MD5}. */
export function md5Scheme(md5Crypt: Scheme): Scheme {
  const plain = digestScheme("MD5", digests.md5, "hex");
  const read = (value: Buffer): Buffer | undefined => {
    const text = value.toString("latin1");
    const octets = decode(text, "hex") ?? decode(text, "base64");
    return octets?.length === digests.md5.octets ? octets : undefined;
  };
  return {
    ...md5Crypt,
    name: "MD5",
    inspect: (value) => {
      const octets = read(value);
      return octets ? plain.inspect(octets) : md5Crypt.inspect(value);
    },
    verify: (value, attempt) => {
      const octets = read(value);
      return octets ? plain.verify(octets, attempt) : md5Crypt.verify(value, attempt);
    },
  };
}

/** The inspection of a value that has one length. */
export function ofLength(name: string, value: Buffer, octets: number) {
  return value.length === octets
    ? sound(name, "", weakDigest)
    : unsound(`${value.length} octets instead of ${octets}`);
}
