/**
 * A session on its socket. The library (smtp-server) keeps the socket, its TLS handshake, the reading of DATA and the
 * closing; everything that is said comes from verbs.ts, login.ts and receive.ts.
 * test/submission/library.test.ts holds what is assumed of the library, so that another version of it fails there.
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { formatReply, type Reply, reply } from "../../smtp/reply.ts";
import type { Door } from "../observe/events.ts";
import { log, logBug } from "../observe/log.ts";
import { extended } from "./limits.ts";
import { type Line, Lines } from "./lines.ts";
import { authenticate } from "./login.ts";
import { noRoom, openDraft, receive } from "./receive.ts";
import { type Answer, answer, clientName, newSession, type Session, secured } from "./session.ts";
import type { Submission } from "./submission.ts";
import { counted, formatTally, type Tally } from "./tally.ts";
import { refuse, respond, verbOf } from "./verbs.ts";

/** What was known of a client when it was let in. */
export interface Visit {
  readonly door: Door;
  readonly address: string;
  /** Until when it must have logged in, in milliseconds since the epoch. */
  readonly loginDue: number;
  /** Said in place of the greeting where the client cannot stay. */
  readonly refusal?: Reply | undefined;
  /** Called once, when the socket is gone. */
  readonly leave: () => void;
}

const stopping = reply(421, "4.3.2", "The server is being restarted, please try again in a moment");
const tooSlow = reply(421, "4.4.2", "Timeout, closing the connection");
const internal = reply(421, "4.3.0", "Internal error, sorry; it has been noted");

export class Connection extends SMTPConnection {
  /** Resolves when the socket is gone and nothing is left to do. */
  readonly done: Promise<void>;
  readonly #visit: Visit;
  readonly #submission: Submission;
  #session: Session;
  #tally: Tally = new Map();
  #verb = "CONNECT";
  /** The path of the last MAIL or RCPT, for the log. */
  #path = "";
  #ended = false;
  #draining = false;
  #corked = false;
  #deadline: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;
  #work: Promise<void> = Promise.resolve();
  #gone: () => void = () => undefined;

