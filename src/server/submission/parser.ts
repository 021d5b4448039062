/**
 * Splits a client's octets into command lines and, after DATA, a message. It is a stream because the library pipes the
 * socket into one. The library's own parser accepts a bare LF as the end of a line (against RFC 5321 section 2.3.8) and
 * unstuffs dots after one: that allows smuggling.
 */
import type { Writable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import { type Reply, reply } from "../../smtp/reply.ts";
import { authLine, commandLine, swallowedLine } from "./client-limits.ts";

/** The text of a line, or the reply to one that cannot be read. */
export type ClientLine = string | Reply;

/** Octets that are not read as lines. */
export interface RawOctets {
  readonly octets: number;
  /** Resolves when it can take more. */
  readonly take: (piece: Buffer) => Promise<void>;
  /** Called after the last octet. The next line waits until it resolves. */
  readonly done: () => Promise<void>;
}

type WriteCallback = (error?: Error | null) => void;

/** Pipelined commands that are handled in one turn of the event loop. The library's choice. */
const inOneTurn = 100;

const nothing = Buffer.alloc(0);

/** The first octet of a ClientHello: the client expects TLS on the STARTTLS port (RFC 8446 section 5.1). */
const handshakeRecord = 0x16;

export class CommandParser extends SMTPStream {
  readonly #take: (line: ClientLine, more: boolean) => Promise<void>;
  readonly #inExchange: () => boolean;
  readonly #ended: () => void;
  #open: Promise<void> = Promise.resolve();
  #held: Buffer = nothing;
  /** A line that is too long: how much of it was dropped, and the reply to it when it ends. */
  #excess: { readonly octets: number; readonly answer: Reply } | undefined;

  #raw: { readonly of: RawOctets; readonly left: number } | undefined;

  /** How much of the end of the message has come. */
  #state: DotState = atBeginning;

  /**
   * `take` gets one line after the other, each when it has resolved for the one before. `more` tells whether octets
   * after the line have come already. `ended` is called when the client has shut down its side and all is handled.
   */
  constructor(
    take: (line: ClientLine, more: boolean) => Promise<void>,
    inExchange: () => boolean,
    ended: () => void,
  ) {
    super();
    this.#take = take;
    this.#inExchange = inExchange;
    this.#ended = ended;
  }

  /** Holds all input back until the returned function is called. `writableLength` tells how much waits. */
  hold(): () => void {
    let release = (): void => undefined;
    this.#open = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  override startDataMode(): ReturnType<SMTPStream["startDataMode"]> {
    this.#state = atBeginning;
    return super.startDataMode();
  }

  /** The octets after the current line go to `raw`. */
  expectRaw(raw: RawOctets): void {
    this.#raw = { of: raw, left: raw.octets };
  }

  override _write(chunk: Buffer, _encoding: unknown, next: WriteCallback): void {
    if (this._dataMode) {
      this._feedDataStream(chunk, next);
      return;
    }
    const input = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = nothing;
    void this.#goOn(
      this.#open.then(() => this.#read(input)),
      next,
    );
  }

  /** Octets of a message. `next` is called when its reader can take more. */
  override _feedDataStream(chunk: Buffer, next: WriteCallback): void {
    const stream = this._dataStream;
    const { state, octets, rest } = unstuff(this.#state, chunk);
    this.#state = state;
    this._countDataBytes(octets.length);
    const taken = stream ? writeDrained(stream, octets) : Promise.resolve();
    if (rest) this._endDataMode(false, rest, next);
    else void this.#goOn(taken, next);
  }

  override _final(next: WriteCallback): void {
    void this.#goOn(
      this.#open.then(() => this.#ended()),
      next,
    );
  }

  async #goOn(work: Promise<void>, next: WriteCallback): Promise<void> {
    try {
      await work;
    } catch (error) {
      next(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    next();
  }

  async #read(input: Buffer): Promise<void> {
    let rest = input;
    for (let count = 1; !this.isClosed; count++) {
      if (this._dataMode) return this.#feed(rest);
      if (this.#raw) {
        rest = await this.#takeRaw(this.#raw, rest);
        if (this.#raw) return;
        continue;
      }
      const end = rest.indexOf(lf);
      if (end < 0) return this.#hold(rest);
      const raw = rest.subarray(0, end + 1);
      rest = rest.subarray(end + 1);
      const line = this.#excess?.answer ?? readCommandLine(raw, this.#inExchange());
      this.#excess = undefined;
      await this.#take(line, rest.length > 0);
      if (count % inOneTurn === 0) await nextTurn();
    }
  }

  /** Passes octets on. Gives the rest, which is lines again. */
  async #takeRaw(
    { of, left }: { readonly of: RawOctets; readonly left: number },
    octets: Buffer,
  ): Promise<Buffer> {
    const piece = octets.subarray(0, left);
    this.#raw = { of, left: left - piece.length };
    if (piece.length > 0) await of.take(piece);
    if (piece.length < left) return nothing;
    this.#raw = undefined;
    await of.done();
    return octets.subarray(piece.length);
  }

  /** Keeps the beginning of a line, or only counts its octets where it is too long. */
  async #hold(rest: Buffer): Promise<void> {
    const { octets = 0, answer = tooLong(this.#inExchange() || isAuth(rest)) } = this.#excess ?? {};
    if (octets === 0 && rest[0] === handshakeRecord) {
      await this.#take(reply(421, "4.7.0", "TLS begins with STARTTLS on this port"), false);
    } else if (octets === 0 && rest.length <= authLine + 2) {
      this.#held = Buffer.from(rest); // a copy: an idle session must not keep the whole buffer it was read from
    } else {
      this.#excess = { octets: octets + rest.length, answer };
      if (this.#excess.octets > swallowedLine)
        await this.#take(reply(421, "4.7.0", "This line has no end"), false);
    }
  }

  /** Octets that came together with DATA. */
  #feed(rest: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this._feedDataStream(rest, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Writes to a stream. Resolves when it takes more, or its reader has closed it. */
export function writeDrained(stream: Writable, octets: Buffer): Promise<void> {
  if (!stream.writable || stream.write(octets)) return Promise.resolve();
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}

/** Reads one line with its LF. */
export function readCommandLine(raw: Buffer, inExchange: boolean): ClientLine {
  const forAuth = inExchange || isAuth(raw);
  if (raw.length - 2 > (forAuth ? authLine : commandLine)) return tooLong(forAuth);
  if (raw[raw.length - 2] !== 13) return reply(500, "5.5.2", "Lines must end with CR LF, not with LF alone");
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw.subarray(0, -2));
    return /[\u0000-\u0008\u000a-\u001f\u007f]/.test(text)
      ? reply(501, "5.5.2", "Control characters have no place in a command")
      : text;
  } catch (error) {
    if (error instanceof TypeError) return reply(501, "5.5.2", "This is not UTF-8");
    throw error;
  }
}

const isAuth = (raw: Buffer): boolean => /^auth /i.test(raw.toString("latin1", 0, 5));

/** RFC 4954 section 4 for AUTH, RFC 5321 section 4.5.3.1.9 for the rest. */
function tooLong(forAuth: boolean): Reply {
  return forAuth
    ? reply(500, "5.5.6", `Authentication exchange line is too long, the limit is ${authLine} octets`)
    : reply(500, "5.5.2", `Line too long, the limit is ${commandLine} octets`);
}

// The transparency of DATA (RFC 5321 section 4.5.2). A message ends at CRLF.CRLF and nowhere else. A dot at the beginning
// of a line is removed. A line begins only after CRLF: what follows a lone LF stays as it is. One pass, however many dots:
// the library needs a turn of the event loop for each.

/** How many octets of `CRLF . CR` have come last. */
export type DotState = 0 | 1 | 2 | 3 | 4;

/** A message begins at the beginning of a line. */
export const atBeginning: DotState = 2;

export interface Unstuffed {
  readonly state: DotState;
  /** The message's own octets. A dot and CR that may be its end are held back. */
  readonly octets: Buffer;
  /** What came after the end of the message; undefined before the end. */
  readonly rest?: Buffer;
}

const [lf, cr, dot] = [10, 13, 46];
const heldCr = Buffer.of(cr);

/** Reads `chunk`, which follows octets that ended in the state `before`. */
export function unstuff(before: DotState, chunk: Buffer): Unstuffed {
  const pieces: Buffer[] = [];
  let state = before;
  let from = 0;
  for (let at = 0; at < chunk.length; at++) {
    const octet = chunk[at];
    if (state === 4 && octet === lf) {
      return { state: atBeginning, octets: Buffer.concat(pieces), rest: chunk.subarray(at + 1) };
    }
    if (state === 4) pieces.push(heldCr); // it was not the end
    if (state === 2 && octet === dot) {
      pieces.push(chunk.subarray(from, at));
      from = at + 1;
      state = 3;
    } else if (state === 3 && octet === cr) {
      from = at + 1;
      state = 4;
    } else if (octet === cr) {
      state = 1;
    } else {
      state = state === 1 && octet === lf ? 2 : 0;
    }
  }
  const last = chunk.subarray(from);
  return { state, octets: pieces.length === 0 ? last : Buffer.concat([...pieces, last]) };
}
