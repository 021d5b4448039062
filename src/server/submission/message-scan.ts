/**
 * The octets of a message, looked at once: where it ends, which dots were stuffed, and what no message may have.
 *
 * The transparency of DATA (RFC 5321 section 4.5.2): a message ends at CRLF.CRLF and nowhere else. A dot at the beginning of
 * a line is removed. A line begins only after CRLF: what follows a lone LF stays as it is. A message whose lines can be read
 * in two ways (section 2.3.8) allows SMTP smuggling, here or at a server behind us.
 */

import { PlainOctets } from "../../smtp/plain-octets.ts";

/** What no message may have: a lone CR or LF (RFC 5321 section 2.3.8), a NUL (RFC 5322 section 2.1). */
export type OctetFault = "a CR without LF" | "an LF without CR" | "a NUL";

export interface ScannedOctets {
  /** The message's own octets. A dot and CR that may be its end are held back. */
  readonly octets: Buffer;
  /** What came after the end of the message; undefined before the end, and always where no dots are stuffed. */
  readonly rest: Buffer | undefined;
}

const [nul, lf, cr, dot] = [0, 10, 13, 46];
const heldCr = Buffer.of(cr);
const nothing = Buffer.alloc(0);

// What came last: octets of a line, the CR that may end it, its end (or the message's beginning), a dot after that, a CR after
// that, and the end of the message.
const [inLine, atCr, atLineEnd, atDot, atDotCr, atEnd] = [0, 1, 2, 3, 4, 5];

export class MessageScan {
  readonly #stuffed: boolean;
  #state = atLineEnd;
  #bits = 0;
  /** The message's own octets so far. */
  size = 0;
  /** The first one found. */
  fault: OctetFault | undefined;

  /** With `stuffed`, of a message of DATA; otherwise of one of BDAT, in which no octet has a meaning for SMTP (RFC 3030 section 2). */
  constructor(stuffed: boolean) {
    this.#stuffed = stuffed;
  }

  /** Whether there are octets above 127. */
  get eightBit(): boolean {
    return this.#bits > 127;
  }

  /** Whether the last line is whole, or there is none. */
  get isAtLineEnd(): boolean {
    return this.#state === atLineEnd;
  }

  /** Reads the next octets, in pieces however small. */
  read(chunk: Buffer): ScannedOctets {
    const pieces: Buffer[] = [];
    const plain = new PlainOctets(chunk);
    const end = chunk.length;
    let from = 0;
    let bits = this.#bits;
    let state = this.#state;
    let at = 0;
    for (; at < end && state !== atEnd; at++) {
      if (state === inLine) {
        // Most octets of a message: after them only the next one decides.
        at = plain.skip(at);
        if (at === end) break;
      }
      const octet = chunk[at] as number;
      bits |= octet;
      const before = state;
      state = this.#follow(before, octet);
      if (state === atDot) {
        if (from < at) pieces.push(chunk.subarray(from, at));
        from = at + 1;
      } else if (state === atDotCr) from = at + 1;
      else if (before === atDotCr && state !== atEnd) {
        pieces.push(heldCr); // it was not the end
        from = at;
      }
    }
    this.#bits = bits | plain.bits;
    const isOver = state === atEnd;
    this.#state = isOver ? atLineEnd : state;
    if (!isOver && (pieces.length === 0 || from < end)) pieces.push(chunk.subarray(from));
    const [only = nothing, ...more] = pieces;
    const octets = more.length === 0 ? only : Buffer.concat(pieces);
    this.size += octets.length;
    return { octets, rest: isOver ? chunk.subarray(at) : undefined };
  }

  /** What `octet` makes of what came before. */
  #follow(before: number, octet: number): number {
    if (before === atCr && octet === lf) return atLineEnd;
    if (before === atDotCr && octet === lf) return atEnd;
    if (before === atLineEnd && octet === dot && this.#stuffed) return atDot;
    if (before === atDot && octet === cr) return atDotCr;
    if (before === atCr || before === atDotCr) this.fault ??= "a CR without LF";
    else if (octet === lf) this.fault ??= "an LF without CR";
    else if (octet === nul) this.fault ??= "a NUL";
    return octet === cr ? atCr : inLine;
  }
}
