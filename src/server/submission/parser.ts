/**
 * Splits a client's octets into command lines and, behind DATA and BDAT, the octets of messages: at once, in the turn in
 * which they come. It is a stream because the library pipes the socket into one, and so that octets which must wait hold up
 * the socket. The library's own parser accepts a bare LF as the end of a line (against RFC 5321 section 2.3.8) and unstuffs
 * dots after one: that allows smuggling.
 */
import { isUtf8 } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import { type Reply, reply } from "../../smtp/reply.ts";
import { authLine, commandLine, swallowedLine } from "./client-limits.ts";

/** The text of a line, or the reply to one that cannot be read. */
export type ClientLine = string | Reply;

/** What becomes of a client's octets. Nothing of it may throw. */
export interface LineTaker {
  /** `more` tells whether octets after the line have come already. */
  line(line: ClientLine, more: boolean): void;
  /** Whether AUTH waits for a response. */
  inExchange(): boolean;
  /** All that can be handled in this turn has been. */
  turnOver(isWaiting: boolean): void;
  /** The client has shut down its side, and all is handled. */
  ended(): void;
}

/** Takes octets that are not read as lines. Gives what is left of them once it has all it wants. */
export type RawTaker = (octets: Buffer) => Buffer | undefined;

type WriteCallback = (error?: Error | null) => void;

/** Pipelined commands that are handled in one turn of the event loop. The library's choice. */
const inOneTurn = 100;

/** Octets that are read without the stream's books: those of a TLS record. */
const mostAtOnce = 16_384;

const nothing = Buffer.alloc(0);

/** The first octet of a ClientHello: the client expects TLS on the STARTTLS port (RFC 8446 section 5.1). */
const handshakeRecord = 0x16;

export class CommandParser extends SMTPStream {
  readonly #taker: LineTaker;
  /** What must be over before the next octet is read. */
  #waits = 0;
  #isRunning = false;
  /** Not read yet. */
  #rest: Buffer = nothing;
  /** Called when more can be taken. */
  #next: (() => void) | undefined;
  /** The beginning of a line. */
  #held: Buffer = nothing;
  /** A line that is too long: how much of it was dropped, and the reply to it when it ends. */
  #excess: { readonly octets: number; readonly answer: Reply } | undefined;
  #raw: RawTaker | undefined;

  constructor(taker: LineTaker) {
    super();
    this.#taker = taker;
  }

  /** Reads nothing until `work`, which never rejects, is over. `writableLength` tells how much waits. */
  waitFor(work: Promise<unknown>): void {
    this.#waits++;
    void work.then(() => {
      this.#waits--;
      this.#run();
    });
  }

  /** The octets after the current line go to `raw`. */
  expectRaw(raw: RawTaker): void {
    this.#raw = raw;
  }

  /**
   * What comes while nothing is waited for is read in this very call: the stream's own books, and its callback a tick later,
   * cost as much as some of the commands. The rest goes the stream's way, which holds up the socket.
   */
  override write(chunk: unknown, ...more: never[]): boolean {
    if (more.length > 0 || !this.#isReadAtOnce(chunk)) return super.write(chunk, ...more);
    this.#rest = this.#withHeld(chunk);
    this.#run();
    const left = this.#rest;
    this.#rest = nothing;
    return left.length === 0 || super.write(left);
  }

  #isReadAtOnce(chunk: unknown): chunk is Buffer {
    const isFree = this.#waits === 0 && !this.#isRunning && this.writable && this.writableLength === 0;
    return isFree && !this.isClosed && chunk instanceof Buffer && chunk.length <= mostAtOnce;
  }

  override _write(chunk: Buffer, _encoding: unknown, next: WriteCallback): void {
    this.#rest = this.#withHeld(chunk);
    this.#next = next;
    this.#run();
  }

  override _final(next: WriteCallback): void {
    this.#next = () => {
      this.#taker.ended();
      next();
    };
    this.#run();
  }

  #withHeld(chunk: Buffer): Buffer {
    const held = this.#held;
    if (held.length === 0) return chunk;
    this.#held = nothing;
    return Buffer.concat([held, chunk]);
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    let lines = 0;
    while (this.#waits === 0 && !this.isClosed && this.#rest.length > 0) {
      if (this.#raw) this.#rest = this.#takeRaw(this.#raw, this.#rest);
      else if (lines === inOneTurn) this.waitFor(nextTurn());
      else {
        lines++;
        this.#rest = this.#readLine(this.#rest);
      }
    }
    this.#isRunning = false;
    this.#taker.turnOver(this.#waits > 0);
    if (this.isClosed) this.#rest = nothing;
    else if (this.#waits > 0) return;
    const next = this.#next;
    this.#next = undefined;
    next?.();
  }

  /** Gives the octets behind the first line. */
  #readLine(octets: Buffer): Buffer {
    if (octets[0] === handshakeRecord && !this.#excess) {
      this.#taker.line(reply(421, "4.7.0", "TLS begins with STARTTLS on this port"), false);
      return nothing;
    }
    const end = octets.indexOf(lf);
    if (end < 0) {
      this.#hold(octets);
      return nothing;
    }
    const raw = octets.subarray(0, end + 1);
    const line = this.#excess?.answer ?? readCommandLine(raw, this.#taker.inExchange());
    this.#excess = undefined;
    this.#taker.line(line, end + 1 < octets.length);
    return octets.subarray(end + 1);
  }

  #takeRaw(raw: RawTaker, octets: Buffer): Buffer {
    const rest = raw(octets);
    if (rest !== undefined && this.#raw === raw) this.#raw = undefined;
    return rest ?? nothing;
  }

  /** Keeps the beginning of a line, or only counts its octets where it is too long. */
  #hold(rest: Buffer): void {
    const { octets = 0, answer = tooLong(this.#taker.inExchange() || isAuth(rest)) } = this.#excess ?? {};
    if (octets === 0 && rest.length <= authLine + 2) {
      this.#held = Buffer.from(rest); // a copy: an idle session must not keep the whole buffer it was read from
    } else {
      this.#excess = { octets: octets + rest.length, answer };
      if (this.#excess.octets > swallowedLine)
        this.#taker.line(reply(421, "4.7.0", "This line has no end"), false);
    }
  }
}

const [lf, cr] = [10, 13];

/** Reads one line with its LF. */
export function readCommandLine(raw: Buffer, inExchange: boolean): ClientLine {
  const forAuth = inExchange || isAuth(raw);
  if (raw.length - 2 > (forAuth ? authLine : commandLine)) return tooLong(forAuth);
  if (raw[raw.length - 2] !== cr) return reply(500, "5.5.2", "Lines must end with CR LF, not with LF alone");
  const line = raw.subarray(0, -2);
  if (!isUtf8(line)) return reply(501, "5.5.2", "This is not UTF-8");
  const text = line.toString("utf8");
  return /[\u0000-\u0008\u000a-\u001f\u007f]/.test(text)
    ? reply(501, "5.5.2", "Control characters have no place in a command")
    : text;
}

const isAuth = (raw: Buffer): boolean => /^auth /i.test(raw.toString("latin1", 0, 5));

/** RFC 4954 section 4 for AUTH, RFC 5321 section 4.5.3.1.9 for the rest. */
function tooLong(forAuth: boolean): Reply {
  return forAuth
    ? reply(500, "5.5.6", `Authentication exchange line is too long, the limit is ${authLine} octets`)
    : reply(500, "5.5.2", `Line too long, the limit is ${commandLine} octets`);
}
