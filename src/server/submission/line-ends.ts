/**
 * The line ends of a message (RFC 5321 section 2.3.8): checked, and repaired where the site wants that. A message whose
 * lines can be read in two ways allows SMTP smuggling, here or at a server behind us. Pure.
 */

const [nul, lf, cr] = [0, 10, 13];
const crlf = 0x0d0a;

/** What was found in a message's octets so far. */
export interface OctetScan {
  readonly size: number;
  /** Whether there are octets above 127. */
  readonly eightBit: boolean;
  /** What no message may have: a lone CR or LF (RFC 5321 section 2.3.8), a NUL (RFC 5322 section 2.1). */
  readonly fault?: "a CR without LF" | "an LF without CR" | "a NUL";
  /** The last octet. */
  readonly last: number;
}

export const emptyScan: OctetScan = { size: 0, eightBit: false, last: 0 };

/** Continues the scan `before` with `chunk`. */
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

// Repair: a lone CR and a lone LF become CRLF, a NUL is removed. All CRs before an LF are one line end with it: a second
// one would be an empty line, which ends the header. The end of the message was found and its dots were unstuffed by CRLF
// alone (parser.ts). So a line that begins only after the repair keeps its dot, and gets a second one on delivery.

/** Line ends that are written at once: a run of CRs without LF may be as long as the message. */
const atOnce = 32_768;

/**
 * `octets` with CRLF at the end of every line, in at least one piece for each that comes. The last one may be CRs whose LF
 * never came.
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
    const repairedChunk = repair(chunk, held);
    held = repairedChunk.held;
    yield repairedChunk.octets;
  }
  yield* lineEnds(held);
}

/** Holds CRs back until it is known whether an LF follows. `held` is their number at the end of the piece. */
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
