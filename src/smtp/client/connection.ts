/**
 * The client's side of an SMTP or LMTP connection (RFC 5321, RFC 2033): greeting, EHLO or LHLO, STARTTLS, commands sent
 * in one piece, and replies read in order. It knows its state when the connection breaks, and nothing about mail:
 * transaction.ts and login.ts build on it.
 */
import type { Socket } from "node:net";
import { type ConnectionOptions, TLSSocket } from "node:tls";
import { type Extension, type Keywords, keywordsIn, limitsIn, type ServerLimits } from "./ehlo.ts";
import { type Handshake, tlsHandshake } from "./tls.ts";
import { openWire, type Wire, type WireOptions } from "./wire.ts";

/** The reply to a command, or why there is none. */
export type ServerAnswer =
  /** `text` has the lines with their codes, joined by LF; all have the last line's code. */
  { readonly kind: "reply"; readonly text: string } | BrokenConnection;

/** Why there is no reply. */
export type BrokenConnection =
  /** It did not come in time. */
  | { readonly kind: "late" }
  /** The connection is closed. `rest` is the beginning of an incomplete refusal: "421 4.3.2 by". */
  | { readonly kind: "lost"; readonly rest?: string };

export interface ConnectionSettings {
  readonly protocol: "smtp" | "lmtp";
  /** Our name in EHLO. */
  readonly hostname: string;
  /** Milliseconds to wait for a reply, or for the server to accept octets. */
  readonly patience: number;
  /** Milliseconds of a clock that tells how far the server is; absent if nobody asks. */
  readonly now?: () => number;
}

/** Our choice: all replies to a hundred recipients are shorter. Octets. */
const longestReply = 64 * 1024;
/** Our choice: a server that has sent so many empty lines will send nothing else. */
const mostBlankLines = 1_000;
/** Milliseconds. Our choice: nothing depends on the reply to QUIT, or on who closes first. */
const goodbye = 5_000;
const closing = 2_000;
/** Milliseconds between keepalive probes, so that no firewall on the way forgets an idle connection. */
const keepAlive = 30_000;

/** 2yz: success (RFC 5321 section 4.2.1). */
export const isPositive = (answer: ServerAnswer): boolean => hasClass(answer, "2");

/** Whether the reply's first digit is this one. */
export const hasClass = (answer: ServerAnswer, digit: "2" | "3"): boolean =>
  answer.kind === "reply" && answer.text.startsWith(digit);

/** RFC 5321 section 4.2.2: the server closes the connection, whatever the command was. */
export const isClosing = (text: string): boolean => /^421(?:[ -]|$)/.test(text);

export class Connection {
  /** The current step, as in Postfix's log: "lost connection while …". */
  state = "receiving the initial server greeting";
  /** The extensions that the server announced; none after HELO. */
  keywords: Keywords = new Map();
  limits: ServerLimits = limitsIn(this.keywords);
  /** Whether it accepted HELO only, and so announced no extensions that it may have. */
  isHeloOnly = false;
  /** Milliseconds until EHLO was answered, the shortest of all; 0 if nobody asks. */
  roundTrip = Number.POSITIVE_INFINITY;
  /** Called for each reply. */
  onReply: (() => void) | undefined;
  readonly #settings: ConnectionSettings;
  #socket: Socket;
  #wire: Wire;
  #isOpen = true;
  #isResting = false;

  constructor(socket: Socket, settings: ConnectionSettings) {
    this.#settings = settings;
    this.#socket = socket.setKeepAlive(true, keepAlive).setNoDelay(true);
    this.#wire = openWire(socket, anyReply);
  }

  get protocol(): "smtp" | "lmtp" {
    return this.#settings.protocol;
  }

  get patience(): number {
    return this.#settings.patience;
  }

