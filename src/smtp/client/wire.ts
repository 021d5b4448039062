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
/** How much of an endless reply is given out. */
const mostShown = 1024;

/** A line that ends a reply: three digits and no hyphen (RFC 5321 section 4.2.1). */
const lastLine = /^\d{3}(?: |$)/;

/** Takes over `stream`. `tap` sees each piece that comes in. */
export function openWire(stream: Duplex, tap: Tap): Wire {
  let pieces: Buffer[] = [];
  let size = 0;
  let ended = false;
  let wake: () => void = () => undefined;

  const take = (piece: Buffer): void => {
    pieces.push(piece);
    size += piece.length;
    tap(piece);
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

  /** The lines of a whole reply, taken out of what was read; undefined where it has not ended yet. */
  function wholeReply(): readonly Buffer[] | undefined {
    const read = Buffer.concat(pieces);
    pieces = [read];
    const lines: Buffer[] = [];
    for (let from = 0; ; ) {
      const at = read.indexOf(0x0a, from);
      if (at < 0) return undefined;
      const line = read.subarray(from, at);
      from = at + 1;
      lines.push(line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
      if (!lastLine.test(line.subarray(0, 4).toString("latin1").trimEnd())) continue;
      pieces = [read.subarray(from)];
      size = read.length - from;
      return lines;
    }
  }

  function beginning(): readonly Buffer[] {
    const read = Buffer.concat(pieces).subarray(0, mostShown);
    pieces = [];
    size = 0;
    return read
      .toString("latin1")
      .split(/\r?\n/)
      .map((line) => Buffer.from(line, "latin1"));
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
        for (let looked = -1; ; ) {
          // Searched again only when there is more: a server that sends single octets costs no more than they are worth.
          const lines = size > looked ? wholeReply() : undefined;
          if (lines !== undefined) return { kind: "reply", lines };
          looked = size;
          if (size > mostOctets) return { kind: "endless", lines: beginning() };
          if (ended) return { kind: "gone" };
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
