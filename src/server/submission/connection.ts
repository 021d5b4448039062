/**
 * A session on its socket: a client's octets become lines, commands and replies in the turn in which they come, and a promise
 * is made only where something is waited for (a login's check, the spool, a client that does not read). The library
 * (smtp-server) owns the socket, its TLS handshake and the closing. All replies come from verbs.ts, auth/login.ts and
 * receive.ts. test/server/submission/library.test.ts checks what we assume of the library.
 */
import type { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { type Reply, reply } from "../../smtp/reply.ts";
import { logBug } from "../log/log.ts";
import type { KeyLookup, SaslResult } from "./auth/exchange.ts";
import { authenticate } from "./auth/login.ts";
import { type Deadline, newDeadline } from "./client-limits.ts";
import {
  clientSpokeFirst,
  internalError,
  loginChanged,
  timedOut,
  tooManyConnections,
} from "./closing-replies.ts";
import { askFreeSpace, knownFreeSpace } from "./free-space.ts";
import type { Admission } from "./limits/admission.ts";
import { type ClientLine, CommandParser } from "./parser.ts";
import { beginMessage, type IncomingMessage, noRoom, spoolTrouble } from "./receive.ts";
import { newReplyWriter, type ReplyWriter } from "./replies.ts";
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
  readonly #replies: ReplyWriter = newReplyWriter();
  #session: SubmissionSession;
  #ended = false;
  #closingReply: Reply | undefined; // once set: no new work, and this reply ends the session
  /** From its beginning until its reply. */
  #message: IncomingMessage | undefined;
  /** What is under way with the spool. */
  #works = 0;
  #isFlushDue = false;
  #resolveDone: () => void = () => undefined;

  constructor(server: SMTPServer, socket: Socket, admission: Admission, context: SessionContext) {
    super(server, socket, { id: "session", remoteAddress: admission.address });
    const { now, steady, timeouts } = context;
    this.#admission = admission;
    this.#context = context;
    this.#log = newSessionLog(admission.listener, admission.address);
    const expired = (): void => guarded(this._socket, () => this.#timeOut());
    this.#deadline = newDeadline({ now, steady, timeouts, expired });
    this.#session = newSession(
      admission.listener,
      admission.address,
      tlsChannelOf(socket, ...domainsOf(context)),
    );
    this.done = new Promise<void>((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  /**
   * The library waits 100 ms and looks up the client's name before its greeting. We only look, within two turns of the
   * event loop, whether the client has spoken already (RFC 5321 section 4.3.1). That delays nobody.
   */
  override init(): void {
    let release = (): void => undefined;
    this.#parser?.waitFor(
      new Promise<void>((resolve) => {
        release = resolve;
      }),
    );
    this._setListeners(() => void this.#begin(release));
  }

  get login(): string | undefined {
    return this.#ended ? undefined : this.#session.login?.name;
  }

  /** Takes no new work. An idle session ends now, one with a transaction after that, one in a handshake behind it. */
  drain(closing: Reply): void {
    this.#closingReply = closing;
    if (this._upgrading) return;
    if (this.#deadline.isSet && !isBusy(this.#session)) this.#end(closing);
  }

  endHandshake(): void {
    if (this._upgrading) this.#end();
  }

  /** Makes room for another connection at once: we do not wait for the client to close its side. */
  evict(): void {
    this.#end(tooManyConnections);
    this._socket.destroySoon();
  }

  /**
   * Ends the session when the drain is over. A complete message is not cut off: the spool may have it already. Filters are
   * waited for no longer.
   */
  abort(): void {
    if (this.#message?.isWhole) this.#message.giveUp();
    else this.#end(this.#closingReply);
  }

  get #parser(): CommandParser | undefined {
    return this._parser instanceof CommandParser ? this._parser : undefined;
  }

  override _createParser(): CommandParser {
    const lines = new CommandParser({
      line: (line, more) => this.#attempt(() => this.#takeLine(line, more)),
      inExchange: () => this.#session.exchange !== undefined,
      turnOver: (isWaiting) => this.#attempt(() => this.#sendReplies(isWaiting)),
      ended: () => guarded(this._socket, () => this.#clientEnded()),
    });
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
    this.#dropMessage();
    this.#resolveWhenDone();
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
    const { hostname, greetingName = hostname } = this.#context;
    this.#send([reply(220, "", `${greetingName} ESMTP tpa-submit`)]);
    this.#expectCommand();
    release();
  }

  #takeLine(line: ClientLine, more: boolean): void {
    this.#deadline.clear();
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
    const given = typeof line === "string" ? respond(before, line, this.#context) : refuseLine(before, line);
    const complete = completeAnswer(before, given, this.#context);
    if (complete instanceof Promise) this.#wait(complete.then((later) => this.#apply(later)));
    else this.#apply(complete);
  }

  #apply(given: CommandAnswer): void {
    const { session, replies, next } = given;
    if (typeof next === "object" && "octets" in next) {
      this.#expectChunk(given, next);
      return;
    }
    this.#log.answered(this.#session, replies);
    this.#setSession(session);
    if (next === "receive") {
      this.#waitForSpool(this.#receive());
      return;
    }
    this.#send(replies);
    if (next === "tls") {
      this.#startTls();
    } else if (next === "read") {
      if (this.#closingReply && !isBusy(session)) this.#end(this.#closingReply);
      else this.#expectCommand();
    } else {
      if (next === "too-many-errors") this.#log.aborted(next, "command");
      const [last] = replies;
      if (next === "close" && last?.code === 421) this.#log.turnedAway(last);
      this.#end();
    }
  }

  #startTls(): void {
    this.#replies.flush(this._socket); // before the TLS socket takes over the plain one
    this.#deadline.set(this.#admission.loginDue);
    this.upgrade(
      () => undefined,
      () => guarded(this._socket, () => this.#secured()),
    );
  }

  #secured(): void {
    this._socket.on("error", (error) => this._onError(error)); // the library listens only once
    this.#log.secured(cipherOf(this._socket));
    const channel = tlsChannelOf(this._socket, ...domainsOf(this.#context));
    if (!channel) throw new Error("no TLS after the handshake");
    this.#session = afterStartTls(this.#session, channel);
    if (this.#closingReply) this.#end(this.#closingReply);
    else this.#expectCommand();
  }

  /** Sets the session. A message whose transaction is over, or whose chunk was refused, is dropped. */
  #setSession(session: SubmissionSession): void {
    this.#session = session;
    if (session.login) this.#admission.loggedIn();
    if (typeof session.transaction?.chunks !== "number") this.#dropMessage();
  }

  /** The octets behind DATA are the message's. */
  async #receive(): Promise<void> {
    const refusal = await this.#beginMessage(true);
    if (refusal) this.#apply(answer({ ...this.#session, transaction: undefined }, refusal));
    const message = this.#message;
    if (!message) return; // refused, or the client went away
    this.#send([reply(354, "", "End data with <CR><LF>.<CR><LF>")]);
    this.#parser?.expectRaw((octets) => {
      const rest = this.#take(message, octets);
      if (rest) this.#finish(message);
      return rest;
    });
  }

  /** Begins to receive a message. Gives a reply where it cannot be stored. */
  async #beginMessage(stuffed: boolean): Promise<Reply | undefined> {
    const begun = await beginMessage(this.#session, this.#context, stuffed);
    if ("code" in begun) return begun;
    if (this.#ended || this._closed) await begun.discard();
    else {
      this.#message = begun;
      this.#expectCommand(); // the message begins with the time of a command
    }
    return undefined;
  }

  /** Octets of a message. */
  #take(message: IncomingMessage, octets: Buffer): Buffer | undefined {
    this.#deadline.extend(octets.length);
    let rest: Buffer | undefined;
    this.#attempt(() => {
      rest = message.take(octets);
      if (message.busy) this.#waitForSpool(message.busy);
      if (message.isOverrun) this.#finish(message);
    });
    return rest;
  }

  /** Reads the octets behind BDAT, which belong to the message or are dropped. Then sends the replies. */
  #expectChunk({ session, replies }: CommandAnswer, chunk: BdatChunk): void {
    this.#setSession(session);
    if (!chunk.isWanted || this.#message) this.#readChunk(chunk, replies);
    else {
      this.#waitForSpool(
        this.#beginMessage(false).then((refusal) => this.#readChunk(chunk, replies, refusal)),
      );
    }
  }

  #readChunk(chunk: BdatChunk, replies: readonly Reply[], refusal?: Reply): void {
    this.#expectCommand();
    const message = chunk.isWanted ? this.#message : undefined;
    let left = chunk.octets;
    const done = (): void => {
      if (refusal) this.#apply(answer(withRefusedChunks(this.#session), refusal));
      else if (message && chunk.isLast) this.#finish(message);
      else this.#apply(answer(this.#session, ...replies));
    };
    if (left === 0) done();
    else {
      this.#parser?.expectRaw((octets) => {
        const piece = octets.subarray(0, left);
        left -= piece.length;
        if (message) this.#take(message, piece);
        if (left > 0) return undefined;
        this.#attempt(done);
        return octets.subarray(piece.length);
      });
    }
  }

  /** The message is at its end: its result is sent, and the session goes on. */
  #finish(message: IncomingMessage): void {
    if (message.isWhole) return;
    this.#deadline.clear(); // from now on the client waits for us
    this.#waitForSpool(this.#sendResult(message));
  }

  async #sendResult(message: IncomingMessage): Promise<void> {
    const received = await message.end();
    this.#message = undefined;
    const errors = received.reply.code < 400 ? 0 : this.#session.errors + 1;
    this.#apply({
      session: { ...this.#session, transaction: undefined, errors },
      replies: [received.reply],
      next: received.hangUp ? "close" : "read",
    });
  }

  #dropMessage(): void {
    const message = this.#message;
    if (!message || message.isWhole) return;
    this.#message = undefined;
    this.#waitForSpool(message.discard());
  }

  /** Nothing more is read until `work` is over. */
  #wait(work: Promise<void>): void {
    const over = work.catch((error: unknown) => this.#fail("submission session", error));
    this.#parser?.waitFor(over);
  }

  /** The same, and the session is not done before. */
  #waitForSpool(work: Promise<void>): void {
    this.#works++;
    const over = (): void => {
      this.#works--;
      this.#resolveWhenDone();
    };
    const failed = (error: unknown): void => {
      over();
      this.#fail("submission session", error);
    };
    const ended = work.then(over, failed); // "finally" would make four promises of it
    this.#parser?.waitFor(ended);
  }

  #resolveWhenDone(): void {
    if (this._closed && this.#works === 0) this.#resolveDone();
  }

  /** The client has shut down its side and has its answers. An unfinished message is dropped. */
  #clientEnded(): void {
    if (this.#isReceiving()) this._socket.destroy();
    else this.close();
  }

  #isReceiving(): boolean {
    return this.#message !== undefined && !this.#message.isWhole;
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
    if (!this._upgrading) this.#replies.add(replies);
  }

  /** At the end of a turn. Where something is waited for that may be there at once, its reply goes out with the others. */
  #sendReplies(isWaiting: boolean): void {
    if (this.#replies.isEmpty) return;
    if (isWaiting) {
      if (this.#isFlushDue) return;
      this.#isFlushDue = true;
      setImmediate(() => {
        this.#isFlushDue = false;
        this.#attempt(() => this.#sendReplies(false));
      });
      return;
    }
    this.#replies.flush(this._socket);
    if (this._socket.writableNeedDrain) this.#parser?.waitFor(untilDrained(this._socket));
  }

  /** Ends the session, with the reply `last` where it is given. */
  #end(last?: Reply): void {
    this.#deadline.end();
    if (last && !this.#ended) this.#send([last]);
    this.#ended = true;
    this.#replies.flush(this._socket);
    this.close();
    if (this._upgrading) this._socket.destroy(); // no reply can be sent during a handshake
    this.#admission.farewell(() => this._socket.destroy());
    this.#dropMessage();
  }

  /** A bug of ours ends this connection and no other. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail("submission session", error);
    }
  }

  #fail(where: string, error: unknown): void {
    logBug(where, error);
    this.#end(internalError);
  }

  #stage(): SessionStage {
    const message = this.#message;
    if (!message || !this._parser) return "command";
    return message.isWhole ? "message" : { octets: message.octets };
  }
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

const domainsOf = ({ domain, domains }: SessionContext): readonly string[] => [
  domain,
  ...(domains?.keys() ?? []),
];

/**
 * The final answer to a command, where it depends on passwords or on the disk: verbs.ts is pure and leaves that open.
 * `given` is the answer of verbs.ts, `before` the session before the command.
 */
function completeAnswer(
  before: SubmissionSession,
  given: CommandAnswer,
  context: SessionContext,
): CommandAnswer | Promise<CommandAnswer> {
  const { session, next } = given;
  if (typeof next === "object" && "login" in next) return loginAnswer(before, given, next, context);
  if (before.transaction || !session.transaction) return given;
  const octets = session.transaction.parameters.size ?? 0;
  const withRoom = (refusal: Reply | undefined): CommandAnswer => (refusal ? answer(before, refusal) : given);
  const free = knownFreeSpace(context.spool, context.now());
  if (free) return withRoom(noRoom(free, context, octets));
  return askFreeSpace(context.spool, context.now).then(
    (space) => withRoom(noRoom(space, context, octets)),
    (error: unknown) => withRoom(spoolTrouble(before, error)),
  );
}

async function loginAnswer(
  before: SubmissionSession,
  { session }: CommandAnswer,
  next: SaslResult | KeyLookup,
  context: SessionContext,
): Promise<CommandAnswer> {
  // Read before the check. If the hash that let the client in is removed meanwhile, its next command ends the session.
  const hashes = (before.exchange && before.exchangeHashes) ?? (await context.hashes(next.login));
  return withHashes(hashes, await authenticate(session, next, context));
}

/** Keeps `hashes` with the login once there is one, and with the exchange until then. */
function withHashes(hashes: readonly string[], given: CommandAnswer): CommandAnswer {
  const { session } = given;
  const { login, exchange } = session;
  const exchangeHashes = exchange ? hashes : undefined;
  return { ...given, session: { ...session, exchangeHashes, login: login && { ...login, hashes } } };
}
