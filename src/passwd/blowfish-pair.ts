/**
 * The dear part of bcrypt for two passwords at a time: Blowfish's tables mixed with password and salt again and again.
 * Each of its steps waits for the one before, and a processor that does those of two passwords in turn waits for neither:
 * measured with cost 10, one password by hash-wasm takes 56 ms of it, two here take 60.
 *
 * The steps are a module of WebAssembly, which is written here, since no library has one for two.
 */

/** What is mixed: the tables of one password, and the words that go into them. */
export interface BlowfishLane {
  /** 18 subkeys and four tables of 256 words; changed in place. */
  readonly tables: Int32Array;
  /** 18 words each: the password and the salt, begun anew as often as it takes. */
  readonly key: readonly number[];
  readonly salt: readonly number[];
}

/** Mixes both lanes so many times. */
export type MixPair = (lanes: readonly [BlowfishLane, BlowfishLane], times: number) => void;

export const subkeys = 18;
export const tableWords = subkeys + 4 * 256;

/** Of the module's memory, in octets: where a lane's tables, key and salt begin, and the next lane. */
const keyAt = 4 * tableWords;
const saltAt = keyAt + 4 * subkeys;
const laneOctets = 8_192;

/** Mixes that are made in one call: the first one runs as V8 translates it at once, later ones as it does at leisure. */
const mixesAtOnce = 32;

// What of WebAssembly is needed, by the names of its text format; see the specification's index of instructions.
const op = {
  loop: 0x03,
  end: 0x0b,
  brIf: 0x0d,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  store: 0x36,
  const: 0x41,
  lessUnsigned: 0x49,
  add: 0x6a,
  subtract: 0x6b,
  and: 0x71,
  xor: 0x73,
  shiftLeft: 0x74,
  shiftRight: 0x76,
} as const;
const [i32, noValue, aligned] = [0x7f, 0x40, 2];

type Code = readonly number[];

/** LEB128. */
function unsigned(value: number): Code {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): Code {
  const low = value & 0x7f;
  const rest = value >> 7;
  const isLast = (rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40);
  return isLast ? [low] : [low | 0x80, ...signed(rest)];
}

const constant = (value: number): Code => [op.const, ...signed(value)];
const get = (local: number): Code => [op.get, local];
const load = (offset: number): Code => [op.load, aligned, ...unsigned(offset)];
const store = (offset: number): Code => [op.store, aligned, ...unsigned(offset)];

/** Locals: the argument, which counts mixes; where a word is written; where the words that go in are; and two halves each. */
const [left, place, source] = [0, 1, 2];
const halves = [
  [3, 4],
  [5, 6],
] as const;

/** `half` xor F(`other`) xor a subkey: a round of Blowfish in a lane. */
function round(lane: number, half: number, other: number, subkey: number): Code {
  const base = lane * laneOctets;
  const word = (table: number, shift: Code): Code => [
    ...get(other),
    ...shift,
    ...constant(0x3fc), // an octet, as the place of a word
    op.and,
    ...load(base + 4 * (subkeys + 256 * table)),
  ];
  return [
    ...word(0, [...constant(22), op.shiftRight]),
    ...word(1, [...constant(14), op.shiftRight]),
    op.add,
    ...word(2, [...constant(6), op.shiftRight]),
    op.xor,
    ...word(3, [...constant(2), op.shiftLeft]),
    op.add,
    ...constant(0),
    ...load(base + 4 * subkey),
    op.xor,
    ...get(half),
    op.xor,
    op.set,
    half,
  ];
}

/** Both halves of both lanes are encrypted. They are not exchanged at the end: the caller takes them crosswise. */
function encryption(): Code {
  const code: number[] = [];
  const both = (step: (lane: number, first: number, second: number) => Code): void => {
    for (const [lane, [first, second]] of halves.entries()) code.push(...step(lane, first, second));
  };
  const withSubkey = (lane: number, half: number, subkey: number): Code => [
    ...get(half),
    ...constant(0),
    ...load(lane * laneOctets + 4 * subkey),
    op.xor,
    op.set,
    half,
  ];
  both((lane, first) => withSubkey(lane, first, 0));
  for (let subkey = 1; subkey <= 16; subkey += 2) {
    both((lane, first, second) => round(lane, second, first, subkey));
    both((lane, first, second) => round(lane, first, second, subkey + 1));
  }
  both((lane, _, second) => withSubkey(lane, second, 17));
  return code;
}

