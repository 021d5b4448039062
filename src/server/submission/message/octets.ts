/**
 * What is looked for in a message's octets while they pass. A message whose lines could be read in two ways is the
 * stuff of SMTP smuggling, here or at some server behind us: it is refused, never mended.
 */

export interface Octets {
  readonly size: number;
  /** Some are above 127. */
  readonly eightBit: boolean;
  /** What no message may have: RFC 5321 section 2.3.8 for lone CR and LF, RFC 5322 section 2.1 for NUL. */
  readonly fault?: "a CR without LF" | "an LF without CR" | "a NUL";
  /** The one before the next. */
  readonly last: number;
}

export const noOctets: Octets = { size: 0, eightBit: false, last: 0 };

const [nul, lf, cr] = [0, 10, 13];

/** The octets `seen` and those of `chunk` behind them. */
export function inspect(seen: Octets, chunk: Uint8Array): Octets {
  let { eightBit, fault, last } = seen;
  for (let at = 0; at < chunk.length; at++) {
    const octet = chunk[at] ?? 0;
    if (octet > 127) eightBit = true;
    if (last === cr && octet !== lf) fault ??= "a CR without LF";
    if (octet === lf && last !== cr) fault ??= "an LF without CR";
    if (octet === nul) fault ??= "a NUL";
    last = octet;
  }
  const size = seen.size + chunk.length;
  return fault ? { size, eightBit, last, fault } : { size, eightBit, last };
}
