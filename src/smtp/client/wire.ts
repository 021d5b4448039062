/**
 * The client's side of one connection, as octets and replies: it sends whatever it is told, right or wrong, reads whole
 * replies within a time and a size, and can be put under TLS. connection.ts speaks SMTP over it; the probe, which wants
 * to try out what is wrong as well, uses it as it is.
 */
import type { Duplex } from "node:stream";

/** What came in answer to something: a whole reply, or what kept it from coming. */
export type ReceivedReply =
  | { readonly kind: "reply"; readonly lines: readonly Buffer[] }
  /** The time was up, or the caller's signal was raised. */
  | { readonly kind: "late" }
  /** More octets than any reply has; `lines` are its beginning. */
  | { readonly kind: "endless"; readonly lines: readonly Buffer[] }
  /** The other side is gone; `rest` is the line that it began and did not end. */
  | { readonly kind: "gone"; readonly rest: Buffer };

export interface Wire {
  send(octets: Uint8Array): void;
  /** The next reply, within so many milliseconds; 0 is for ever. Lines come without their ends. */
  readReply(timeout: number, signal?: AbortSignal): Promise<ReceivedReply>;
  /** Has whoever waits for a reply wait no longer, as if the time were up. */
  interrupt(): void;
  /** Whether anything has come that nobody has heard yet. */
  hasMore(): boolean;
  /** Stops reading and hands over the stream, to put TLS on it. What was read ahead is thrown away (RFC 3207 section 6). */
  release(): Duplex;
  /** Sends what is left and closes; waits for it at most so many milliseconds. */
  close(patience: number): Promise<void>;
}

/** How replies are read. */
export interface WireOptions {
  /** Told of each piece as it comes over the wire. */
  readonly tap?: (octets: Uint8Array) => void;
  /** Whether a line is the last of its reply. */
  readonly isLast?: (line: Buffer) => boolean;
  /** Octets that may wait to be heard. */
  readonly most?: number;
  /** Whether the time for a reply begins anew with each piece of it. */
  readonly perPiece?: boolean;
}

/**
 * More than the longest reply in use by far: RFC 5321 section 4.5.3.1.5 has 512 octets to a line, and no EHLO has a
 * thousand of them. Our choice.
 */
const mostOctets = 1024 * 1024;
/** How much of a line of an endless reply is given out. */
const mostShown = 80;

/** Takes over `stream`. */
export function openWire(stream: Duplex, reading: WireOptions = {}): Wire {
  const { tap, isLast = endsReply, most = mostOctets, perPiece = false } = reading;
  let replies: { readonly lines: readonly Buffer[]; readonly octets: number }[] = [];
  let heard = 0; // of these; a list that is long is not shifted one by one
  let lines: Buffer[] = []; // of the reply that has not ended
  let octets = 0; // of these lines, with their ends
  let partial: Buffer[] = []; // pieces of the line that has not; joined once, however small they are
  let size = 0; // octets of all of them
  let ended = false;
  let wake: () => void = () => undefined;
  let waiting = { late: false }; // whoever waits now
  let watched: AbortSignal | undefined;
  let clock: NodeJS.Timeout | undefined; // of the reply that is waited for

  const take = (piece: Buffer): void => {
    tap?.(piece);
    if (perPiece) clock?.refresh();
    size += piece.length;
    let from = 0;
    for (let at = piece.indexOf(0x0a); at >= 0; at = piece.indexOf(0x0a, from)) {
      const whole = joined([...partial, piece.subarray(from, at)]);
      const line = withoutCr(whole);
      lines.push(line);
      octets += whole.length + 1;
      partial = [];
      from = at + 1;
      if (!isLast(line)) continue;
      replies.push({ lines, octets });
      lines = [];
      octets = 0;
    }
    if (from < piece.length) partial.push(piece.subarray(from));
    if (size > most) stream.pause();
    wake();
  };
  const end = (): void => {
    ended = true;
    wake();
  };
  // Whatever went wrong, what is left to know is that nothing more will come.
  const fail = (): void => {
    partial = [];
    end();
  };
  stream.on("data", take).on("end", end).on("close", end);
  stream.on("error", fail).resume();

  /** The next whole reply, taken out of what was read. */
  function next(): ReceivedReply | undefined {
    const reply = replies[heard];
    if (reply !== undefined) {
      heard++;
      if (heard === replies.length) [replies, heard] = [[], 0];
      size -= reply.octets;
      if (size <= most) stream.resume();
      return { kind: "reply", lines: reply.lines };
    }
    if (size > most) return { kind: "endless", lines: [...lines, joined(partial)].slice(0, 10).map(shown) };
    return ended ? { kind: "gone", rest: joined(partial) } : undefined;
  }

  function interrupt(): void {
    waiting.late = true;
    wake();
  }

  /** Listens to the signal until there is another one: to begin and end anew with each reply would be dear. */
  function watch(signal: AbortSignal | undefined): void {
    if (signal === watched) return;
    watched?.removeEventListener("abort", interrupt);
    watched = signal;
    watched?.addEventListener("abort", interrupt);
  }

  return {
    send(piece) {
      if (stream.writable) stream.write(piece);
    },
    async readReply(timeout, signal) {
      watch(signal);
      const own = { late: signal?.aborted === true };
      waiting = own;
      let timer: NodeJS.Timeout | undefined;
      for (;;) {
        const found = next() ?? (own.late ? ({ kind: "late" } as const) : undefined);
        if (found !== undefined) {
          clearTimeout(timer);
          if (clock === timer) clock = undefined;
          return found;
        }
        if (timer === undefined && timeout > 0) timer = clock = setTimeout(interrupt, timeout);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    interrupt,
    hasMore: () => replies.length > heard || lines.length > 0 || partial.length > 0,
    release() {
      stream.pause();
      stream.off("data", take).off("end", end).off("close", end);
      watch(undefined);
      end(); // for whoever still waits
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
const endsReply = (line: Buffer): boolean => /^\d{3}(?: |$)/.test(line.subarray(0, 4).toString("latin1"));

const shown = (line: Buffer): Buffer => line.subarray(0, mostShown);
