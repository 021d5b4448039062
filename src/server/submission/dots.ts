/**
 * The transparency of DATA (RFC 5321 section 4.5.2): a message ends at CRLF.CRLF and nowhere else, and a dot at the
 * beginning of a line is one dot too many. A line begins behind CRLF only; what follows a lone LF is left as it is.
 * One pass, however many dots: the library takes a turn of the event loop for each.
 */

/** Where in `CRLF . CR` the octets end: nowhere, or behind its first, second, third or fourth. */
export type Place = 0 | 1 | 2 | 3 | 4;

/** A message begins like a line. */
export const atBeginning: Place = 2;

export interface Unstuffed {
  readonly place: Place;
  /** The message's own octets. A dot and CR that may be its end are held back. */
  readonly octets: Buffer;
  /** What came behind the end of the message; undefined while that has not come. */
  readonly rest?: Buffer;
}

const [lf, cr, dot] = [10, 13, 46];
const heldCr = Buffer.of(cr);

/** Reads `chunk`, which follows what ended at `place`. */
export function unstuff(before: Place, chunk: Buffer): Unstuffed {
  const pieces: Buffer[] = [];
  let place = before;
  let from = 0;
  for (let at = 0; at < chunk.length; at++) {
    const octet = chunk[at];
    if (place === 4 && octet === lf) {
      return { place: atBeginning, octets: Buffer.concat(pieces), rest: chunk.subarray(at + 1) };
    }
    if (place === 4) pieces.push(heldCr); // it ended no message
    if (place === 2 && octet === dot) {
      pieces.push(chunk.subarray(from, at));
      from = at + 1;
      place = 3;
    } else if (place === 3 && octet === cr) {
      from = at + 1;
      place = 4;
    } else if (octet === cr) {
      place = 1;
    } else {
      place = place === 1 && octet === lf ? 2 : 0;
    }
  }
  const last = chunk.subarray(from);
  return { place, octets: pieces.length === 0 ? last : Buffer.concat([...pieces, last]) };
}