  constructor(server: SMTPServer, socket: Socket, visit: Visit, submission: Submission) {
    super(server, socket, { id: "session", remoteAddress: visit.address });
    this.#visit = visit;
    this.#submission = submission;
    this.#session = newSession(visit.door, visit.address, cipherOf(socket)?.standardName);
    this.done = new Promise<void>((resolve) => {
      this.#gone = resolve;
    }).then(() => this.#work);
  }

  /** The library waits 100 ms and looks the client's name up before it says anything. */
  override init(): void {
    this._setListeners(() => {
      this._ready = true;
      if (this.#session.cipher !== undefined) this.#noteTls();
      const { refusal } = this.#visit;
      if (refusal) return this.#end(refusal);
      if (this.#draining) return this.#end(stopping);
      this.#say([reply(220, "", `${this.#submission.hostname} ESMTP tpa-submit`)]);
      this.#expectCommand();
    });
  }

  /** No new work: an idle session ends now, one that is about to hand a message over when that is done. */
  drain(): void {
    this.#draining = true;
    if (this._ready && this.#deadline && !this.#session.transaction && !this.#session.exchange)
      this.#end(stopping);
  }

  /** The drain is over. A message that is whole is not cut off: its 250 may be a promise already. */
  cut(): void {
    if (this._upgrading) this._socket.destroy();
    else if (!this._dataStream || this.#isReceiving()) this.#end(stopping);
  }

  override _createParser(): Lines {
    const lines = new Lines(
      (line) => this.#take(line),
      () => this.#session.exchange !== undefined,
    );
    lines.on("error", (error) => this.#fail("submission lines", error));
    return lines;
  }

  /** The library's timeout starts anew with every octet; #deadline does not. */
  override _armTimeout(): void {}

  /** An error of the socket, or of the handshake, is how some connections end. */
  override _onError(error: Error): void {
    if (this._upgrading) {
      const { door } = this.#visit;
      log("tls-inbound-failed", { door, client: clientName(this.#session), reason: error.message });
    }
    this._socket.destroy();
  }

  override _onClose(): void {
    const first = !this._closed;
    super._onClose();
    if (!first) return;
    clearTimeout(this.#deadline);
    const at = this.#at();
    if (!this.#ended) log("connection-lost", { ...at, stage: this.#stage() });
    log("disconnect", { ...at, commands: formatTally(this.#tally) });
    this.#visit.leave();
    this.#gone();
  }

  async #take(line: Line): Promise<void> {
    this.#expectNothing();
    try {
      const before = this.#session;
      if (typeof line === "string" && !before.exchange) {
        this.#verb = verbOf(line) || "UNKNOWN";
        this.#path = /<([^>]*)>/.exec(line)?.[1]?.slice(0, 320) ?? "";
      }
      const given = typeof line === "string" ? respond(before, line, this.#submission) : refuse(before, line);
      await this.#carryOut(await this.#settled(before, given));
    } catch (error) {
      this.#fail("submission session", error);
    }
    await this.#written();
  }

  /** The answer where it depends on passwords or on the disk. */
  async #settled(before: Session, given: Answer): Promise<Answer> {
    if (typeof given.next === "object") return authenticate(given.session, given.next, this.#submission);
    if (before.transaction || !given.session.transaction) return given;
    const refusal = await noRoom(this.#submission, before, given.session.transaction.parameters.size ?? 0);
    return refusal ? answer(before, refusal) : given;
  }

  async #carryOut({ session, say, next }: Answer): Promise<void> {
    this.#note(say);
    this.#session = session;
    if (next === "receive") return this.#receive();
    if (next === "tls") return this.#startTls(say);
    if (next === "read" && !(this.#draining && !session.transaction && !session.exchange)) {
      this.#say(say);
      this.#expectCommand();
      return;
    }
    if (next === "too-many-errors") log("too-many-errors", { ...this.#at(), stage: this.#verb });
    this.#say(say);
    this.#end(next === "read" ? stopping : undefined);
  }

  #startTls(say: readonly Reply[]): void {
    this.#say(say);
    this.#uncork(); // before the TLS socket takes the plain one over
    this.#setDeadline(this.#visit.loginDue);
    this.upgrade(
      () => undefined,
      () => {
        this._socket.on("error", (error) => this._onError(error)); // the library listens once
        this.#session = secured(this.#session, cipherOf(this._socket)?.standardName ?? "unknown");
        this.#noteTls();
        this.#expectCommand();
      },
    );
  }

  async #receive(): Promise<void> {
    const { login, transaction, cipher } = this.#session;
    const parser = this._parser;
    if (!login || !transaction || cipher === undefined || !parser)
      throw new Error("DATA without a transaction");
    const mail = { session: this.#session, login, transaction, cipher };
    const draft = await openDraft(this.#submission, this.#session);
    if ("code" in draft) {
      await this.#carryOut(answer({ ...this.#session, transaction: undefined }, draft));
      return;
    }
    const stream = parser.startDataMode();
    this._dataStream = stream;
    this.#say([reply(354, "", "End data with <CR><LF>.<CR><LF>")]);
    this.#setDeadline(this.#submission.now() + this.#submission.patience.command);
    this.#work = this.#finish(receive(this.#paced(stream), mail, draft, this.#submission));
  }

  /** Says what became of the message, and goes on. */
  async #finish(outcome: ReturnType<typeof receive>): Promise<void> {
    try {
      const received = await outcome;
      if (!received) return; // the client is gone
      this.#expectNothing();
      this._dataStream = false;
      const good = received.reply.code < 400;
      const errors = good ? 0 : this.#session.errors + 1;
      await this.#carryOut({
        session: { ...this.#session, transaction: undefined, errors },
        say: [received.reply],
        next: received.hangUp ? "close" : "read",
      });
      if (this._parser) this._parser.continue();
    } catch (error) {
      this.#fail("submission message", error);
    }
  }

  /** The message's octets; each buys the client some time. */
  async *#paced(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
    const { now, patience } = this.#submission;
    for await (const chunk of stream) {
      this.#due = extended(this.#due, now(), chunk.length, patience);
      yield chunk;
    }
    this.#expectNothing(); // from here on the client waits for us
  }

  #isReceiving(): boolean {
    return this._parser !== false && this._parser._dataMode;
  }

  #expectCommand(): void {
    const { now, patience } = this.#submission;
    const due = now() + patience.command;
    this.#setDeadline(this.#session.login ? due : Math.min(due, this.#visit.loginDue));
  }

  #expectNothing(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
  }

  #setDeadline(due: number): void {
    this.#due = due;
    clearTimeout(this.#deadline);
    if (this.#ended || this._closed) return;
    this.#deadline = setTimeout(() => this.#checkDeadline(), Math.max(0, due - this.#submission.now()));
  }

  #checkDeadline(): void {
    if (this.#due > this.#submission.now()) {
      this.#setDeadline(this.#due);
      return;
    }
    log("timeout", { ...this.#at(), stage: this.#stage() });
    if (this._upgrading) this._socket.destroy();
    this.#end(tooSlow);
  }

  #say(replies: readonly Reply[]): void {
    if (replies.length === 0 || this._upgrading || !this._socket.writable) return;
    if (!this.#corked) {
      this.#corked = true; // what pipelined commands are answered goes out together
      this._socket.cork();
      process.nextTick(() => this.#uncork());
    }
    this._socket.write(onTheWire(replies));
  }

  #uncork(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this._socket.uncork();
  }

  /** Ends the session, with a last word where `last` is given. */
  #end(last?: Reply): void {
    this.#expectNothing();
    if (last && !this.#ended) this.#say([last]);
    this.#ended = true;
    this.#uncork();
    this.close();
  }

  /** A fault of ours: it costs this client its connection and nobody else anything. */
  #fail(where: string, error: unknown): void {
    logBug(where, error);
    this.#end(internal);
  }

  /** Resolves when the client has taken what it was told; one that never reads gets no more commands done. */
  #written(): Promise<void> {
    const socket = this._socket;
    if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const go = (): void => {
        socket.off("drain", go);
        socket.off("close", go);
        resolve();
      };
      socket.on("drain", go);
      socket.on("close", go);
    });
  }

  /** Counts an answered command, and logs what was refused of a message. */
  #note(say: readonly Reply[]): void {
    const [first] = say;
    if (!first || (first.code >= 300 && first.code < 400)) return;
    this.#tally = counted(this.#tally, this.#verb, first.code < 400);
    const { transaction, login, helo } = this.#session;
    const isRefusal = first.code >= 400 && login && ["MAIL", "RCPT", "DATA"].includes(this.#verb);
    if (!isRefusal || (transaction && transaction.overshoot > 0)) return;
    const stage = this.#verb === "DATA" && transaction ? "END-OF-MESSAGE" : this.#verb;
    const from = this.#verb === "MAIL" ? this.#path : (transaction?.sender ?? "");
    log("reject", {
      ...this.#at(),
      stage,
      reply: first,
      from,
      to: this.#verb === "RCPT" ? this.#path : "",
      helo,
    });
  }

  #noteTls(): void {
    const cipher = cipherOf(this._socket);
    const { name = "unknown", version = "TLS" } = cipher ?? {};
    const bits = /128/.test(name) ? 128 : 256;
    log("tls-inbound", { ...this.#at(), protocol: version, cipher: name, bits });
  }

  #at(): { readonly door: Door; readonly client: string } {
    return { door: this.#visit.door, client: clientName(this.#session) };
  }

  #stage(): string {
    if (!this._dataStream || !this._parser) return this.#verb;
    return this.#isReceiving() ? `DATA (${this._parser.dataBytes} bytes)` : "END-OF-MESSAGE";
  }
}

/** One reply, or the lines of one (RFC 5321 section 4.2.1). */
function onTheWire(replies: readonly Reply[]): string {
  return replies
    .map((line, index) =>
      index < replies.length - 1 ? formatReply(line).replace(" ", "-") : formatReply(line),
    )
    .map((line) => `${line}\r\n`)
    .join("");
}

function cipherOf(socket: Socket): ReturnType<TLSSocket["getCipher"]> | undefined {
  return socket instanceof TLSSocket ? socket.getCipher() : undefined;
}
