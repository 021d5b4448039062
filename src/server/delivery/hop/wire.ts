/**
 * nodemailer's SMTP client, bent to a relay's needs: every parameter of MAIL and RCPT is ours (nodemailer has
 * one set of DSN parameters for all recipients, and SMTPUTF8 only for addresses), LMTP replies are kept per
 * recipient, and it is known what was going on when a connection broke. test/server/delivery/wire.test.ts holds what
 * we use of nodemailer's undeclared insides.
 */
import type { Socket } from "node:net";
import SmtpConnection, { type SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";
import { type ServerLimits, serverLimits } from "./server-limits.ts";

/** What nodemailer has but does not declare. */
interface Insides {
  readonly _supportedExtensions: readonly string[];
  /** SIZE, 0 where it is not announced. */
  readonly _maxAllowedSize: number;
  /** What EHLO was answered with, line by line, without codes; the first line left out. */
  readonly _ehloLines?: readonly string[];
  /** Replies that have come and are not yet acted upon: one is, each time round the event loop. */
  readonly _responseQueue: string[];
  readonly _responsePartial: boolean;
  _sendCommand(command: string, shown?: string): void;
  _processResponse(): unknown;
  _onData(chunk: Buffer): void;
  _onResponseTooLarge(): void;
  _onError(error: Error, type: string, said?: string | false, command?: string): void;
  _actionDATA(said: string, done: () => void): void;
  _actionLMTPStream(recipient: string, final: boolean, said: string, done: () => void): void;
}

const Nodemailer = SmtpConnection as unknown as new (
  options: SMTPConnectionOptions,
) => SmtpConnection & Insides;

/**
 * The commands of one transaction. nodemailer is given the recipients as "0", "1", …; the wire sees these.
 */
export interface Commands {
  readonly mail: string;
  readonly recipients: readonly string[];
}

export type Extension = "8BITMIME" | "DSN" | "SMTPUTF8" | "SIZE" | "PIPELINING" | "REQUIRETLS";

/** Milliseconds. Our choice: nothing depends on the answer to QUIT. */
const goodbye = 5000;

/** Our choice: no server may say as much at once that has been asked for a hundred recipients, blank lines included. */
const mostReplies = 1000;

export class WireConnection extends Nodemailer {
  /** What we are waiting for, in the words of Postfix's log: "lost connection while …". */
  doing = "receiving the initial server greeting";
  /** Called with each reply that comes. */
  heard: (() => void) | undefined;
  /** LMTP: what was said about each recipient after the message, by its number. */
  readonly finalReplies = new Map<string, string>();
  #commands: Commands = { mail: "", recipients: [] };

  constructor(options: SMTPConnectionOptions) {
    super(options);
    // each step listens for itself; what comes between two, the next one finds
    this.on("error", () => undefined);
  }

  /** Sets the commands of the transaction that `send` is called for next. */
  prepare(commands: Commands): void {
    this.#commands = commands;
    this.finalReplies.clear();
  }

  offers(extension: Extension): boolean {
    return this._supportedExtensions.includes(extension);
  }

  /**
   * Largest message that the server takes, in octets; Infinity where it does not say (RFC 1870 section 4).
   */
  get largest(): number {
    return this._maxAllowedSize > 0 ? this._maxAllowedSize : Number.POSITIVE_INFINITY;
  }

  get limits(): ServerLimits {
    return serverLimits(this._ehloLines ?? []);
  }

  get socket(): Socket | undefined {
    return this._socket === false || this._socket === null ? undefined : this._socket;
  }

  /** Says goodbye; a server that does not answer is not waited for. */
  leave(): void {
    this.socket?.setTimeout(goodbye);
    this.quit();
  }

  override _sendCommand(command: string, shown?: string): void {
    const recipient = /^RCPT TO:<(\d+)>/.exec(command)?.[1];
    const ours = command.startsWith("MAIL FROM:")
      ? this.#commands.mail
      : recipient !== undefined
        ? (this.#commands.recipients[Number(recipient)] ?? command)
        : command;
    this.doing = doingAfter(command, this.doing);
    super._sendCommand(ours, shown);
  }

  /** RFC 5321 section 4.2.1: the last line has the code that counts, where a server's lines differ. */
  override _processResponse(): unknown {
    const [next] = this._responseQueue;
    if (next !== undefined) this.heard?.();
    const code = next && /\n(\d{3})[^\n]*$/.exec(next)?.[1];
    if (next && code) this._responseQueue[0] = next.replace(/^\d{3}/gm, code);
    return super._processResponse();
  }

  /** Replies that nobody asked for would wait in memory, and be shifted one by one along a list without end. */
  override _onData(chunk: Buffer): void {
    super._onData(chunk);
    if (this._responseQueue.length > mostReplies) this._onResponseTooLarge();
  }

  /**
   * A server may answer and hang up: what it has said still counts, only then the connection is lost. Where what it
   * `said` is the error, nothing after it is read any more.
   */
  override _onError(error: Error, type: string, said?: string | false, command?: string): void {
    const unread = typeof said !== "string" && this._responseQueue.length > 0 && !this._responsePartial;
    if (unread && !this.destroyed) setImmediate(() => this._onError(error, type, said, command));
    else super._onError(error, type, said, command);
  }

  /** RFC 5321 section 4.3.2: 354 and nothing else. After a 250 the message would be read as commands. */
  override _actionDATA(said: string, done: () => void): void {
    super._actionDATA(said.startsWith("2") ? `451 4.5.0 unexpected answer: ${said}` : said, done);
  }

  override _actionLMTPStream(recipient: string, final: boolean, said: string, done: () => void): void {
    this.finalReplies.set(recipient, said);
    super._actionLMTPStream(recipient, final, said, done);
  }
}

/** `command` is what is sent now; the lines of an AUTH exchange have no verb and change nothing. */
function doingAfter(command: string, before: string): string {
  const verb = /^(EHLO|HELO|LHLO|STARTTLS|AUTH|MAIL FROM|RCPT TO|DATA|QUIT)\b/.exec(command)?.[1];
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
