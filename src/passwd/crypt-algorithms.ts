/**
 * The hash functions of crypt(3) that no library here has: MD5, SHA-256, SHA-512 and DES, and the base 64 that all of
 * them write.
 */
import { hash, randomBytes } from "node:crypto";

/** The base 64 of crypt(3): its own alphabet, the lowest six bits first. */
export const crypt64Alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The lowest `6 * characters` bits of `value`, lowest first. */
export function encodeCrypt64(value: number, characters: number): string {
  let text = "";
  for (let at = 0; at < characters; at += 1) text += crypt64Alphabet.charAt((value >>> (6 * at)) & 63);
  return text;
}

/** A random salt of so many characters. */
export function randomSalt(characters: number): string {
  return Array.from(randomBytes(characters), (octet) => crypt64Alphabet.charAt(octet & 63)).join("");
}

/** The order in which octets of an MD5 digest are written, three to four characters; the last one stands alone. */
const md5Order = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
] as const;

/**
 * The whole string `$1$salt$digest`, as FreeBSD made it in 1994; Apache's `$apr1$` differs by that name alone. `magic`
 * is "$1$" or "$apr1$", the salt has at most eight octets.
 */
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
  const text = md5Order
    .map(([a, b, c]) => encodeCrypt64((octet(a) << 16) | (octet(b) << 8) | octet(c), 4))
    .join("");
  return `${magic}${salt}$${text}${encodeCrypt64(octet(11), 2)}`;
}

function md5(...parts: readonly Buffer[]): Buffer {
  return hash("md5", Buffer.concat(parts), "buffer");
}

/** Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512": `$5$` and `$6$`. */
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
  const start = [password, seasoning, repeatTo(alternate, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1) start.push(bits & 1 ? alternate : password);
  const first = digestOf(...start);
  const passwords = repeatTo(digestOf(...copiesOf(password, password.length)), password.length);
  const salts = repeatTo(digestOf(...copiesOf(seasoning, 16 + (first[0] ?? 0))), seasoning.length);

  let digest = first;
  for (let round = 0; round < rounds.count; round += 1) {
    const parts = [round & 1 ? passwords : digest];
    if (round % 3 !== 0) parts.push(salts);
    if (round % 7 !== 0) parts.push(passwords);
    parts.push(round & 1 ? digest : passwords);
    digest = digestOf(...parts);
  }
  const prefix = rounds.stated ? `rounds=${rounds.count}$` : "";
  return `${kind.magic}${prefix}${salt}$${writeShaDigest(kind, digest)}`;
}

/** Three octets to four characters; each next triple takes its octets from the thirds in another order. */
function writeShaDigest(kind: ShaCrypt, digest: Buffer): string {
  const third = Math.floor(kind.octets / 3);
  // SHA-512 goes round one way, SHA-256 the other (steps 22 of the specification).
  const turn = kind.octets === 64 ? 1 : 2;
  const octet = (at: number): number => digest[at] ?? 0;
  let text = "";
  for (let at = 0; at < third; at += 1) {
    const [a, b, c] = [0, 1, 2].map((part) => octet(((part + turn * at) % 3) * third + at));
    text += encodeCrypt64(((a ?? 0) << 16) | ((b ?? 0) << 8) | (c ?? 0), 4);
  }
  return kind.octets === 64
    ? text + encodeCrypt64(octet(63), 2)
    : text + encodeCrypt64((octet(31) << 8) | octet(30), 3);
}

function repeatTo(digest: Buffer, length: number): Buffer {
  return Buffer.alloc(length, digest);
}

function copiesOf(part: Buffer, times: number): Buffer[] {
  return Array.from({ length: times }, () => part);
}

/** Bits of DES, one per array element: slow beside the usual tables, and a tenth of their length. */
type Bits = readonly number[];

