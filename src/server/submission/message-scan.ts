/**
 * The octets of a message, looked at once: where it ends, which dots were stuffed, and what no message may have.
 *
 * The transparency of DATA (RFC 5321 section 4.5.2): a message ends at CRLF.CRLF and nowhere else. A dot at the beginning of
 * a line is removed. A line begins only after CRLF: what follows a lone LF stays as it is. A message whose lines can be read
 * in two ways (section 2.3.8) allows SMTP smuggling, here or at a server behind us.
 */

/** What no message may have: a lone CR or LF (RFC 5321 section 2.3.8), a NUL (RFC 5322 section 2.1). */
export type OctetFault = "a CR without LF" | "an LF without CR" | "a NUL";

export interface ScannedOctets {
  /** The message's own octets. A dot and CR that may be its end are held back. */
  readonly octets: Buffer;
  /** What came after the end of the message; undefined before the end, and always where no dots are stuffed. */
  readonly rest?: Buffer;
}

export interface MessageScan {
  /** Reads the next octets, in pieces however small. */
  read(chunk: Buffer): ScannedOctets;
  /** The message's own octets so far. */
  readonly size: number;
  /** Whether there are octets above 127. */
  readonly eightBit: boolean;
  /** The first one found. */
  readonly fault: OctetFault | undefined;
  /** Whether the last line is whole, or there is none. */
  readonly isAtLineEnd: boolean;
}

const [nul, lf, cr, dot] = [0, 10, 13, 46];
const heldCr = Buffer.of(cr);

// What came last: octets of a line, the CR that may end it, its end (or the message's beginning), a dot after that, and a
// CR after that.
const [inLine, atCr, atLineEnd, atDot, atDotCr] = [0, 1, 2, 3, 4];

/** With `stuffed`, a message of DATA; otherwise one of BDAT, in which no octet has a meaning for SMTP (RFC 3030 section 2). */
export function newMessageScan(stuffed: boolean): MessageScan {
  let state = atLineEnd;
  let size = 0;
  let highBits = 0;
  let fault: OctetFault | undefined;

  /** `octet`, at which a line does not end, and which is no CR. */
  function plain(octet: number): typeof inLine {
    if (octet === lf) fault ??= "an LF without CR";
    else if (octet === nul) fault ??= "a NUL";
    return inLine;
  }

  function given(chunk: Buffer, pieces: Buffer[], from: number, end: number, rest?: Buffer): ScannedOctets {
    if (pieces.length === 0 || from < end) pieces.push(chunk.subarray(from, end));
    const [only, ...more] = pieces;
    const octets = only !== undefined && more.length === 0 ? only : Buffer.concat(pieces);
    size += octets.length;
    return rest === undefined ? { octets } : { octets, rest };
  }

  function read(chunk: Buffer): ScannedOctets {
    const pieces: Buffer[] = [];
    let from = 0;
    const end = chunk.length;
    let bits = highBits;
    let at = 0;
    while (at < end) {
      const octet = chunk[at] ?? 0;
      bits |= octet;
      if (octet > cr && state === inLine) {
        at++; // most octets of a message
        continue;
      }
      if (state === inLine) state = octet === cr ? atCr : plain(octet);
      else if (state === atCr) {
        if (octet === lf) state = atLineEnd;
        else {
          fault ??= "a CR without LF";
          state = octet === cr ? atCr : inLine;
        }
      } else if (state === atLineEnd) {
        if (octet === dot && stuffed) {
          if (from < at) pieces.push(chunk.subarray(from, at));
          from = at + 1;
          state = atDot;
        } else state = octet === cr ? atCr : plain(octet);
      } else if (state === atDot) {
        if (octet === cr) {
          from = at + 1;
          state = atDotCr;
        } else state = plain(octet);
      } else {
        if (octet === lf) {
          const rest = chunk.subarray(at + 1);
          highBits = bits;
          state = atLineEnd;
          return given(chunk, pieces, at, at, rest);
        }
        pieces.push(heldCr); // it was not the end
        fault ??= "a CR without LF";
        state = octet === cr ? atCr : inLine;
      }
      at++;
    }
    highBits = bits;
    return given(chunk, pieces, from, end);
  }

  return {
    read,
    get size() {
      return size;
    },
    get eightBit() {
      return highBits > 127;
    },
    get fault() {
      return fault;
    },
    get isAtLineEnd() {
      return state === atLineEnd;
    },
  };
}
