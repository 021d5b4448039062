/**
 * An SMTP or LMTP connection, seen from the client (RFC 5321, RFC 2033): greeting, EHLO or LHLO, STARTTLS, commands that
 * go out in one piece and replies that are read in their order. It knows what was going on when the connection breaks,
 * and nothing of mail: transaction.ts and login.ts are made of it.
 */
import type { Socket } from "node:net";
import { type ConnectionOptions, TLSSocket } from "node:tls";
import { type Extension, type Keywords, keywordsIn, limitsIn, type ServerLimits } from "./ehlo.ts";
import { type Handshake, tlsHandshake } from "./tls.ts";
import { openWire, type Wire, type WireOptions } from "./wire.ts";

/** What came in answer to a command. */
export type ServerAnswer =
  /** `text` has the lines, codes and all, joined by LF; all lines have the last one's code. */
  { readonly kind: "reply"; readonly text: string } | BrokenConnection;

/** Why nothing came. */
export type BrokenConnection =
  /** The time was up. */
  | { readonly kind: "late" }
  /** The connection is gone. `rest` is a refusal that was begun and not ended: "421 4.3.2 by". */
  | { readonly kind: "lost"; readonly rest?: string };

/** How to be a client to this server. */
export interface ConnectionSettings {
  readonly protocol: "smtp" | "lmtp";
  /** Our name in EHLO. */
  readonly hostname: string;
  /** Milliseconds: how long the server may be silent where a reply is due, or octets are to be taken. */
  readonly patience: number;
}

/** Our choice: all replies to a hundred recipients are shorter. Octets. */
const longestReply = 64 * 1024;
/** Our choice: a server that sends nothing but line ends will say nothing else. */
const mostBlankLines = 1_000;
/** Milliseconds. Our choice: nothing depends on the answer to QUIT, nor on who closes first. */
const goodbye = 5_000;
const closing = 2_000;
/** Milliseconds between two signs of life on a connection that waits, so that no box on the way forgets it. */
const keepAlive = 30_000;

/** 2yz: success (RFC 5321 section 4.2.1). */
export const isPositive = (answer: ServerAnswer): boolean => hasClass(answer, "2");

/** Whether the reply's first digit is this one. */
export const hasClass = (answer: ServerAnswer, digit: "2" | "3"): boolean =>
  answer.kind === "reply" && answer.text.startsWith(digit);

/** RFC 5321 section 4.2.2: the server goes away, whatever it was asked. */
export const isClosing = (text: string): boolean => /^421(?:[ -]|$)/.test(text);

export class Connection {
  /** What is going on, in the words of Postfix's log: "lost connection while …". */
  state = "receiving the initial server greeting";
  /** What the server announces; nothing behind HELO. */
  keywords: Keywords = new Map();
  limits: ServerLimits = limitsIn(this.keywords);
  /** Whether it answered to HELO only, and so announces nothing that it may have all the same. */
  isHeloOnly = false;
  /** Called with each reply that comes. */
  onReply: (() => void) | undefined;
  readonly #manners: ConnectionSettings;
  #socket: Socket;
  #wire: Wire;
  #isOpen = true;
  #isResting = false;

  constructor(socket: Socket, manners: ConnectionSettings) {
    this.#manners = manners;
    this.#socket = socket.setKeepAlive(true, keepAlive).setNoDelay(true);
    this.#wire = openWire(socket, anyReply);
  }

  get protocol(): "smtp" | "lmtp" {
    return this.#manners.protocol;
  }

  get patience(): number {
    return this.#manners.patience;
  }

