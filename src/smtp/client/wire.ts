/**
 * The client's side of one connection, as octets and replies: it sends whatever it is told, right or wrong, reads whole
 * replies within a time and a size, and can be put under TLS. Made for trying servers out; nothing that delivers uses it.
 */
import type { Duplex } from "node:stream";

/** What came in answer to something: a whole reply, or what kept it from coming. */
export type Heard =
  | { readonly kind: "reply"; readonly lines: readonly Buffer[] }
  /** The time was up. */
  | { readonly kind: "late" }
  /** More octets than any reply has; `lines` are its beginning. */
  | { readonly kind: "endless"; readonly lines: readonly Buffer[] }
  /** The other side is gone. */
  | { readonly kind: "gone" };

export interface Wire {
  send(octets: Uint8Array): void;
  /** The next reply, within so many milliseconds; 0 is for ever. Lines come without their ends. */
  hear(timeout: number): Promise<Heard>;
  /** Stops reading and hands over the stream, to put TLS on it. What was read ahead is thrown away (RFC 3207 section 6). */
  release(): Duplex;
  /** Sends what is left and closes; waits for it at most so many milliseconds. */
  close(patience: number): Promise<void>;
}

/** Told of each piece as it goes over the wire. */
export type Tap = (octets: Uint8Array) => void;

/**
 * More than the longest reply in use by far: RFC 5321 section 4.5.3.1.5 has 512 octets to a line, and no EHLO has a
 * thousand of them. Our choice.
 */
const mostOctets = 1024 * 1024;
/** How much of a line of an endless reply is given out. */
const mostShown = 80;

/** Takes over `stream`. `tap` sees each piece that comes in. */
export function openWire(stream: Duplex, tap: Tap): Wire {
  const replies: (readonly Buffer[])[] = [];
  let lines: Buffer[] = []; // of the reply that has not ended
  let partial: Buffer[] = []; // pieces of the line that has not; joined once, however small they are
  let size = 0; // octets of all of them
  let ended = false;
  let wake: () => void = () => undefined;

  const take = (piece: Buffer): void => {
    tap(piece);
    size += piece.length;
    let from = 0;
    for (let at = piece.indexOf(0x0a); at >= 0; at = piece.indexOf(0x0a, from)) {
      lines.push(withoutCr(joined([...partial, piece.subarray(from, at)])));
      partial = [];
      from = at + 1;
      if (!endsReply(lines.at(-1))) continue;
      replies.push(lines);
      lines = [];
    }
    if (from < piece.length) partial.push(piece.subarray(from));
    if (size > mostOctets) stream.pause();
    wake();
  };
  const end = (): void => {
    ended = true;
    wake();
  };
  stream.on("data", take).on("end", end).on("close", end);
  // Whatever went wrong, what is left to know is that nothing more will come.
  stream.on("error", end).resume();

  /** The next whole reply, taken out of what was read. */
  function next(): Heard | undefined {
    const reply = replies.shift();
    if (reply !== undefined) {
      size -= reply.reduce((sum, line) => sum + line.length + 2, 0);
      if (size <= mostOctets) stream.resume();
      return { kind: "reply", lines: reply };
    }
    if (size > mostOctets)
      return { kind: "endless", lines: [...lines, joined(partial)].slice(0, 10).map(shown) };
    return ended ? { kind: "gone" } : undefined;
  }

  return {
    send(octets) {
      if (stream.writable) stream.write(octets);
    },
    async hear(timeout) {
      let late = false;
      const timer = timeout > 0 ? setTimeout(expire, timeout) : undefined;
      function expire(): void {
        late = true;
        wake();
      }
      try {
        for (;;) {
          const heard = next();
          if (heard !== undefined) return heard;
          if (late) return { kind: "late" };
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        clearTimeout(timer);
      }
    },
    release() {
      stream.pause();
      stream.off("data", take).off("end", end).off("close", end);
      return stream;
    },
    async close(patience) {
      stream.resume();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, patience);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        if (stream.destroyed || stream.writableFinished) done();
        else stream.once("close", done).end(done);
      });
      stream.destroy();
    },
  };
}

const joined = (pieces: readonly Buffer[]): Buffer => {
  const [first, ...others] = pieces;
  return first && others.length === 0 ? first : Buffer.concat(pieces);
};

const withoutCr = (line: Buffer): Buffer => (line.at(-1) === 0x0d ? line.subarray(0, -1) : line);

/** Three digits and no hyphen end a reply (RFC 5321 section 4.2.1). */
const endsReply = (line: Buffer | undefined): boolean =>
  line !== undefined && /^\d{3}(?: |$)/.test(line.subarray(0, 4).toString("latin1"));

const shown = (line: Buffer): Buffer => line.subarray(0, mostShown);
