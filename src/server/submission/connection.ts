/**
 * A session on its socket. The library (smtp-server) owns the socket, its TLS handshake, the reading of DATA and the
 * closing. All replies come from verbs.ts, auth/login.ts and receive.ts.
 * test/server/submission/library.test.ts checks what we assume of the library.
 */
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { formatReply, type Reply, reply } from "../../smtp/reply.ts";
import { logBug } from "../log/log.ts";
import { authenticate } from "./auth/login.ts";
import { type Deadline, newDeadline } from "./client-limits.ts";
import type { Admission } from "./limits/admission.ts";
import { type ClientLine, CommandParser } from "./parser.ts";
import { beginMessage, chunkOctets, newChunkStream, noRoom, receive, withDeadline } from "./receive.ts";
import {
  afterStartTls,
  answer,
  type BdatChunk,
  type CommandAnswer,
  isBusy,
  newSession,
  type SessionContext,
  type SubmissionSession,
} from "./session.ts";
import { newSessionLog, type SessionLog, type SessionStage } from "./session-log.ts";
import { cipherOf, tlsChannelOf } from "./tls.ts";
import { withRefusedChunks } from "./transaction.ts";
import { refuseLine, respond } from "./verbs.ts";

export class SubmissionConnection extends SMTPConnection {
  /** Resolves when the socket is gone and nothing is left to do. */
  readonly done: Promise<void>;
  readonly #admission: Admission;
  readonly #context: SessionContext;
  readonly #log: SessionLog;
  readonly #deadline: Deadline;
  readonly #writer: ReplyWriter = newReplyWriter();
  #session: SubmissionSession;
  #ended = false;
  #closingReply: Reply | undefined; // once set: no new work, and this reply ends the session
  #message: Promise<void> = Promise.resolve();
  #resolveDone: () => void = () => undefined;

