/**
 * The strings of crypt(3): which algorithm made one, what it costs, and whether a password belongs to it.
 * Schemes that hold such a string share this, because {CRYPT} leaves the algorithm to the string.
 */

import {
  desCrypt,
  md5Crypt,
  randomSalt,
  type ShaCrypt,
  sha256Crypt,
  sha512Crypt,
  shaCrypt,
  standardRounds,
} from "./crypt-algorithms.ts";
import { type Inspection, outside, type Rounds, type Scheme, sameDigest, type Unusable } from "./scheme.ts";

/** bcrypt's cost is a power of two: 15 takes about three seconds of one core. doveadm's standard, 5, is cheap today. */
const bcryptRounds: Rounds = { least: 4, most: 15, standard: 10 };

/** Half a million rounds take about two seconds of one core. */
const shaRounds: Rounds = { least: 1000, most: 500_000, standard: standardRounds };

/** libc's crypt(3) takes no longer ones (CRYPT_MAX_PASSPHRASE_SIZE of libxcrypt). */
const longestOfLibc = 511;

const weakMd5 = "a thousand rounds of MD5 are quickly guessed";
const weakDes = "only eight letters count, and all can be tried";

interface CryptFormat {
  readonly algorithm: string;
  readonly pattern: RegExp;
  /** What one check costs, and whether that is enough, or why it is too much. */
  readonly weigh: (found: RegExpExecArray) => Pick<Inspection, "cost" | "weakness"> | Unusable;
  /** The string that the password gives with the salt and cost of the one found. */
  readonly compute: (password: Buffer, found: RegExpExecArray) => string | Promise<string>;
}

const bcrypt: CryptFormat = {
  algorithm: "BLF-CRYPT",
  pattern: /^(\$2[aby]\$(\d\d)\$[./0-9A-Za-z]{22})[./0-9A-Za-z]{31}$/,
  weigh: (found) => {
    const cost = Number(found[2]);
    const weakness = cost < bcryptRounds.standard ? `cost ${cost} is quickly guessed` : "";
    return outside(bcryptRounds, cost, "cost") ?? { cost: `cost ${cost}`, weakness };
  },
  compute: (password, found) => bcryptAgain(password, found[1] ?? ""),
};

const formats: readonly CryptFormat[] = [
  bcrypt,
  shaFormat("SHA512-CRYPT", sha512Crypt, 86),
  shaFormat("SHA256-CRYPT", sha256Crypt, 43),
  md5Format("MD5-CRYPT", "$1$"),
  md5Format("APR1", "$apr1$"),
  {
    algorithm: "DES-CRYPT",
    pattern: /^([./0-9A-Za-z]{2})[./0-9A-Za-z]{11}$/,
    weigh: () => ({ cost: "25 rounds", weakness: weakDes }),
    compute: (password, found) => desCrypt(password, found[1] ?? ""),
  },
];

interface BcryptCheck {
  readonly password: Buffer;
  readonly setting: string;
  readonly resolve: (text: string) => void;
  readonly reject: (error: unknown) => void;
}

/** By cost, the first check of this turn that is without another. */
const unpaired = new Map<string, BcryptCheck>();

/**
 * The string of `password` with the `setting` of one that is checked. Two checks of the same cost that come in the same turn,
 * as a thread of the pool gets them, are made together.
 */
function bcryptAgain(password: Buffer, setting: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const check = { password, setting, resolve, reject };
    const cost = setting.slice(4, 6);
    const first = unpaired.get(cost);
    if (first !== undefined) {
      unpaired.delete(cost);
      bcryptTogether([first, check]).catch((error: unknown) => {
        for (const one of [first, check]) one.reject(error);
      });
      return;
    }
    unpaired.set(cost, check);
    setImmediate(() => {
      if (unpaired.get(cost) !== check) return;
      unpaired.delete(cost);
      bcryptAlone(password, setting).then(resolve, reject);
    });
  });
}

async function bcryptTogether(checks: readonly [BcryptCheck, BcryptCheck]): Promise<void> {
  const [{ bcryptPair }, { decodeBase64, encodeBase64 }] = await Promise.all([
    import("./bcrypt-pair.ts"),
    import("bcryptjs"),
  ]);
  const inputOf = ({ password, setting }: BcryptCheck) => ({
    key: Buffer.concat([password, Buffer.alloc(1)]).subarray(0, 72),
    salt: decodeBase64(setting.slice(-22), 16),
  });
  const inputs = [inputOf(checks[0]), inputOf(checks[1])] as const;
  const digests = bcryptPair(inputs, Number(checks[0].setting.slice(4, 6)));
  for (const at of [0, 1] as const) {
    const { setting, resolve } = checks[at];
    resolve(setting.slice(0, 7) + encodeBase64(inputs[at].salt, 16) + encodeBase64(digests[at], 23));
  }
}

/**
 * Computed by hash-wasm, which takes a sixth less of the processor's time than bcryptjs, the maker of new ones. The key is what
 * all versions but `$2x$` agree on: the octets up to 72, and a NUL.
 */
