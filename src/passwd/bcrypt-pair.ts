/**
 * bcrypt of two passwords at a time (Provos and Mazières, "A Future-Adaptable Password Scheme", 1999), as a thread does it
 * that has two logins waiting: together they take much less than one after the other. blowfish-pair.ts has the dear part.
 */
import { type BlowfishLane, type MixPair, newMixPair, subkeys, tableWords } from "./blowfish-pair.ts";

export interface BcryptInput {
  /** 1 to 72 octets; a shorter one ends with its NUL. */
  readonly key: ArrayLike<number>;
  /** 16 octets. */
  readonly salt: readonly number[];
}

/** "OrpheanBeholderScryDoubt" */
const text = [0x4f727068, 0x65616e42, 0x65686f6c, 0x64657253, 0x63727944, 0x6f756274];
/** How often that is encrypted. */
const encryptions = 64;
/** Octets of the result; the last one of the text is not in it. */
const digestOctets = 23;

let mixPair: MixPair | undefined;
let piTables: Int32Array | undefined;

/** Their digests with 2^`cost` rounds. */
export function bcryptPair(
  [first, second]: readonly [BcryptInput, BcryptInput],
  cost: number,
): readonly [readonly number[], readonly number[]] {
  mixPair ??= newMixPair();
  const lanes = [laneOf(first), laneOf(second)] as const;
  mixPair(lanes, 2 ** cost);
  return [digestOf(lanes[0].tables), digestOf(lanes[1].tables)];
}

function laneOf({ key: password, salt: seasoning }: BcryptInput): BlowfishLane {
  piTables ??= digitsOfPi();
  const tables = Int32Array.from(piTables);
  const key = wordsOf(password);
  const salt = wordsOf(seasoning);
  for (const [word, value] of key.entries()) tables[word] = (tables[word] ?? 0) ^ value;
  const block = new Int32Array(2);
  for (let at = 0; at < tableWords; at += 2) {
    const [left = 0, right = 0] = block;
    block.set([left ^ (salt[at % 4] ?? 0), right ^ (salt[(at + 1) % 4] ?? 0)]);
    encrypt(block, tables);
    tables.set(block, at);
  }
  return { tables, key, salt };
}

function digestOf(tables: Int32Array): readonly number[] {
  const digest = Buffer.alloc(4 * text.length);
  for (let at = 0; at < text.length; at += 2) {
    const block = Int32Array.from(text.slice(at, at + 2));
    for (let times = 0; times < encryptions; times += 1) encrypt(block, tables);
    for (const [half, value] of block.entries()) digest.writeInt32BE(value, 4 * (at + half));
  }
  return [...digest.subarray(0, digestOctets)];
}

/** As many words as there are subkeys, big-endian; the octets begin anew as often as it takes. */
function wordsOf(octets: ArrayLike<number>): readonly number[] {
  return Array.from({ length: subkeys }, (_, word) => {
    let value = 0;
    for (let at = 4 * word; at < 4 * word + 4; at += 1)
      value = (value << 8) | (octets[at % octets.length] ?? 0);
    return value;
  });
}

/** One block of Blowfish. */
function encrypt(block: Int32Array, tables: Int32Array): void {
  const word = (at: number): number => tables[at] ?? 0;
  const table = (number: number, at: number): number => word(subkeys + 256 * number + (at & 0xff));
  const scrambled = (half: number): number =>
    (((table(0, half >>> 24) + table(1, half >>> 16)) ^ table(2, half >>> 8)) + table(3, half)) | 0;
  let [left = 0, right = 0] = block;
  for (let subkey = 0; subkey < 16; subkey += 1) {
    left ^= word(subkey);
    right ^= scrambled(left);
    [left, right] = [right, left];
  }
  block[0] = right ^ word(17);
  block[1] = left ^ word(16);
}

/** Blowfish begins with the digits of π behind the point. By John Machin's formula: 16 arccot 5 - 4 arccot 239. */
function digitsOfPi(): Int32Array {
  const spare = 64n; // bits that the divisions make wrong
  const bits = BigInt(32 * tableWords);
  const one = 1n << (bits + spare);
  const pi = 16n * arccot(5n, one) - 4n * arccot(239n, one);
  const digits = ((pi - 3n * one) >> spare).toString(16).padStart(8 * tableWords, "0");
  return Int32Array.from({ length: tableWords }, (_, word) =>
    Number.parseInt(digits.slice(8 * word, 8 * word + 8), 16),
  );
}

function arccot(value: bigint, one: bigint): bigint {
  const square = value * value;
  let sum = 0n;
  let sign = 1n;
  let power = one / value;
  for (let divisor = 1n; power !== 0n; divisor += 2n) {
    sum += sign * (power / divisor);
    power /= square;
    sign = -sign;
  }
  return sum;
}