  constructor(server: SMTPServer, socket: Socket, admission: Admission, context: SessionContext) {
    super(server, socket, { id: "session", remoteAddress: admission.address });
    this.#admission = admission;
    this.#context = context;
    this.#log = newSessionLog(admission.listener, admission.address);
    this.#deadline = newDeadline(context.now, context.timeouts, () =>
      guarded(this._socket, () => this.#timeOut()),
    );
    this.#session = newSession(admission.listener, admission.address, tlsChannelOf(socket, context.domain));
    this.done = new Promise<void>((resolve) => {
      this.#resolveDone = resolve;
    }).then(() => this.#message);
  }

  /**
   * The library waits 100 ms and looks up the client's name before its greeting. We only look, within two turns of the
   * event loop, whether the client has spoken already (RFC 5321 section 4.3.1). That delays nobody.
   */
  override init(): void {
    const release = this._parser instanceof CommandParser ? this._parser.hold() : () => undefined;
    this._setListeners(() => void this.#begin(release));
  }

  get login(): string | undefined {
    return this.#ended ? undefined : this.#session.login?.name;
  }

  /** Takes no new work. An idle session ends now, one with a transaction after that. */
  drain(closing: Reply): void {
    this.#closingReply = closing;
    if (this.#deadline.isSet && !isBusy(this.#session)) this.#end(closing);
  }

  /** Makes room for another connection at once: we do not wait for the client to close its side. */
  evict(): void {
    this.#end(tooManyConnections);
    this._socket.destroySoon();
  }

  /** Ends the session when the drain is over. A complete message is not cut off: the spool may have it already. */
  abort(): void {
    if (!this._dataStream || this.#isReceiving()) this.#end(this.#closingReply);
  }

  override _createParser(): CommandParser {
    const lines = new CommandParser(
      (line, more) => this.#takeLine(line, more),
      () => this.#session.exchange !== undefined,
      () => guarded(this._socket, () => this.#clientEnded()),
    );
    lines.on("error", (error) => this.#fail("submission lines", error));
    return lines;
  }

  /**
   * The library's timeout restarts with every octet; #deadline does not. With STARTTLS this is the first sight of the
   * TLS socket: a client that shuts down during the handshake is gone.
   */
  override _armTimeout(upper?: Socket): void {
    upper?.once("end", () => void (this._upgrading && upper.destroy()));
  }

  /** Some connections end with an error of the socket or of the handshake. */
  override _onError(error: Error): void {
    guarded(this._socket, () => {
      if (this._upgrading) this.#log.handshakeFailed(error.message);
    });
    this._socket.destroy();
  }

  override _onClose(): void {
    const stage = this.#stage();
    const first = !this._closed;
    super._onClose();
    if (!first) return;
    this.#deadline.end();
    guarded(this._socket, () => {
      if (!this.#ended) this.#log.aborted("connection-lost", stage);
      this.#log.closed();
    });
    this.#admission.release();
    this.#resolveDone();
  }

  async #begin(release: () => void): Promise<void> {
    await nextTurn();
    await nextTurn();
    guarded(this._socket, () => this.#greet(release));
  }

  #greet(release: () => void): void {
    const parser = this._parser;
    if (!parser || this.#ended) return; // gone meanwhile
    this.#log.secured(cipherOf(this._socket));
    const early = parser.writableLength;
    if (early > 0) this.#log.earlyTalker(early);
    const refusal =
      this.#closingReply ?? this.#admission.refusal ?? (early > 0 ? clientSpokeFirst : undefined);
    if (refusal) {
      this.#end(refusal);
      return;
    }
    release();
    this.#send([reply(220, "", `${this.#context.hostname} ESMTP tpa-submit`)]);
    this.#expectCommand();
  }

  async #takeLine(line: ClientLine, more: boolean): Promise<void> {
    this.#deadline.clear();
    try {
      const before = this.#session;
      const { login } = before;
      if (login?.hashes && !this.#context.hashesUnchanged(login.name, login.hashes)) {
        this.#log.loginChanged(login.name);
        this.#end(loginChanged);
        return;
      }
      this.#admission.active();
      if (typeof line === "string" && !before.exchange) this.#log.command(line);
      // RFC 2920 section 3.1: a client may pipeline once the answer to EHLO has allowed it.
      if (more && before.helo === "") this.#log.pipelined();
      const given =
        typeof line === "string" ? respond(before, line, this.#context) : refuseLine(before, line);
      await this.#apply(await completeAnswer(before, given, this.#context));
    } catch (error) {
      this.#fail("submission session", error);
    }
    await untilDrained(this._socket);
  }

  async #apply(given: CommandAnswer): Promise<void> {
    const { session, replies, next } = given;
    if (typeof next === "object" && "octets" in next) return this.#expectChunk(given, next);
    this.#log.answered(this.#session, replies);
    await this.#setSession(session);
    if (next === "receive") return this.#receive();
    this.#send(replies);
    if (next === "tls") {
      this.#startTls();
    } else if (next === "read") {
      if (this.#closingReply && !isBusy(session)) this.#end(this.#closingReply);
      else this.#expectCommand();
    } else {
      if (next === "too-many-errors") this.#log.aborted(next, "command");
      this.#end();
    }
  }

  #startTls(): void {
    this.#writer.flush(); // before the TLS socket takes over the plain one
    this.#deadline.set(this.#admission.loginDue);
    this.upgrade(
      () => undefined,
      () => guarded(this._socket, () => this.#secured()),
    );
  }

  #secured(): void {
    this._socket.on("error", (error) => this._onError(error)); // the library listens only once
    this.#log.secured(cipherOf(this._socket));
    const channel = tlsChannelOf(this._socket, this.#context.domain);
    if (!channel) throw new Error("no TLS after the handshake");
    this.#session = afterStartTls(this.#session, channel);
    this.#expectCommand();
  }

  /** Sets the session. A message whose transaction is over, or whose chunk was refused, is dropped. */
  async #setSession(session: SubmissionSession): Promise<void> {
    this.#session = session;
    if (session.login) this.#admission.loggedIn();
    const stream = this._dataStream;
    if (!stream || typeof session.transaction?.chunks === "number") return;
    this._dataStream = false;
    stream.destroy();
    await this.#message;
  }

  async #receive(): Promise<void> {
    const refusal = await this.#beginMessage(() => (this._parser ? this._parser.startDataMode() : false));
    if (refusal) return this.#apply(answer({ ...this.#session, transaction: undefined }, refusal));
    if (!this._dataStream) return; // the client went away
    this.#message = this.#message.then(() => void (this._parser !== false && this._parser.continue()));
    this.#send([reply(354, "", "End data with <CR><LF>.<CR><LF>")]);
  }

  /** Begins to receive a message through the stream that `start` gives. Gives a reply where it cannot be stored. */
  async #beginMessage(start: () => SubmissionConnection["_dataStream"]): Promise<Reply | undefined> {
    const begun = await beginMessage(this.#session, this.#context);
    if ("code" in begun) return begun;
    const { mail, draft } = begun;
    const stream = !this.#ended && !this._closed && start();
    this._dataStream = stream;
    this.#expectCommand(); // the message begins with the time of a command
    if (!stream) await draft.discard();
    else
      this.#message = this.#finish(receive(withDeadline(stream, this.#deadline), mail, draft, this.#context));
    return undefined;
  }

  /** Reads the octets behind BDAT, which belong to the message or are dropped. Then sends the replies. */
  async #expectChunk({ session, replies }: CommandAnswer, chunk: BdatChunk): Promise<void> {
    await this.#setSession(session);
    const refusal =
      chunk.isWanted && !this._dataStream ? await this.#beginMessage(newChunkStream) : undefined;
    if (!(this._parser instanceof CommandParser)) return; // the client went away
    this.#expectCommand();
    const stream = (chunk.isWanted && this._dataStream) || undefined;
    const raw = chunkOctets(chunk, stream, this.#deadline, () => {
      if (refusal) return this.#apply(answer(withRefusedChunks(this.#session), refusal));
      return stream && chunk.isLast ? this.#message : this.#apply(answer(this.#session, ...replies));
    });
    this._parser.expectRaw(raw);
  }

  /** Sends the result of the message, and goes on. */
  async #finish(outcome: ReturnType<typeof receive>): Promise<void> {
    try {
      const received = await outcome;
      if (!received) return; // the client is gone, or gave it up
      this._dataStream = false;
      const errors = received.reply.code < 400 ? 0 : this.#session.errors + 1;
      await this.#apply({
        session: { ...this.#session, transaction: undefined, errors },
        replies: [received.reply],
        next: received.hangUp ? "close" : "read",
      });
    } catch (error) {
      this.#fail("submission message", error);
    }
  }

  /** The client has shut down its side and has its answers. An unfinished message is dropped. */
  #clientEnded(): void {
    if (this.#isReceiving()) this._socket.destroy();
    else this.close();
  }

  #isReceiving(): boolean {
    return this._dataStream instanceof PassThrough && !this._dataStream.writableEnded;
  }

