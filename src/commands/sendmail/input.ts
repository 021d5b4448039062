/** What comes on standard input, as a message with CRLF line ends. Pure but for the stream. */
import { newLineRepair } from "../../server/submission/line-ends.ts";

const [lf, cr, dot] = [10, 13, 46];

/**
 * The message in `input`: to its end, or with `dotEnds` to a line with a dot alone. Every line ends in CRLF, whatever ended it
 * before; the last line has its end, too.
 */
export async function* messageIn(input: AsyncIterable<Buffer>, dotEnds: boolean): AsyncGenerator<Buffer> {
  const repair = newLineRepair();
  let last = lf;
  for await (const octets of dotEnds ? untilDot(input) : input) {
    for (const piece of repair.add(octets)) {
      last = piece.at(-1) ?? last;
      if (piece.length > 0) yield piece;
    }
  }
  for (const piece of repair.end()) {
    last = piece.at(-1) ?? last;
    yield piece;
  }
  if (last !== lf) yield Buffer.from("\r\n");
}

/** The octets before a line that has a dot alone, in pieces however small. */
async function* untilDot(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  /** Of what may be such a line: nothing, its dot, and a CR behind that. */
  let held: readonly number[] = [];
  let isLineStart = true;
  for await (const chunk of input) {
    const kept: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const octet = chunk[at] ?? 0;
      if (held.length > 0 && octet === lf) {
        yield Buffer.concat(kept);
        return;
      }
      if (held.length === 1 && octet === cr) {
        held = [dot, cr];
        from = at + 1;
        continue;
      }
      if (held.length > 0) {
        kept.push(Buffer.from(held));
        held = [];
        from = at;
        isLineStart = false;
      }
      if (isLineStart && octet === dot) {
        kept.push(chunk.subarray(from, at));
        held = [dot];
        from = at + 1;
      }
      isLineStart = octet === lf;
    }
    kept.push(chunk.subarray(from));
    yield Buffer.concat(kept);
  }
  // A dot without a line end is such a line as well.
}