/** The words at `source` go into the subkeys, and all tables are made anew from them. */
function mix(): Code {
  const code: number[] = [];
  for (const lane of halves.keys()) {
    const base = lane * laneOctets;
    for (let word = 0; word < subkeys; word += 1) {
      const at = base + 4 * word;
      code.push(
        ...constant(0),
        ...constant(0),
        ...load(at),
        ...get(source),
        ...load(at),
        op.xor,
        ...store(at),
      );
    }
  }
  for (const [first, second] of halves)
    for (const half of [first, second]) code.push(...constant(0), op.set, half);
  code.push(...constant(0), op.set, place, op.loop, noValue, ...encryption());
  for (const [lane, [first, second]] of halves.entries()) {
    const at = lane * laneOctets;
    // Exchanged, since the last round exchanges nothing; the next block goes on with them as they stand in the tables.
    code.push(...get(place), ...get(second), ...store(at), ...get(place), ...get(first), ...store(at + 4));
    code.push(...get(first), ...get(second), op.set, first, op.set, second);
  }
  code.push(...get(place), ...constant(8), op.add, op.tee, place);
  code.push(...constant(4 * tableWords), op.lessUnsigned, op.brIf, 0, op.end);
  return code;
}

/** The module: a memory and one function, which mixes as many times as its argument says. */
function moduleOctets(): Uint8Array {
  const body: Code = [
    op.loop,
    noValue,
    ...constant(keyAt),
    op.set,
    source,
    ...mix(),
    ...constant(saltAt),
    op.set,
    source,
    ...mix(),
    ...get(left),
    ...constant(1),
    op.subtract,
    op.tee,
    left,
    op.brIf,
    0,
    op.end,
    op.end,
  ];
  const name = (text: string): Code => [text.length, ...Buffer.from(text, "latin1")];
  const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
  const code: Code = [1, 6, i32, ...body]; // one group of locals beside the argument: six
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // "\0asm", version 1
    ...section(1, [1, 0x60, 1, i32, 0]), // a type: one argument, no result
    ...section(3, [1, 0]),
    ...section(5, [1, 0x00, 1]), // a memory of one page
    ...section(7, [2, ...name("memory"), 2, 0, ...name("mix"), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

/** Of what Node has and the compiler's library for ES2023 does not tell. */
declare const WebAssembly: {
  readonly Module: new (octets: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: {
      readonly memory: { readonly buffer: ArrayBuffer };
      readonly mix: (times: number) => void;
    };
  };
};

/** Compiles the module. */
export function newMixPair(): MixPair {
  const { memory, mix: mixed } = new WebAssembly.Instance(new WebAssembly.Module(moduleOctets())).exports;
  const view = new DataView(memory.buffer);
  const write = (words: Iterable<number>, from: number): void => {
    let at = from;
    for (const word of words) {
      view.setInt32(at, word, true);
      at += 4;
    }
  };
  return (lanes, times) => {
    for (const [lane, { tables, key, salt }] of lanes.entries()) {
      const base = lane * laneOctets;
      write(tables, base);
      write(key, base + keyAt);
      write(salt, base + saltAt);
    }
    for (let done = 0; done < times; done += mixesAtOnce) mixed(Math.min(mixesAtOnce, times - done));
    for (const [lane, { tables }] of lanes.entries()) {
      for (let word = 0; word < tables.length; word += 1)
        tables[word] = view.getInt32(lane * laneOctets + 4 * word, true);
    }
    new Uint8Array(memory.buffer).fill(0); // nothing of a password stays
  };
}
