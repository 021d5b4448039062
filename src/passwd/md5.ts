/**
 * The inside of MD5 (RFC 1321), which OpenSSL does not show: CRAM-MD5 keeps the state of MD5 after one block.
 */

type Words = readonly [number, number, number, number];

const start: Words = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/** The state of MD5 after one block of 64 octets, as sixteen octets, each word least significant octet first. */
export function md5State(block: Buffer): Buffer {
  return octetsOf(md5Block(start, block));
}

/** MD5's digest of a message whose first block led to `state`; `rest` is what follows that block. */
export function md5After(state: Buffer, rest: Buffer): Buffer {
  return octetsOf(blocksOf(rest, 64).reduce(md5Block, wordsOf(state)));
}

/** `message`, `before` octets into a longer one, with the padding that the digest puts behind it. */
function blocksOf(message: Buffer, before: number): readonly Buffer[] {
  const padded = Buffer.alloc((((message.length + 8) >> 6) + 1) << 6);
  message.copy(padded);
  padded[message.length] = 0x80;
  padded.writeBigUInt64LE(BigInt(before + message.length) * 8n, padded.length - 8);
  return Array.from({ length: padded.length / 64 }, (_, at) => padded.subarray(64 * at, 64 * at + 64));
}

const md5Rounds = [
  {
    first: 0,
    stride: 1,
    shifts: [7, 12, 17, 22],
    mix: (x: number, y: number, z: number) => (x & y) | (~x & z),
  },
  {
    first: 1,
    stride: 5,
    shifts: [5, 9, 14, 20],
    mix: (x: number, y: number, z: number) => (x & z) | (y & ~z),
  },
  { first: 5, stride: 3, shifts: [4, 11, 16, 23], mix: (x: number, y: number, z: number) => x ^ y ^ z },
  { first: 0, stride: 7, shifts: [6, 10, 15, 21], mix: (x: number, y: number, z: number) => y ^ (x | ~z) },
] as const;

function md5Block(state: Words, block: Buffer): Words {
  let [a, b, c, d] = state;
  md5Rounds.forEach(({ first, stride, shifts, mix }, round) => {
    for (let step = 0; step < 16; step += 1) {
      const word = block.readUInt32LE(4 * ((first + stride * step) & 15));
      const sine = Math.floor(Math.abs(Math.sin(16 * round + step + 1)) * 2 ** 32);
      const sum = a + mix(b, c, d) + word + sine;
      [a, b, c, d] = [d, (b + turn(sum, shifts[step & 3] ?? 0)) | 0, b, c];
    }
  });
  return add(state, [a, b, c, d]);
}

function turn(value: number, places: number): number {
  return (value << places) | (value >>> (32 - places));
}

function add(one: Words, other: Words): Words {
  return [one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]];
}

function wordsOf(octets: Buffer): Words {
  return [octets.readUInt32LE(0), octets.readUInt32LE(4), octets.readUInt32LE(8), octets.readUInt32LE(12)];
}

function octetsOf(state: Words): Buffer {
  const octets = Buffer.alloc(16);
  for (const [at, word] of state.entries()) octets.writeUInt32LE(word >>> 0, 4 * at);
  return octets;
}
