/**
 * Lines that end as lines must (RFC 5321 section 2.3.8), where the site wants messages repaired and not refused: a lone
 * CR and a lone LF become CRLF, a NUL goes. What is repaired is a message whose end was found and whose dots were
 * unstuffed by CRLF alone (dots.ts): a line that only begins here keeps its dot, and gets its second on the way out.
 */

const [nul, lf, cr] = [0, 10, 13];
const crlf = 0x0d0a;

/** `octets` with every line ended by CRLF. The last one that comes may be a CR whose LF never came. */
export async function* repaired(octets: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let afterCr = false;
  for await (const chunk of octets) {
    const mended = repair(chunk, afterCr);
    afterCr = mended.afterCr;
    yield mended.octets;
  }
  if (afterCr) yield Buffer.of(cr, lf);
}

/** Holds a CR back until it is known whether its LF follows; `afterCr` where that was so at the end of the last piece. */
function repair(chunk: Buffer, afterCr: boolean): { readonly octets: Buffer; readonly afterCr: boolean } {
  const room = Buffer.allocUnsafe(2 * chunk.length + 2); // a lone LF becomes two octets
  let length = 0;
  let held = afterCr;
  for (const octet of chunk) {
    if (octet === nul) continue;
    if (held || octet === lf) length = room.writeUInt16BE(crlf, length);
    held = octet === cr;
    if (!held && octet !== lf) length = room.writeUInt8(octet, length);
  }
  return { octets: room.subarray(0, length), afterCr: held };
}
