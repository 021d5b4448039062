/**
 * A message as it goes behind DATA: CRLF line ends, a dot in front of each line that begins with one (RFC 5321 section
 * 4.5.2), and the lone dot that ends it.
 */

export interface DotStuffing {
  /** The next octets of the message as they go over the wire. */
  next(piece: Uint8Array): Buffer;
  /** What ends the message; nothing may follow. */
  end(): Buffer;
}

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

const lone = Buffer.from(".\r\n");

/**
 * A bare CR and a bare LF become CRLF: some hosts take them for the end of a line, and would see the end of the message
 * in a dot between two of them (RFC 5321 section 2.3.8).
 */
export function newDotStuffing(): DotStuffing {
  let last = lf; // a message begins with a line

  return {
    next(piece) {
      const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      let out: Buffer | undefined; // made where anything is missing
      let length = 0; // of what is in it
      let from = 0; // what comes next from the message
      for (let at = 0; at < octets.length; at++) {
        const octet = octets[at] ?? 0;
        if (octet > dot && last !== cr) {
          last = octet; // nearly all of them
          continue;
        }
        const missing = between(last, octet);
        last = octet;
        if (missing === undefined) continue;
        out ??= Buffer.allocUnsafe(2 * octets.length + 1); // two for the first octet, and one for each of the others
        length += octets.copy(out, length, from, at);
        length += missing.copy(out, length);
        from = at;
      }
      if (out === undefined) return octets;
      length += octets.copy(out, length, from);
      return out.subarray(0, length);
    },
    end: () => (last === lf ? lone : Buffer.concat([last === cr ? missingLf : missingLine, lone])),
  };
}

const missingCr = Buffer.from("\r");
const missingLf = Buffer.from("\n");
const missingLfDot = Buffer.from("\n.");
const missingDot = Buffer.from(".");
const missingLine = Buffer.from("\r\n");

/** What has to stand between two octets of the message. */
function between(last: number, octet: number): Buffer | undefined {
  if (last === cr && octet !== lf) return octet === dot ? missingLfDot : missingLf;
  if (octet === lf && last !== cr) return missingCr;
  return octet === dot && last === lf ? missingDot : undefined;
}
