/** Schemes that keep what a challenge-response mechanism needs: CRAM-MD5, DIGEST-MD5, one-time passwords. */
import { randomBytes } from "node:crypto";
import { sameDigest } from "./compare.ts";
import { digests, inspectDigest, weakDigest } from "./digests.ts";
import { loadMd4 } from "./md4.ts";
import { md5After, md5State } from "./md5.ts";
import { type Attempt, outside, type Scheme } from "./scheme.ts";

/** The two states of MD5 after the padded key of HMAC (RFC 2104): the outer, then the inner. */
export function hmacMd5States(secret: Buffer): Buffer {
  const key = Buffer.alloc(64);
  (secret.length > 64 ? digests.md5.of(secret) : secret).copy(key);
  return Buffer.concat([0x5c, 0x36].map((pad) => md5State(Buffer.from(key.map((octet) => octet ^ pad)))));
}

/** HMAC-MD5 of `message` by what {@link hmacMd5States} gave for the secret. */
export function hmacMd5(states: Buffer, message: Buffer): Buffer {
  return md5After(states.subarray(0, 16), md5After(states.subarray(16), message));
}

export function cramMd5Scheme(name: string): Scheme {
  const statesOf = (password: string): Buffer => hmacMd5States(Buffer.from(password));
  return {
    name,
    weakness: weakDigest,
    form: "hex",
    octets: 32,
    inspect: (value) => {
      const found = inspectDigest(name, value, 32, ({ password }) => sameDigest(value, statesOf(password)));
      return "problem" in found ? found : { ...found, keys: { kind: "cram", states: value } };
    },
    generate: ({ password }) => statesOf(password),
  };
}

/** MD5 of `user:realm:password` (RFC 2831 section 2.1.2.1); the realm is what follows the last "@" of the name. */
export function digestMd5Scheme(name: string): Scheme {
  const digestOf = (user: string, password: string): Buffer => {
    const at = user.lastIndexOf("@");
    const [local, realm] = at < 0 ? [user, ""] : [user.slice(0, at), user.slice(at + 1)];
    return digests.md5.of(Buffer.from(`${local}:${realm}:${password}`));
  };
  return {
    name,
    weakness: weakDigest,
    form: "hex",
    octets: 16,
    named: true,
    inspect: (value) =>
      inspectDigest(name, value, 16, ({ names, password }) =>
        names.some((user) => sameDigest(value, digestOf(user, password))),
      ),
    generate: ({ names, password }) => digestOf(names[0] ?? "", password),
  };
}

/** `algorithm sequence seed key` (RFC 2289): the password hashed with the seed, then again `sequence` times. */
export function otpScheme(name: string): Scheme {
  const most = 10_000;
  const parse = (value: Buffer) => {
    const found = /^(md4|md5|sha1) (\d{1,5}) ([0-9A-Za-z]{1,16}) ([0-9a-f]{16})$/i.exec(
      value.toString("latin1"),
    );
    return (
      found && {
        algorithm: (found[1] ?? "").toLowerCase() as keyof typeof folds,
        sequence: Number(found[2]),
        seed: (found[3] ?? "").toLowerCase(),
        key: Buffer.from(found[4] ?? "", "hex"),
      }
    );
  };
  const keyOf = async (
    { password }: Attempt,
    algorithm: keyof typeof folds,
    seed: string,
    sequence: number,
  ): Promise<Buffer> => {
    const fold = await folds[algorithm]();
    let key = fold(Buffer.from(seed + password));
    for (let time = 0; time < sequence; time += 1) key = fold(key);
    return key;
  };
  return {
    name,
    weakness: weakDigest,
    form: "text",
    inspect: (value) => {
      const found = parse(value);
      if (!found) return { problem: "not of the form `sha1 sequence seed key`" };
      const { algorithm, sequence, seed, key } = found;
      return (
        outside({ least: 0, most }, sequence, "sequence") ?? {
          algorithm: name,
          cost: `${algorithm}, sequence ${sequence}`,
          weakness: weakDigest,
          verify: async (attempt) => sameDigest(key, await keyOf(attempt, algorithm, seed, sequence)),
        }
      );
    },
    generate: async (attempt) => {
      const seed = randomBytes(8).toString("hex");
      const key = await keyOf(attempt, "sha1", seed, 1024);
      return Buffer.from(`sha1 1024 ${seed} ${key.toString("hex")}`);
    },
  };
}

/** Digests folded to eight octets, as RFC 2289 appendix A does, each when it is loaded. */
const folds = {
  md4: async () => {
    const md4 = await loadMd4();
    return (message: Buffer) => foldHalves(md4(message));
  },
  md5: () => (message: Buffer) => foldHalves(digests.md5.of(message)),
  sha1: () => foldSha1,
};

function foldHalves(digest: Buffer): Buffer {
  return Buffer.from(digest.subarray(0, 8).map((octet, at) => octet ^ (digest[at + 8] ?? 0)));
}

function foldSha1(message: Buffer): Buffer {
  const digest = digests.sha1.of(message);
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = [0, 4, 8, 12, 16].map((at) => digest.readUInt32BE(at));
  const key = Buffer.alloc(8);
  key.writeUInt32LE((a ^ c ^ e) >>> 0, 0); // the words are written least significant octet first
  key.writeUInt32LE((b ^ d) >>> 0, 4);
  return key;
}