  /** The TLS socket; undefined in clear. */
  get tls(): TLSSocket | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket : undefined;
  }

  /** Whether another command may be sent. */
  get isOpen(): boolean {
    return this.#isOpen && this.#socket.writable;
  }

  /** Whether the server has neither sent anything unasked nor closed the connection. */
  get isQuiet(): boolean {
    return this.isOpen && !this.#wire.hasMore();
  }

  offers(extension: Extension): boolean {
    return this.keywords.has(extension);
  }

  /** Octets of the largest message that the server accepts. */
  get largest(): number {
    return this.limits.size;
  }

  /** Sends lines in one piece (RFC 2920 section 3.1). Does nothing if the connection is closed. */
  write(...lines: readonly string[]): void {
    if (!this.isOpen) return;
    for (const line of lines) this.state = stateAfter(line, this.state);
    this.#wire.send(Buffer.from(`${lines.join("\r\n")}\r\n`));
  }

  /** The same while the replies to earlier commands are still being read: their state stays. */
  sendAhead(...lines: readonly string[]): void {
    if (this.isOpen) this.#wire.send(Buffer.from(`${lines.join("\r\n")}\r\n`));
  }

  /** Sends octets of a message, and waits until the server has accepted most of them. */
  async send(octets: Uint8Array, signal: AbortSignal): Promise<BrokenConnection | undefined> {
    return this.post(octets) ? undefined : this.drained(signal);
  }

  /**
   * Sends octets of a message, and what else is sent in this turn of the event loop in the same piece. Returns whether the
   * server has accepted most of them, or {@link drained} must wait for that.
   */
  post(octets: Uint8Array): boolean {
    if (!this.isOpen) return false;
    this.#gather();
    this.#wire.send(octets);
    return !this.#socket.writableNeedDrain;
  }

  /** Whether nothing of what was sent is in our memory any more. */
  get isAllSent(): boolean {
    return this.#socket.writableLength === 0;
  }

  #gather(): void {
    const socket = this.#socket;
    if (socket.writableCorked > 0) return;
    socket.cork();
    process.nextTick(() => socket.uncork()); // when no promise has anything to say any more
  }

  /** Waits until the server has accepted most of what was sent. */
  async drained(signal: AbortSignal): Promise<BrokenConnection | undefined> {
    if (!this.isOpen) return { kind: "lost" };
    return this.#socket.writableNeedDrain ? whenDrained(this.#socket, this.patience, signal) : undefined;
  }

  /** The next reply, unless the server is silent for longer than `patience` milliseconds. */
  read(signal: AbortSignal, patience = this.patience): Promise<ServerAnswer> {
    return this.#readBehind(0, signal, patience);
  }

  /** The same behind so many blank lines. */
  #readBehind(blank: number, signal: AbortSignal, patience: number): Promise<ServerAnswer> {
    if (!this.#isOpen || blank > mostBlankLines) {
      this.close();
      return Promise.resolve({ kind: "lost" });
    }
    return this.#wire.readReply(patience, signal).then((received) => {
      if (received.kind === "late") return received;
      if (received.kind === "reply")
        return this.#replyIn(received.lines) ?? this.#readBehind(blank + 1, signal, patience);
      const rest = received.kind === "gone" ? textOf([received.rest]).trim() : "";
      return { kind: "lost", ...(/^[45]\d\d[ -]/.test(rest) && { rest }) };
    });
  }

  /** The same if it is there already: replies to commands that were sent together come together. */
  readHere(): ServerAnswer | undefined {
    const lines = this.#isOpen ? this.#wire.takeReply() : undefined;
    return lines && this.#replyIn(lines);
  }

  /** Undefined for an empty line, which is not a reply. */
  #replyIn(lines: readonly Buffer[]): ServerAnswer | undefined {
    const text = textOf(lines);
    if (text.trim() === "") return undefined;
    this.onReply?.();
    if (isClosing(text)) this.close();
    return { kind: "reply", text };
  }

  /** Sends `line` and returns the reply. */
  command(line: string, signal: AbortSignal): Promise<ServerAnswer> {
    this.write(line);
    return this.read(signal);
  }

  /**
   * EHLO or LHLO. After a refused EHLO, HELO (RFC 5321 section 3.2), unless TLS is needed, which HELO does not offer.
   */
  async hello(needsTls: boolean, signal: AbortSignal): Promise<ServerAnswer> {
    const { protocol, hostname, now = () => 0 } = this.#settings;
    const begun = now();
    const answer = await this.command(`${protocol === "lmtp" ? "LHLO" : "EHLO"} ${hostname}`, signal);
    this.roundTrip = Math.min(this.roundTrip, now() - begun);
    if (answer.kind !== "reply") return answer;
    if (isPositive(answer)) this.keywords = keywordsIn(answer.text.split("\n"));
    this.limits = limitsIn(this.keywords);
    if (isPositive(answer) || protocol === "lmtp" || needsTls || isClosing(answer.text)) return answer;
    this.isHeloOnly = true;
    return this.command(`HELO ${hostname}`, signal);
  }

  /**
   * The TLS handshake. The server's extensions are forgotten (RFC 3207 section 4.2), and octets that came in clear are
   * discarded.
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
   * Lets the connection be idle, without keeping the process alive. `ended` is called if the server closes it meanwhile
   * or sends anything.
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

  /** Ends the idle time. */
  wake(): void {
    this.#isResting = false;
    this.#wire.interrupt();
    this.#socket.ref();
  }

  /** Makes `read` return at once. */
  interrupt(): void {
    this.#wire.interrupt();
  }

  /** Sends QUIT, and waits only a moment for the reply. */
  quit(): void {
    this.write("QUIT");
    const timer = setTimeout(() => this.close(), goodbye).unref();
    void this.#wire.readReply(0).then(() => {
      clearTimeout(timer);
      this.close();
    });
  }

  /** Sends what is left and closes, without QUIT. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const stream = this.#wire.release().resume();
    const timer = setTimeout(() => stream.destroy(), closing).unref();
    stream.once("close", () => clearTimeout(timer)).end();
  }
}

const hyphen = 0x2d;
const isDigit = (octet = 0): boolean => octet >= 0x30 && octet <= 0x39;

/** Reads replies leniently: only a line with a hyphen behind its code is continued (RFC 5321 section 4.2.1). */
export const anyReply: WireOptions = {
  isLast(line) {
    let at = 0;
    while (at < 8 && isDigit(line[at])) at++;
    return at === 0 || at === 8 || line[at] !== hyphen;
  },
  most: longestReply,
  perPiece: true,
};