  #expectCommand(): void {
    const due = this.#context.now() + this.#context.timeouts.command;
    const { login } = this.#session;
    this.#deadline.set(login ? due : Math.min(due, this.#admission.loginDue, this.#stressedDue()));
  }

  #stressedDue(): number {
    const { now, timeouts } = this.#context;
    return this.#admission.isStressed() ? now() + timeouts.stressed : Number.POSITIVE_INFINITY;
  }

  #timeOut(): void {
    this.#log.aborted("timeout", this.#stage());
    this.#end(timedOut);
  }

  #send(replies: readonly Reply[]): void {
    if (!this._upgrading) this.#writer.write(this._socket, replies);
  }

  /** Ends the session, with the reply `last` where it is given. */
  #end(last?: Reply): void {
    this.#deadline.end();
    if (last && !this.#ended) this.#send([last]);
    this.#ended = true;
    this.#writer.flush();
    this.close();
    if (this._upgrading) this._socket.destroy(); // no reply can be sent during a handshake
  }

  /** A bug of ours ends this connection and no other. */
  #fail(where: string, error: unknown): void {
    logBug(where, error);
    this.#end(internalError);
  }

  #stage(): SessionStage {
    if (!this._dataStream || !this._parser) return "command";
    return this.#isReceiving() ? { octets: this._dataStream.byteLength } : "message";
  }
}

