/** Schemes built on PBKDF2 (RFC 8018): Dovecot's PBKDF2 and the stored keys of SCRAM (RFC 5802, RFC 7677). */
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { randomSalt } from "./crypt-algorithms.ts";
import {
  decode,
  type Inspection,
  outside,
  type PasswordAttempt,
  type Rounds,
  type Scheme,
  type ScramDigest,
  type ScramKeys,
  sameDigest,
  type Unusable,
} from "./scheme.ts";

const derive = promisify(pbkdf2);

/** A million rounds take about a second of one core. */
const most = 1_000_000;

/** Fewer are quickly guessed; OWASP asks for more than a million with SHA-1, six hundred thousand with SHA-256. */
const enough = 100_000;

const weakness = (rounds: number): string => (rounds < enough ? `${rounds} rounds are quickly guessed` : "");

/** `$1$salt$rounds$key`: HMAC-SHA-1, twenty octets in hex; the salt is its characters as they stand. */
export function pbkdf2Scheme(name: string): Scheme {
  const rounds: Rounds = { least: 1, most, standard: 5000 };
  const parse = (value: Buffer) => {
    const found = /^\$1\$([^$]{1,64})\$([1-9]\d{0,9})\$([0-9a-f]{40})$/.exec(value.toString("latin1"));
    return (
      found && { salt: found[1] ?? "", rounds: Number(found[2]), key: Buffer.from(found[3] ?? "", "hex") }
    );
  };
  const keyOf = (password: string, salt: string, count: number): Promise<Buffer> =>
    derive(password, Buffer.from(salt, "latin1"), count, 20, "sha1");
  return {
    name,
    weakness: weakness(rounds.standard),
    form: "text",
    rounds,
    inspect: (value) => {
      const found = parse(value);
      if (!found) return { problem: "not of the form $1$salt$rounds$key" };
      return inspectRounds(name, rounds, found.rounds, async ({ password }) =>
        sameDigest(found.key, await keyOf(password, found.salt, found.rounds)),
      );
    },
    generate: async ({ password }, count) => {
      const salt = randomSalt(16);
      return Buffer.from(`$1$${salt}$${count}$${(await keyOf(password, salt, count)).toString("hex")}`);
    },
  };
}

/** RFC 7677 section 4 sets the least. */
export const leastScramRounds = 4096;

const octetsOf: Readonly<Record<ScramDigest, number>> = { sha1: 20, sha256: 32 };

/** The keys of RFC 5802 section 3. The password is taken as it is, as Dovecot does. */
export async function scramKeys(
  digest: ScramDigest,
  password: string | Buffer,
  salt: Buffer,
  rounds: number,
): Promise<ScramKeys> {
  const salted = await derive(password, salt, rounds, octetsOf[digest], digest);
  const keyed = (text: string): Buffer => createHmac(digest, salted).update(text).digest();
  return { stored: createHash(digest).update(keyed("Client Key")).digest(), server: keyed("Server Key") };
}

/** `rounds,salt,StoredKey,ServerKey`, the last three in base 64. */
export function scramScheme(name: string, digest: ScramDigest): Scheme {
  const rounds: Rounds = { least: leastScramRounds, most, standard: leastScramRounds };
  const octets = octetsOf[digest];
  const parse = (value: Buffer) => {
    const [count = "", ...parts] = value.toString("latin1").split(",");
    const [salt, stored, server, more] = parts.map((part) => decode(part, "base64"));
    if (!/^[1-9]\d{0,9}$/.test(count) || !salt || more || parts.length !== 3) return undefined;
    if (stored?.length !== octets || server?.length !== octets) return undefined;
    return { rounds: Number(count), salt, stored, server };
  };
  return {
    name,
    weakness: weakness(rounds.standard),
    form: "text",
    rounds,
    inspect: (value) => {
      const found = parse(value);
      if (!found) return { problem: "not of the form rounds,salt,key,key" };
      const inspection = inspectRounds(name, rounds, found.rounds, async ({ password }) => {
        const { stored, server } = await scramKeys(digest, password, found.salt, found.rounds);
        return sameDigest(found.stored, stored) && sameDigest(found.server, server);
      });
      return "problem" in inspection ? inspection : { ...inspection, keys: { kind: digest, ...found } };
    },
    generate: async ({ password }, count) => {
      const salt = randomBytes(16);
      const { stored, server } = await scramKeys(digest, password, salt, count);
      return Buffer.from(
        `${count},${[salt, stored, server].map((part) => part.toString("base64")).join(",")}`,
      );
    },
  };
}

function inspectRounds(
  algorithm: string,
  limits: Rounds,
  count: number,
  verify: (attempt: PasswordAttempt) => Promise<boolean>,
): Inspection | Unusable {
  const cost = `${count} rounds`;
  return outside(limits, count, "rounds") ?? { algorithm, cost, weakness: weakness(count), verify };
}
