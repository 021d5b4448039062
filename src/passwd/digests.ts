/** Schemes that keep one digest of the password, plain or salted: all of them quick to guess. */
import { createHash, randomBytes } from "node:crypto";
import { sameDigest } from "./compare.ts";
import { decode, type Encoding } from "./encoding.ts";
import { loadMd4 } from "./md4.ts";
import type { Attempt, Inspection, Scheme, Unusable } from "./scheme.ts";

/** A digest function and the octets it gives; some have to be loaded first. */
export interface Digest<Given = Buffer> {
  readonly octets: number;
  readonly of: (...parts: readonly Uint8Array[]) => Given;
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
  md4: {
    octets: 16,
    of: async (...parts: readonly Uint8Array[]) => (await loadMd4())(Buffer.concat(parts)),
  },
  md5: openssl("md5", 16),
  sha1: openssl("sha1", 20),
  sha256: openssl("sha256", 32),
  sha512: openssl("sha512", 64),
} satisfies Record<string, Digest<Buffer | Promise<Buffer>>>;

export const weakDigest = "one round of a quick digest: millions of guesses a second";

/** The inspection of a value that is the one digest of an attempt. */
export function inspectDigest(
  algorithm: string,
  value: Buffer,
  octets: number,
  verify: Inspection["verify"],
): Inspection | Unusable {
  if (value.length !== octets) return { problem: `${value.length} octets instead of ${octets}` };
  return { algorithm, cost: "", weakness: weakDigest, verify };
}

/** A digest without salt. */
export function digestScheme(
  name: string,
  { octets, of }: Digest<Buffer | Promise<Buffer>>,
  form: Encoding,
): Scheme {
  const digestOf = async (password: string): Promise<Buffer> => of(Buffer.from(password));
  return {
    name,
    weakness: weakDigest,
    form,
    octets,
    inspect: (value) =>
      inspectDigest(name, value, octets, async ({ password }) => sameDigest(value, await digestOf(password))),
    generate: ({ password }) => digestOf(password),
  };
}

/** A digest with a salt behind it: digest(password, salt), salt. */
export function saltedScheme(name: string, digest: Digest): Scheme {
  const { octets } = digest;
  const salted = (password: string, salt: Buffer): Buffer =>
    Buffer.concat([digest.of(Buffer.from(password), salt), salt]);
  return {
    name,
    weakness: weakDigest,
    form: "base64",
    inspect: (value) => {
      if (value.length <= octets)
        return { problem: `${value.length} octets instead of ${octets + 1} at least` };
      const salt = value.subarray(octets);
      const verify = ({ password }: Attempt): boolean => sameDigest(value, salted(password, salt));
      return { algorithm: name, cost: "", weakness: weakDigest, verify };
    },
    generate: ({ password }) => salted(password, randomBytes(4)), // as many as Dovecot takes
  };
}

/** `md5Crypt`, whose row also takes plain MD5 digests in hex or base 64: LDAP's {MD5}. */
export function md5Scheme(md5Crypt: Scheme): Scheme {
  const plain = digestScheme("MD5", digests.md5, "hex");
  return {
    ...md5Crypt,
    name: "MD5",
    inspect: (value) => {
      const text = value.toString("latin1");
      const octets = decode(text, "hex") ?? decode(text, "base64");
      return octets?.length === digests.md5.octets ? plain.inspect(octets) : md5Crypt.inspect(value);
    },
  };
}