async function bcryptAlone(password: Buffer, setting: string): Promise<string> {
  const [wasm, { decodeBase64 }] = await Promise.all([import("hash-wasm"), import("bcryptjs")]);
  const made = await wasm.bcrypt({
    // hash-wasm takes an empty password for a forgotten one. The key repeats, so one NUL more makes the same key.
    password: password.length === 0 ? Buffer.alloc(1) : password.subarray(0, 72),
    salt: Uint8Array.from(decodeBase64(setting.slice(-22), 16)),
    costFactor: Number(setting.slice(4, 6)),
    outputType: "encoded",
  });
  return setting.slice(0, 4) + made.slice(4);
}

/** What crypt(3) of some systems makes and this program does not check. */
const unsupported: readonly (readonly [start: string, name: string])[] = [
  ["$y$", "yescrypt"],
  ["$gy$", "gost-yescrypt"],
  ["$7$", "scrypt"],
  ["$2x$", "bcrypt with the sign bug of 2011"],
  ["$sha1", "sha1crypt"],
  ["$md5", "SunMD5"],
  ["$3$", "NTHASH"],
  ["_", "extended DES"],
];

function inspectAmong(candidates: readonly CryptFormat[], value: Buffer): Inspection | Unusable {
  const text = value.toString("latin1");
  for (const { algorithm, pattern, weigh, compute } of candidates) {
    const found = pattern.exec(text);
    if (!found) continue;
    const weight = weigh(found);
    if ("problem" in weight) return weight;
    const verify = async (password: string): Promise<boolean> =>
      sameDigest(Buffer.from(await compute(Buffer.from(password), found), "latin1"), value);
    return { algorithm, ...weight, verify: ({ password }) => verify(password) };
  }
  const stranger = unsupported.find(([start]) => text.startsWith(start));
  if (stranger) return { problem: `${stranger[1]} (${stranger[0]}) is not supported` };
  const only = candidates.length === 1 ? candidates[0]?.algorithm : undefined;
  return { problem: only === undefined ? "damaged or unknown crypt string" : `damaged ${only} string` };
}

/** A row for crypt strings of any algorithm, or of `only` one. */
function cryptScheme(
  row: Pick<Scheme, "name" | "weakness" | "bare" | "rounds" | "longest">,
  generate: (password: Buffer, rounds: number) => string | Promise<string>,
  only?: string,
): Scheme {
  const candidates = formats.filter(({ algorithm }) => only === undefined || algorithm === only);
  return {
    ...row,
    form: "text",
    inspect: (value) => inspectAmong(candidates, value),
    generate: async ({ password }, rounds) =>
      Buffer.from(await generate(Buffer.from(password), rounds), "latin1"),
  };
}

/** bcrypt, which looks at 72 octets. With `only`, no other crypt string is taken. */
export function bcryptScheme(name: string, only?: "BLF-CRYPT"): Scheme {
  const generate = async (password: Buffer, cost: number): Promise<string> => {
    const { genSaltSync } = await import("bcryptjs");
    return bcryptString(password, genSaltSync(cost).replace("$2b$", "$2y$")); // as Dovecot spells it
  };
  return cryptScheme({ name, weakness: "", bare: "$2", rounds: bcryptRounds, longest: 72 }, generate, only);
}

export function shaCryptScheme(name: string, kind: ShaCrypt): Scheme {
  return cryptScheme(
    { name, weakness: "", bare: kind.magic, rounds: shaRounds, longest: longestOfLibc },
    (password, count) =>
      shaCrypt(kind, password, randomSalt(16), { count, stated: count !== standardRounds }),
  );
}

export function md5CryptScheme(name: string): Scheme {
  return cryptScheme(
    { name, weakness: weakMd5, bare: "$1$", longest: longestOfLibc },
    (password) => md5Crypt(password, "$1$", randomSalt(8)),
    "MD5-CRYPT",
  );
}

export function desCryptScheme(name: string): Scheme {
  return cryptScheme({ name, weakness: weakDes, bare: "", longest: 8 }, (password) =>
    desCrypt(password, randomSalt(2)),
  );
}

async function bcryptString(password: Buffer, setting: string): Promise<string> {
  const { hashSync } = await import("bcryptjs");
  return hashSync(password.toString(), setting);
}

function shaFormat(algorithm: string, kind: ShaCrypt, characters: number): CryptFormat {
  const magic = kind.magic.replaceAll("$", "\\$");
  return {
    algorithm,
    pattern: new RegExp(
      `^${magic}(?:rounds=([1-9]\\d{0,8})\\$)?([^$:\\n]{0,16})\\$[./0-9A-Za-z]{${characters}}$`,
    ),
    weigh: (found) => {
      const count = Number(found[1] ?? standardRounds);
      const weakness = count < standardRounds ? `${count} rounds are quickly guessed` : "";
      return outside(shaRounds, count, "rounds") ?? { cost: `${count} rounds`, weakness };
    },
    compute: (password, found) =>
      shaCrypt(kind, password, found[2] ?? "", {
        count: Number(found[1] ?? standardRounds),
        stated: found[1] !== undefined,
      }),
  };
}

function md5Format(algorithm: string, magic: "$1$" | "$apr1$"): CryptFormat {
  return {
    algorithm,
    pattern: new RegExp(`^${magic.replaceAll("$", "\\$")}([^$:\\n]{0,8})\\$[./0-9A-Za-z]{22}$`),
    weigh: () => ({ cost: "1000 rounds", weakness: weakMd5 }),
    compute: (password, found) => md5Crypt(password, magic, found[1] ?? ""),
  };
}