const initial = bitOrder(
  "58 50 42 34 26 18 10 2 60 52 44 36 28 20 12 4 62 54 46 38 30 22 14 6 64 56 48 40 32 24 16 8 " +
    "57 49 41 33 25 17 9 1 59 51 43 35 27 19 11 3 61 53 45 37 29 21 13 5 63 55 47 39 31 23 15 7",
);
const final = initial.map((_, at) => initial.indexOf(at));
const expansion = bitOrder(
  "32 1 2 3 4 5 4 5 6 7 8 9 8 9 10 11 12 13 12 13 14 15 16 17 16 17 18 19 20 21 20 21 22 23 24 25 24 25 26 27 28 29 28 29 30 31 32 1",
);
const permutation = bitOrder(
  "16 7 20 21 29 12 28 17 1 15 23 26 5 18 31 10 2 8 24 14 32 27 3 9 19 13 30 6 22 11 4 25",
);
const choiceOne = bitOrder(
  "57 49 41 33 25 17 9 1 58 50 42 34 26 18 10 2 59 51 43 35 27 19 11 3 60 52 44 36 " +
    "63 55 47 39 31 23 15 7 62 54 46 38 30 22 14 6 61 53 45 37 29 21 13 5 28 20 12 4",
);
const choiceTwo = bitOrder(
  "14 17 11 24 1 5 3 28 15 6 21 10 23 19 12 4 26 8 16 7 27 20 13 2 " +
    "41 52 31 37 47 55 30 40 51 45 33 48 44 49 39 56 34 53 46 42 50 36 29 32",
);
const shifts = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/** The eight selections: four rows of sixteen hexadecimal digits each. */
const selections = [
  "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
  "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
  "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
  "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
  "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
  "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
  "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
  "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b",
].map((rows) => Array.from(rows.replaceAll(" ", ""), (digit) => Number.parseInt(digit, 16)));

/**
 * The thirteen characters for `password`: twenty-five encryptions of nothing with DES (FIPS 46-3), the salt exchanging
 * bits of the expansion. Eight octets of seven bits of the password count; the salt has two characters.
 */
export function desCrypt(password: Buffer, salt: string): string {
  const keys = schedule(keyBits(password));
  const swaps = Array.from(salt).flatMap((character) => {
    const value = crypt64Alphabet.indexOf(character);
    return [0, 1, 2, 3, 4, 5].map((bit) => (value >> bit) & 1);
  });
  let block: Bits = Array.from({ length: 64 }, () => 0);
  for (let time = 0; time < 25; time += 1) block = encrypt(block, keys, swaps);
  const padded = [...block, 0, 0];
  const sixes = Array.from({ length: 11 }, (_, at) => numberOf(padded.slice(6 * at, 6 * at + 6)));
  return salt + sixes.map((six) => encodeCrypt64(six, 1)).join("");
}

function encrypt(block: Bits, keys: readonly Bits[], swaps: Bits): Bits {
  const start = pick(block, initial);
  let left = start.slice(0, 32);
  let right = start.slice(32);
  for (const key of keys) {
    const mixed = scramble(right, key, swaps);
    [left, right] = [right, left.map((bit, at) => bit ^ (mixed[at] ?? 0))];
  }
  return pick([...right, ...left], final);
}

/** The function f of the standard; where a salt bit is set, its bits of the two expanded halves change places. */
function scramble(half: Bits, key: Bits, swaps: Bits): Bits {
  const wide = pick(half, expansion);
  const salted = wide.map((bit, at) => (swaps[at % 24] === 1 ? (wide[(at + 24) % 48] ?? 0) : bit));
  const chosen = selections.flatMap((table, box) => {
    const six = [0, 1, 2, 3, 4, 5].map((bit) => (salted[6 * box + bit] ?? 0) ^ (key[6 * box + bit] ?? 0));
    const row = numberOf([six[0] ?? 0, six[5] ?? 0]);
    const four = table[16 * row + numberOf(six.slice(1, 5))] ?? 0;
    return [8, 4, 2, 1].map((bit) => (four & bit ? 1 : 0));
  });
  return pick(chosen, permutation);
}

function schedule(key: Bits): Bits[] {
  const halves = pick(key, choiceOne);
  let turned = 0;
  return shifts.map((shift) => {
    turned += shift;
    const turn = (half: Bits): Bits => [...half.slice(turned), ...half.slice(0, turned)];
    return pick([...turn(halves.slice(0, 28)), ...turn(halves.slice(28))], choiceTwo);
  });
}

function keyBits(password: Buffer): Bits {
  return Array.from(
    { length: 64 },
    (_, at) => ((password[at >> 3] ?? 0) >> (6 - (at & 7))) & (at % 8 === 7 ? 0 : 1),
  );
}

function pick(bits: Bits, places: readonly number[]): Bits {
  return places.map((place) => bits[place] ?? 0);
}

function numberOf(bits: Bits): number {
  return bits.reduce((value, bit) => 2 * value + bit, 0);
}

/** The standard counts bits from one. */
function bitOrder(text: string): readonly number[] {
  return text.split(" ").map((place) => Number(place) - 1);
}