  /** The TLS on the connection, where there is any. */
  get tls(): TLSSocket | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket : undefined;
  }

  /** Whether another command may be said. */
  get isOpen(): boolean {
    return this.#isOpen && this.#socket.writable;
  }

  /** Whether nothing has come that nobody asked for, an end of the connection included. */
  get isQuiet(): boolean {
    return this.isOpen && !this.#wire.hasMore();
  }

  offers(extension: Extension): boolean {
    return this.keywords.has(extension);
  }

  /** Octets of the largest message that the server takes. */
  get largest(): number {
    return this.limits.size;
  }

  /** Sends lines in one piece (RFC 2920 section 3.1). Says nothing where the connection is gone. */
  write(...lines: readonly string[]): void {
    if (!this.isOpen) return;
    for (const line of lines) this.state = stateAfter(line, this.state);
    this.#wire.send(Buffer.from(`${lines.join("\r\n")}\r\n`));
  }

  /** Sends octets of a message, and waits until the server has taken most of them. */
  async send(octets: Uint8Array, signal: AbortSignal): Promise<BrokenConnection | undefined> {
    if (!this.isOpen) return { kind: "lost" };
    this.#wire.send(octets);
    return this.#socket.writableNeedDrain ? whenDrained(this.#socket, this.patience, signal) : undefined;
  }

  /** The next reply, where the server is silent for no longer than `patience` milliseconds. */
  async read(signal: AbortSignal, patience = this.patience): Promise<ServerAnswer> {
    for (let blank = 0; this.#isOpen && blank <= mostBlankLines; blank++) {
      const heard = await this.#wire.readReply(patience, signal);
      if (heard.kind === "late") return heard;
      if (heard.kind !== "reply") {
        const rest = heard.kind === "gone" ? textOf([heard.rest]).trim() : "";
        return { kind: "lost", ...(/^[45]\d\d[ -]/.test(rest) && { rest }) };
      }
      const text = textOf(heard.lines);
      if (text.trim() === "") continue; // a line end too many is no reply
      this.onReply?.();
      if (isClosing(text)) this.close();
      return { kind: "reply", text };
    }
    this.close();
    return { kind: "lost" };
  }

  /** Says `line` and hears what comes of it. */
  command(line: string, signal: AbortSignal): Promise<ServerAnswer> {
    this.write(line);
    return this.read(signal);
  }

  /** EHLO or LHLO. Where EHLO is refused, HELO (RFC 5321 section 3.2), unless TLS must follow, which HELO knows not of. */
  async hello(needsTls: boolean, signal: AbortSignal): Promise<ServerAnswer> {
    const { protocol, hostname } = this.#manners;
    const answer = await this.command(`${protocol === "lmtp" ? "LHLO" : "EHLO"} ${hostname}`, signal);
    if (answer.kind !== "reply") return answer;
    if (isPositive(answer)) this.keywords = keywordsIn(answer.text.split("\n"));
    this.limits = limitsIn(this.keywords);
    if (isPositive(answer) || protocol === "lmtp" || needsTls || isClosing(answer.text)) return answer;
    this.isHeloOnly = true;
    return this.command(`HELO ${hostname}`, signal);
  }

  /**
   * The handshake. What the server said before it counts no longer (RFC 3207 section 4.2), and what has come in clear is
   * thrown away.
   */
  async startTls(options: ConnectionOptions, signal: AbortSignal): Promise<Handshake> {
    this.keywords = new Map();
    this.isHeloOnly = false;
    const stream = this.#wire.release();
    const handshake = await tlsHandshake(stream, options, this.patience, signal);
    if (handshake.kind === "done") {
      this.#socket = handshake.socket;
      this.#wire = openWire(handshake.socket, anyReply);
    } else {
      this.#isOpen = false;
      stream.destroy();
    }
    return handshake;
  }

  /**
   * Lets the connection wait, and keeps nothing alive by it. `ended` is called where the server ends it meanwhile, or
   * says what nobody asked for.
   */
  rest(ended: () => void): void {
    this.#isResting = true;
    this.#socket.unref();
    void this.#wire.readReply(0).then(({ kind }) => {
      if (kind === "late") return;
      this.close();
      if (this.#isResting) ended();
    });
  }

  /** Ends the waiting. */
  wake(): void {
    this.#isResting = false;
    this.#wire.interrupt();
    this.#socket.ref();
  }

  /** Has `read` wait no longer. */
  interrupt(): void {
    this.#wire.interrupt();
  }

  /** Says QUIT; a server that does not answer is not waited for. */
  quit(): void {
    this.write("QUIT");
    const timer = setTimeout(() => this.close(), goodbye).unref();
    void this.#wire.readReply(0).then(() => {
      clearTimeout(timer);
      this.close();
    });
  }

  /** Sends what is left and closes, without a word. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const stream = this.#wire.release().resume();
    const timer = setTimeout(() => stream.destroy(), closing).unref();
    stream.once("close", () => clearTimeout(timer)).end();
  }
}

/**
 * As far as it makes sense, anything that a server says is a reply: a line goes on to the next one only where it says so
 * itself (RFC 5321 section 4.2.1).
 */
