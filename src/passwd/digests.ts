/** Schemes that keep one digest of the password, plain or salted, or the password itself: all of them weak. */
import { createHash, randomBytes } from "node:crypto";
import { loadMd4 } from "./md4.ts";
import {
  decode,
  type Encoding,
  type Inspection,
  type PasswordAttempt,
  type Scheme,
  sameDigest,
  sameSecret,
  type Unusable,
} from "./scheme.ts";

/** A digest function and the octets it gives; some have to be loaded first. */
export interface DigestFunction<Given = Buffer> {
  readonly octets: number;
  readonly of: (...parts: readonly Uint8Array[]) => Given;
}

function openssl(name: string, octets: number): DigestFunction {
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
} satisfies Record<string, DigestFunction<Buffer | Promise<Buffer>>>;

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
  { octets, of }: DigestFunction<Buffer | Promise<Buffer>>,
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
export function saltedScheme(name: string, digest: DigestFunction): Scheme {
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
      const verify = ({ password }: PasswordAttempt): boolean => sameDigest(value, salted(password, salt));
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

const cleartextWeakness = "the password stands there for everybody who sees the file";

export function plainScheme(name: string): Scheme {
  return {
    name,
    weakness: cleartextWeakness,
    form: "text",
    inspect: (value) => ({
      algorithm: name,
      cost: "",
      weakness: cleartextWeakness,
      verify: ({ password }) => sameSecret(value, Buffer.from(password)),
      keys: { kind: "cleartext", password: value },
    }),
    generate: ({ password }) => Buffer.from(password),
  };
}

/**
 * `LENGTH-PASSWORD`: where LENGTH is the number of octets that follow, any password that begins with them is let in,
 * for systems that cut. Other lengths mean that the password is whole. New values say one more than there are.
 */
export function truncatedScheme(name: string): Scheme {
  return {
    name,
    weakness: cleartextWeakness,
    form: "text",
    inspect: (value) => {
      const found = split(value);
      if (!found) return { problem: "no LENGTH- before the password" };
      const { text, cut } = found;
      if (cut && text.length === 0) return { problem: "a password cut to nothing lets everybody in" };
      const seen = (given: Buffer): Buffer => (cut ? given.subarray(0, text.length) : given);
      return {
        algorithm: name,
        cost: "",
        weakness: cleartextWeakness,
        verify: ({ password }) => sameSecret(text, seen(Buffer.from(password))),
      };
    },
    generate: ({ password }) => Buffer.from(`${Buffer.byteLength(password) + 1}-${password}`),
  };
}

function split(value: Buffer): { readonly text: Buffer; readonly cut: boolean } | undefined {
  const dash = value.indexOf("-");
  const length = value.toString("latin1", 0, Math.max(dash, 0));
  if (!/^\d{1,9}$/.test(length)) return undefined;
  const text = value.subarray(dash + 1);
  return { text, cut: Number(length) === text.length };
}
