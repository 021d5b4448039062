/**
 * The repair of a message's line ends (RFC 5321 section 2.3.8), where the site wants that: a lone CR and a lone LF become CRLF,
 * a NUL is removed. All CRs before an LF are one line end with it: a second one would be an empty line, which ends the header.
 * The end of the message was found and its dots were unstuffed by CRLF alone (message-scan.ts). So a line that begins only
 * after the repair keeps its dot, and gets a second one on delivery.
 */

const [nul, lf, cr] = [0, 10, 13];
const crlf = 0x0d0a;

/** Line ends that are written at once: a run of CRs without LF may be as long as the message. */
const atOnce = 32_768;

export interface LineRepair {
  /** The next octets, with CRLF at the end of every line. */
  add(octets: Buffer): Iterable<Buffer>;
  /** What was held back: CRs whose LF never came. */
  end(): Iterable<Buffer>;
}

export function newLineRepair(): LineRepair {
  let held = 0;
  return {
    *add(octets) {
      const next = octets.find((octet) => octet !== cr && octet !== nul);
      if (next === lf) held = 0;
      else if (next !== undefined) {
        const ends = held;
        held = 0;
        yield* lineEnds(ends);
      }
      const repaired = repair(octets, held);
      held = repaired.held;
      yield repaired.octets;
    },
    *end() {
      yield* lineEnds(held);
    },
  };
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