export const anyReply: WireOptions = {
  isLast: (line) => !/^\d+-/.test(line.subarray(0, 8).toString("latin1")),
  most: longestReply,
  perPiece: true,
};

/**
 * A reply as text. Its last line has the code that counts, where a server's lines differ (RFC 5321 section 4.2.1). In
 * UTF-8 (RFC 6531 section 3.7.4) or, where it is none, octet by octet.
 */
function textOf(lines: readonly Buffer[]): string {
  const octets = Buffer.concat(lines.flatMap((line, at) => (at === 0 ? [line] : [Buffer.of(0x0a), line])));
  const utf8 = octets.toString("utf8");
  const text = utf8.includes("\uFFFD") ? octets.toString("latin1") : utf8;
  const code =
    lines.length > 1 ? /^\d{3}/.exec(lines.at(-1)?.toString("latin1", 0, 3) ?? "")?.[0] : undefined;
  return code === undefined ? text : text.replace(/^\d{3}/gm, code);
}

/** `line` is what is sent now; the lines of an AUTH exchange have no verb and change nothing. */
function stateAfter(line: string, before: string): string {
  const verb = /^(EHLO|HELO|LHLO|STARTTLS|AUTH|MAIL FROM|RCPT TO|DATA|QUIT)\b/.exec(line)?.[1];
  switch (verb) {
    case undefined:
      return before;
    case "EHLO":
    case "HELO":
    case "LHLO":
      return `performing the ${verb} handshake`;
    case "STARTTLS":
    case "AUTH":
      return `performing the ${verb} exchange`;
    default:
      return `sending ${verb}`;
  }
}

/** Why the socket takes no more; undefined as soon as it does. */
function whenDrained(
  socket: Socket,
  patience: number,
  signal: AbortSignal,
): Promise<BrokenConnection | undefined> {
  return new Promise((resolve) => {
    const settle = (broken?: BrokenConnection): void => {
      clearTimeout(timer);
      socket.off("drain", settle).off("close", lose);
      signal.removeEventListener("abort", expire);
      resolve(broken);
    };
    const lose = (): void => settle({ kind: "lost" });
    const expire = (): void => settle({ kind: "late" });
    // A turn later: where we were busy ourselves, the server may have taken it long since.
    const timer = setTimeout(() => setImmediate(expire), patience);
    socket.once("drain", settle).once("close", lose);
    signal.addEventListener("abort", expire);
    if (signal.aborted) expire();
    else if (socket.destroyed) lose();
  });
}

/**
 * A time limit for one piece of work. AbortSignal.any and AbortSignal.timeout would do the same,
 * but leave a timer behind for each delivery, long after it is done.
 */

/** Runs `work` with a signal that is raised when `outer` is, or `after` so many milliseconds. */
export async function withDeadline<Result>(
  outer: AbortSignal,
  after: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const raise = (): void => controller.abort();
  const timer = setTimeout(raise, after);
  outer.addEventListener("abort", raise, { once: true });
  if (outer.aborted) raise();
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", raise);
  }
}
