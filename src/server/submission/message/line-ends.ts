/**
 * Lines that end as lines must (RFC 5321 section 2.3.8), where the site wants messages repaired and not refused: a lone
 * CR and a lone LF become CRLF, a NUL goes. CRs before an LF are one line end with it, however many: a second one would
 * be an empty line, which ends the header. What is repaired is a message whose end was found and whose dots were
 * unstuffed by CRLF alone (dots.ts): a line that only begins here keeps its dot, and gets its second on the way out.
 */

const [nul, lf, cr] = [0, 10, 13];
const crlf = 0x0d0a;

/** Line ends that are written at once: a run of CRs without LF may be as long as the message. */
const atOnce = 32_768;

/**
 * `octets` with every line ended by CRLF, in at least one piece for each that comes. The last of them may be CRs whose
 * LF never came.
 */
export async function* repaired(octets: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
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
