/**
 * The client's side of one connection, as octets and replies: it sends whatever it is given, valid or not, reads whole
 * replies with limits of time and size, and hands over the stream for TLS. connection.ts speaks SMTP over it; the
 * probe, which also tests what is not valid, uses it directly.
 */
import type { Duplex } from "node:stream";

/** A whole reply, or why there is none. */
export type ReceivedReply =
  | { readonly kind: "reply"; readonly lines: readonly Buffer[] }
  /** It did not come in time, or the caller's signal was raised. */
  | { readonly kind: "late" }
  /** It has more octets than any valid reply; `lines` are its beginning. */
  | { readonly kind: "endless"; readonly lines: readonly Buffer[] }
  /** The connection is closed; `rest` is the incomplete last line. */
  | { readonly kind: "gone"; readonly rest: Buffer };

export interface Wire {
  send(octets: Uint8Array): void;
  /** The next reply, within so many milliseconds; 0 is without limit. Lines have no line ends. */
  readReply(timeout: number, signal?: AbortSignal): Promise<ReceivedReply>;
  /** The next reply if it is there already. */
  takeReply(): readonly Buffer[] | undefined;
  /** Makes `readReply` return at once, as if the time were up. */
  interrupt(): void;
  /** Whether anything has come that has not been read yet. */
  hasMore(): boolean;
  /** Stops reading and returns the stream, for TLS. What was read ahead is discarded (RFC 3207 section 6). */
  release(): Duplex;
  /** Sends what is left and closes, within at most so many milliseconds. */
  close(patience: number): Promise<void>;
}

/** How replies are read. */
export interface WireOptions {
  /** Called with each piece as it comes. */
  readonly tap?: (octets: Uint8Array) => void;
  /** Whether a line is the last of its reply. */
  readonly isLast?: (line: Buffer) => boolean;
  /** Octets that may wait to be read. */
  readonly most?: number;
  /** Whether the time limit starts again with each piece of a reply. */
  readonly perPiece?: boolean;
}

/**
 * Our choice, far more than the longest reply in use: RFC 5321 section 4.5.3.1.5 allows a line 512 octets, and no reply
 * to EHLO has a thousand lines.
 */
const mostOctets = 1024 * 1024;
/** Octets of a line of an endless reply that are returned. */
const mostShown = 80;

const late: ReceivedReply = { kind: "late" };

/** Takes over `stream`. */
export function openWire(stream: Duplex, reading: WireOptions = {}): Wire {
  const { tap, isLast = endsReply, most = mostOctets, perPiece = false } = reading;
  let replies: { readonly lines: readonly Buffer[]; readonly octets: number }[] = [];
  let taken = 0; // of these; a long list is not shifted one by one
  let lines: Buffer[] = []; // of the reply that has not ended
  let octets = 0; // of these lines, with their line ends
  let partial: Buffer[] = []; // pieces of the incomplete line; joined once, however small they are
  let size = 0; // octets of all of them
  let ended = false;
  let waiting: ((received: ReceivedReply) => void) | undefined; // whoever waits now
  let watched: AbortSignal | undefined;
  // One for all replies: to set a timer for each would be expensive. It keeps no process alive, the stream does.
  let clock: NodeJS.Timeout | undefined;
  let clockTime = 0;
  let isTimed = false; // whoever waits now

  /** Gives whoever waits what there is, or `otherwise`. */
  const wake = (otherwise?: ReceivedReply): void => {
    const found = waiting && (next() ?? otherwise);
    if (found === undefined) return;
    const give = waiting;
    waiting = undefined;
    isTimed = false;
    give?.(found);
  };
  const take = (piece: Buffer): void => {
    tap?.(piece);
    if (perPiece && isTimed) clock?.refresh();
    size += piece.length;
    let from = 0;
    for (let at = piece.indexOf(0x0a); at >= 0; at = piece.indexOf(0x0a, from)) {
      const isHere = partial.length === 0;
      const whole = isHere ? undefined : joined([...partial, piece.subarray(from, at)]);
      const line = whole
        ? withoutCr(whole)
        : piece.subarray(from, at > from && piece[at - 1] === 0x0d ? at - 1 : at);
      lines.push(line);
      octets += (whole?.length ?? at - from) + 1;
      if (!isHere) partial = [];
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
    clearTimeout(clock);
    clock = undefined;
    wake();
    watch(undefined);
  };
  // Whatever the error is, nothing more will come.
  const fail = (): void => {
    partial = [];
    end();
  };
  stream.on("data", take).on("end", end).on("close", end);
  stream.on("error", fail).resume();

  /** The next whole reply from what was read. */
  function next(): ReceivedReply | undefined {
    const reply = replies[taken];
    if (reply !== undefined) {
      taken++;
      if (taken === replies.length) [replies, taken] = [[], 0];
      size -= reply.octets;
      if (size <= most) stream.resume();
      return { kind: "reply", lines: reply.lines };
    }
    if (size > most) return { kind: "endless", lines: [...lines, joined(partial)].slice(0, 10).map(shown) };
    return ended ? { kind: "gone", rest: joined(partial) } : undefined;
  }

  function startClock(timeout: number): void {
    isTimed = timeout > 0;
    if (!isTimed) return;
    if (clock !== undefined && clockTime === timeout) return void clock.refresh();
    clearTimeout(clock);
    clock = setTimeout(() => {
      if (isTimed) interrupt();
    }, timeout).unref();
    clockTime = timeout;
  }

  function interrupt(): void {
    wake(late);
  }

  /**
   * Listens to the signal until there is another one, or the stream has ended: a new listener for each reply would be
   * expensive.
   */
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
    readReply(timeout, signal) {
      const found = next() ?? (signal?.aborted ? late : undefined);
      if (found !== undefined) return Promise.resolve(found);
      watch(signal);
      startClock(timeout);
      return new Promise((resolve) => {
        waiting = resolve;
      });
    },
    takeReply() {
      const found = next();
      return found?.kind === "reply" ? found.lines : undefined;
    },
    interrupt,
    hasMore: () => replies.length > taken || lines.length > 0 || partial.length > 0,
    release() {
      stream.pause();
      stream.off("data", take).off("end", end).off("close", end);
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