// The last replies of sessions that the server ends.

export const serverStopping = reply(
  421,
  "4.3.2",
  "The server is being restarted, please try again in a moment",
);
export const loginFrozen = reply(
  421,
  "4.7.0",
  "This login was disabled, please ask those who run this server",
);
const loginChanged = reply(421, "4.7.0", "This login was changed or removed, please log in again");
export const tooManyConnections = reply(
  421,
  "4.3.2",
  "Too many connections, please try again in a few minutes",
);
const timedOut = reply(421, "4.4.2", "Timeout, closing the connection");
const internalError = reply(421, "4.3.0", "Internal error, sorry; it has been noted");

/** RFC 7504. */
const clientSpokeFirst = reply(521, "5.5.1", "Protocol error: the server speaks first");

/** Sends replies to the client's socket. */
interface ReplyWriter {
  /** Sends one reply, or the lines of a multi-line one. Does nothing once the socket is closed. */
  write(socket: Socket, replies: readonly Reply[]): void;
  /** Sends at once what is held back. */
  flush(): void;
}

/** Answers to pipelined commands go out together (RFC 2920 section 3.2). */
function newReplyWriter(): ReplyWriter {
  let corked: Socket | undefined;

  function flush(): void {
    corked?.uncork();
    corked = undefined;
  }

  return {
    write(socket, replies) {
      if (replies.length === 0 || !socket.writable) return;
      if (corked === undefined) {
        corked = socket;
        socket.cork();
        process.nextTick(flush);
      }
      socket.write(replyText(replies));
    },
    flush,
  };
}

/** RFC 5321 section 4.2.1: a hyphen follows the code on every line but the last. */
function replyText(replies: readonly Reply[]): string {
  return replies
    .map((line, index) => {
      const [code, rest] = [String(line.code), formatReply(line).slice(4)];
      // The space stays where no text follows: an empty challenge is "334 " (RFC 4954 section 4).
      return `${code}${index < replies.length - 1 ? "-" : " "}${rest}\r\n`;
    })
    .join("");
}

/** Resolves when the client has read its replies. From a client that never reads, no more commands are taken. */
export function untilDrained(socket: Socket): Promise<void> {
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

/**
 * Runs the handler of an event of `socket`. Nothing else catches what a handler throws: without this a bug would end
 * the relay. With it, it ends one connection.
 */
export function guarded(socket: Socket, work: () => void): void {
  try {
    work();
  } catch (error) {
    logBug("submission session", error);
    socket.destroy();
  }
}

/**
 * The final answer to a command, where it depends on passwords or on the disk: verbs.ts is pure and leaves that open.
 * `given` is the answer of verbs.ts, `before` the session before the command.
 */
async function completeAnswer(
  before: SubmissionSession,
  given: CommandAnswer,
  context: SessionContext,
): Promise<CommandAnswer> {
  const { session, next } = given;
  if (typeof next === "object" && "login" in next) {
    // Read before the check. If the hash that let the client in is removed meanwhile, its next command ends the session.
    const hashes = (before.exchange && before.exchangeHashes) ?? (await context.hashes(next.login));
    return withHashes(hashes, await authenticate(session, next, context));
  }
  if (before.transaction || !session.transaction) return given;
  const refusal = await noRoom(context, before, session.transaction.parameters.size ?? 0);
  return refusal ? answer(before, refusal) : given;
}

/** Keeps `hashes` with the login once there is one, and with the exchange until then. */
function withHashes(hashes: readonly string[], given: CommandAnswer): CommandAnswer {
  const { session } = given;
  const { login, exchange } = session;
  const exchangeHashes = exchange ? hashes : undefined;
  return { ...given, session: { ...session, exchangeHashes, login: login && { ...login, hashes } } };
}
