/**
 * Lines that end as lines must (RFC 5321 section 2.3.8), where the site wants messages repaired and not refused: a lone
 * CR and a lone LF become CRLF, a NUL goes. CRs before an LF are one line end with it, however many: a second one would
 * be an empty line, which ends the header. What is repaired is a message whose end was found and whose dots were
 * unstuffed by CRLF alone (parser.ts): a line that only begins here keeps its dot, and gets its second on the way out.
 */

// What is looked for in a message's octets while they pass. A message whose lines could be read in two ways is the
// stuff of SMTP smuggling, here or at some server behind us: it is refused, never mended.

export interface OctetScan {
  readonly size: number;
  /** Some are above 127. */
  readonly eightBit: boolean;
  /** What no message may have: RFC 5321 section 2.3.8 for lone CR and LF, RFC 5322 section 2.1 for NUL. */
  readonly fault?: "a CR without LF" | "an LF without CR" | "a NUL";
  /** The one before the next. */
  readonly last: number;
}

export const emptyScan: OctetScan = { size: 0, eightBit: false, last: 0 };

/** The octets `seen` and those of `chunk` behind them. */
export function scanOctets(before: OctetScan, chunk: Uint8Array): OctetScan {
  let { eightBit, fault, last } = before;
  for (let at = 0; at < chunk.length; at++) {
    const octet = chunk[at] ?? 0;
    if (octet > 127) eightBit = true;
    if (last === cr && octet !== lf) fault ??= "a CR without LF";
    if (octet === lf && last !== cr) fault ??= "an LF without CR";
    if (octet === nul) fault ??= "a NUL";
    last = octet;
  }
  const size = before.size + chunk.length;
  return fault ? { size, eightBit, last, fault } : { size, eightBit, last };
}

export const [nul, lf, cr] = [0, 10, 13];
const crlf = 0x0d0a;

/** Line ends that are written at once: a run of CRs without LF may be as long as the message. */
const atOnce = 32_768;

/**
 * `octets` with every line ended by CRLF, in at least one piece for each that comes. The last of them may be CRs whose
 * LF never came.
 */
export async function* repairLineEnds(octets: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let held = 0;
  for await (const chunk of octets) {
    const next = chunk.find((octet) => octet !== cr && octet !== nul);
    if (next === lf) held = 0;
    else if (next !== undefined) {
      yield* lineEnds(held);
      held = 0;
    }
    const mended = repair(chunk, held);
    held = mended.held;
    yield mended.octets;
  }
  yield* lineEnds(held);
}

/** Holds CRs back until it is known whether an LF follows; `held` is how many at the end of the last piece. */
function repair(chunk: Buffer, before: number): { readonly octets: Buffer; readonly held: number } {
  const room = Buffer.allocUnsafe(2 * chunk.length); // a lone LF or CR becomes two octets
  let length = 0;
  let held = before;
  for (const octet of chunk) {
    if (octet === nul) continue;
    if (octet === cr) {
      held++;
      continue;
    }
    const ends = octet === lf ? 1 : held;
    for (let end = 0; end < ends; end++) length = room.writeUInt16BE(crlf, length);
    held = 0;
    if (octet !== lf) length = room.writeUInt8(octet, length);
  }
  return { octets: room.subarray(0, length), held };
}

function* lineEnds(count: number): Generator<Buffer, void> {
  for (let left = count; left > 0; left -= atOnce) yield Buffer.alloc(2 * Math.min(left, atOnce), "\r\n");
}