/**
 * A reply as text. If its lines have different codes, the last one counts (RFC 5321 section 4.2.1). Read as UTF-8 (RFC
 * 6531 section 3.7.4), or octet by octet if it is not.
 */
function textOf(lines: readonly Buffer[]): string {
  const [first] = lines;
  const octets =
    first && lines.length === 1
      ? first
      : Buffer.concat(lines.flatMap((line, at) => (at === 0 ? [line] : [Buffer.of(0x0a), line])));
  const utf8 = octets.toString("utf8");
  const text = utf8.includes("\uFFFD") ? octets.toString("latin1") : utf8;
  const code =
    lines.length > 1 ? /^\d{3}/.exec(lines.at(-1)?.toString("latin1", 0, 3) ?? "")?.[0] : undefined;
  return code === undefined ? text : text.replace(/^\d{3}/gm, code);
}

/** The state after sending `line`. The lines of an AUTH exchange have no verb and change nothing. */
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

/** Waits until the socket accepts more; returns why it does not. */
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
    // A turn later: if we were busy ourselves, the server may have accepted it already.
    const timer = setTimeout(() => setImmediate(expire), patience);
    socket.once("drain", settle).once("close", lose);
    signal.addEventListener("abort", expire);
    if (signal.aborted) expire();
    else if (socket.destroyed) lose();
  });
}

/**
 * Runs `work` with a signal that is raised with `outer`, or `after` so many milliseconds. AbortSignal.any with
 * AbortSignal.timeout would do the same, but leaves a timer behind for each delivery, long after it has ended.
 */
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
