/**
 * A session on its socket. The library (smtp-server) keeps the socket, its TLS handshake, the reading of DATA and the
 * closing; all that is said comes from verbs.ts, auth/login.ts and receive.ts.
 * test/server/submission/library.test.ts holds what is assumed of the library: another version of it fails there.
 */
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { formatReply, type Reply, reply } from "../../smtp/reply.ts";
import { logBug } from "../log/log.ts";
import { settle } from "./auth/login.ts";
import { type Deadline, newDeadline } from "./client-limits.ts";
import type { Visit } from "./limits/admission.ts";
import { type Line, Lines } from "./parser.ts";
import { begin, newStream, noRoom, paced, rawFor, receive } from "./receive.ts";
import {
  type Answer,
  answer,
  type Chunk,
  isBusy,
  newSession,
  type Session,
  type Submission,
  secured,
} from "./session.ts";
import { type Journal, newJournal, type Stage } from "./session-log.ts";
import { channelOf, cipherOf } from "./tls.ts";
import { chunksRefused } from "./transaction.ts";
import { refuse, respond } from "./verbs.ts";

export class Connection extends SMTPConnection {
  /** Resolves when the socket is gone and nothing is left to do. */
  readonly done: Promise<void>;
  readonly #visit: Visit;
  readonly #submission: Submission;
  readonly #journal: Journal;
  readonly #deadline: Deadline;
  readonly #speech: Speech = newSpeech();
  #session: Session;
  #ended = false;
  #farewell: Reply | undefined; // no new work, and this behind what is under way
  #message: Promise<void> = Promise.resolve();
  #gone: () => void = () => undefined;

  constructor(server: SMTPServer, socket: Socket, visit: Visit, submission: Submission) {
    super(server, socket, { id: "session", remoteAddress: visit.address });
    this.#visit = visit;
    this.#submission = submission;
    this.#journal = newJournal(visit.door, visit.address);
    this.#deadline = newDeadline(submission.now, submission.patience, () =>
      guarded(this._socket, () => this.#late()),
    );
    this.#session = newSession(visit.door, visit.address, channelOf(socket, submission.domain));
    this.done = new Promise<void>((resolve) => {
      this.#gone = resolve;
    }).then(() => this.#message);
  }

  /**
   * The library waits 100 ms and looks the client's name up before it says anything. We only see, within two turns of
   * the event loop, whether the client has spoken already (RFC 5321 section 4.3.1): that holds nobody up.
   */
  override init(): void {
    const release = this._parser instanceof Lines ? this._parser.hold() : () => undefined;
    this._setListeners(() => void this.#begin(release));
  }

  get login(): string | undefined {
    return this.#ended ? undefined : this.#session.login?.name;
  }

  /** No new work: an idle session ends now, one that is about to hand a message over when that is done. */
  drain(farewell: Reply): void {
    this.#farewell = farewell;
    if (this.#deadline.isSet && !isBusy(this.#session)) this.#end(farewell);
  }

  /** Another one needs the place, at once: the client is not waited for to close its side. */
  giveWay(): void {
    this.#end(tooMany);
    this._socket.destroySoon();
  }

  /** The drain is over. A message that is whole is not cut off: it may be promised already. */
  cut(): void {
    if (!this._dataStream || this.#isReceiving()) this.#end(this.#farewell);
  }

  override _createParser(): Lines {
    const lines = new Lines(
      (line, more) => this.#take(line, more),
      () => this.#session.exchange !== undefined,
      () => guarded(this._socket, () => this.#left()),
    );
    lines.on("error", (error) => this.#fail("submission lines", error));
    return lines;
  }

  /**
   * The library's timeout starts anew with every octet; #deadline does not. With STARTTLS the upper socket is shown
   * here first: who shuts down amid the handshake is gone.
   */
  override _armTimeout(upper?: Socket): void {
    upper?.once("end", () => void (this._upgrading && upper.destroy()));
  }

  /** An error of the socket, or of the handshake, is how some connections end. */
  override _onError(error: Error): void {
    guarded(this._socket, () => {
      if (this._upgrading) this.#journal.handshakeFailed(error.message);
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
      if (!this.#ended) this.#journal.broke("connection-lost", stage);
      this.#journal.closed();
    });
    this.#visit.leave();
    this.#gone();
  }

  async #begin(release: () => void): Promise<void> {
    await nextTurn();
    await nextTurn();
    guarded(this._socket, () => this.#greet(release));
  }

  #greet(release: () => void): void {
    const parser = this._parser;
    if (!parser || this.#ended) return; // gone meanwhile
    this.#journal.secured(cipherOf(this._socket));
    const early = parser.writableLength;
    if (early > 0) this.#journal.spokeEarly(early);
    const refusal = this.#farewell ?? this.#visit.refusal ?? (early > 0 ? tooSoon : undefined);
    if (refusal) {
      this.#end(refusal);
      return;
    }
    release();
    this.#say([reply(220, "", `${this.#submission.hostname} ESMTP tpa-submit`)]);
    this.#expectCommand();
  }

  async #take(line: Line, more: boolean): Promise<void> {
    this.#deadline.clear();
    try {
      const before = this.#session;
      const { login } = before;
      if (login?.hashes && !this.#submission.stands(login.name, login.hashes)) {
        this.#journal.loginChanged(login.name);
        this.#end(changed);
        return;
      }
      this.#visit.heard();
      if (typeof line === "string" && !before.exchange) this.#journal.heard(line);
      // RFC 2920 section 3.1: whoever pipelines has read in the answer to EHLO that it may.
      if (more && before.helo === "") this.#journal.pipelined();
      const given = typeof line === "string" ? respond(before, line, this.#submission) : refuse(before, line);
      await this.#carryOut(await settled(before, given, this.#submission));
    } catch (error) {
      this.#fail("submission session", error);
    }
    await heard(this._socket);
  }

  async #carryOut(given: Answer): Promise<void> {
    const { session, say, next } = given;
    if (typeof next === "object" && "octets" in next) return this.#expectChunk(given, next);
    this.#journal.answered(this.#session, say);
    await this.#become(session);
    if (next === "receive") return this.#receive();
    this.#say(say);
    if (next === "tls") {
      this.#startTls();
    } else if (next === "read") {
      if (this.#farewell && !isBusy(session)) this.#end(this.#farewell);
      else this.#expectCommand();
    } else {
      if (next === "too-many-errors") this.#journal.broke(next, "command");
      this.#end();
    }
  }

  #startTls(): void {
    this.#speech.flush(); // before the TLS socket takes the plain one over
    this.#deadline.set(this.#visit.loginDue);
    this.upgrade(
      () => undefined,
      () => guarded(this._socket, () => this.#secured()),
    );
  }

  #secured(): void {
    this._socket.on("error", (error) => this._onError(error)); // the library listens once
    this.#journal.secured(cipherOf(this._socket));
    const channel = channelOf(this._socket, this.#submission.domain);
    if (!channel) throw new Error("no TLS after the handshake");
    this.#session = secured(this.#session, channel);
    this.#expectCommand();
  }

  /** The session from now on. A message whose transaction is over, or whose chunk was refused, is dropped. */
  async #become(session: Session): Promise<void> {
    this.#session = session;
    if (session.login) this.#visit.known();
    const stream = this._dataStream;
    if (!stream || typeof session.transaction?.chunks === "number") return;
    this._dataStream = false;
    stream.destroy();
    await this.#message;
  }

  async #receive(): Promise<void> {
    const refusal = await this.#open(() => (this._parser ? this._parser.startDataMode() : false));
    if (refusal) return this.#carryOut(answer({ ...this.#session, transaction: undefined }, refusal));
    if (!this._dataStream) return; // the client went away
    this.#message = this.#message.then(() => void (this._parser !== false && this._parser.continue()));
    this.#say([reply(354, "", "End data with <CR><LF>.<CR><LF>")]);
  }

  /** Takes in what comes through the stream that `start` gives. A reply where it cannot be stored. */
  async #open(start: () => Connection["_dataStream"]): Promise<Reply | undefined> {
    const begun = await begin(this.#session, this.#submission);
    if ("code" in begun) return begun;
    const { mail, draft } = begun;
    const stream = !this.#ended && !this._closed && start();
    this._dataStream = stream;
    this.#expectCommand(); // the same patience, to begin with
    if (!stream) await draft.discard();
    else this.#message = this.#finish(receive(paced(stream, this.#deadline), mail, draft, this.#submission));
    return undefined;
  }

  /** Reads what comes behind BDAT, which belongs to the message or is dropped; then says what there is to say. */
  async #expectChunk({ session, say }: Answer, chunk: Chunk): Promise<void> {
    await this.#become(session);
    const refusal = chunk.isWanted && !this._dataStream ? await this.#open(newStream) : undefined;
    if (!(this._parser instanceof Lines)) return; // the client went away
    this.#expectCommand();
    const stream = (chunk.isWanted && this._dataStream) || undefined;
    const raw = rawFor(chunk, stream, this.#deadline, () => {
      if (refusal) return this.#carryOut(answer(chunksRefused(this.#session), refusal));
      return stream && chunk.isLast ? this.#message : this.#carryOut(answer(this.#session, ...say));
    });
    this._parser.expectRaw(raw);
  }

  /** Says what became of the message, and goes on. */
  async #finish(outcome: ReturnType<typeof receive>): Promise<void> {
    try {
      const received = await outcome;
      if (!received) return; // the client is gone, or wants it no more
      this._dataStream = false;
      const errors = received.reply.code < 400 ? 0 : this.#session.errors + 1;
      await this.#carryOut({
        session: { ...this.#session, transaction: undefined, errors },
        say: [received.reply],
        next: received.hangUp ? "close" : "read",
      });
    } catch (error) {
      this.#fail("submission message", error);
    }
  }

  /** The client has shut its side down, and has its answers; what it left unfinished is dropped. */
  #left(): void {
    if (this.#isReceiving()) this._socket.destroy();
    else this.close();
  }

  #isReceiving(): boolean {
    return this._dataStream instanceof PassThrough && !this._dataStream.writableEnded;
  }

  #expectCommand(): void {
    const due = this.#submission.now() + this.#submission.patience.command;
    const { login } = this.#session;
    this.#deadline.set(login ? due : Math.min(due, this.#visit.loginDue, this.#stressedDue()));
  }

  #stressedDue(): number {
    const { now, patience } = this.#submission;
    return this.#visit.isStressed() ? now() + patience.stressed : Number.POSITIVE_INFINITY;
  }

  #late(): void {
    this.#journal.broke("timeout", this.#stage());
    this.#end(tooSlow);
  }

  #say(replies: readonly Reply[]): void {
    if (!this._upgrading) this.#speech.say(this._socket, replies);
  }

  /** Ends the session, with a last word where `last` is given. */
  #end(last?: Reply): void {
    this.#deadline.end();
    if (last && !this.#ended) this.#say([last]);
    this.#ended = true;
    this.#speech.flush();
    this.close();
    if (this._upgrading) this._socket.destroy(); // nobody can hear a goodbye amid a handshake
  }

  /** A fault of ours: it costs this client its connection and nobody else anything. */
  #fail(where: string, error: unknown): void {
    logBug(where, error);
    this.#end(internal);
  }

  #stage(): Stage {
    if (!this._dataStream || !this._parser) return "command";
    return this.#isReceiving() ? { octets: this._dataStream.byteLength } : "message";
  }
}

// The last words of sessions that end because of us.

export const stopping = reply(421, "4.3.2", "The server is being restarted, please try again in a moment");
export const shutOut = reply(421, "4.7.0", "This login was disabled, please ask those who run this server");
export const changed = reply(421, "4.7.0", "This login was changed or removed, please log in again");
export const tooMany = reply(421, "4.3.2", "Too many connections, please try again in a few minutes");
export const tooSlow = reply(421, "4.4.2", "Timeout, closing the connection");
export const internal = reply(421, "4.3.0", "Internal error, sorry; it has been noted");

/** RFC 7504: closed with it. */
export const tooSoon = reply(521, "5.5.1", "Protocol error: the server speaks first");

// Replies on their way to the client's socket.

export interface Speech {
  /** Says one reply, or the lines of a multi-line one; nothing where nobody can hear it any more. */
  say(socket: Socket, replies: readonly Reply[]): void;
  /** Sends what was said off. */
  flush(): void;
}

/** What pipelined commands are answered in one go is sent in one go (RFC 2920 section 3.2). */
export function newSpeech(): Speech {
  let corked: Socket | undefined;

  function flush(): void {
    corked?.uncork();
    corked = undefined;
  }

  return {
    say(socket, replies) {
      if (replies.length === 0 || !socket.writable) return;
      if (corked === undefined) {
        corked = socket;
        socket.cork();
        process.nextTick(flush);
      }
      socket.write(onTheWire(replies));
    },
    flush,
  };
}

/** RFC 5321 section 4.2.1: a hyphen behind the code of every line but the last. */
function onTheWire(replies: readonly Reply[]): string {
  return replies
    .map((line, index) => {
      const [code, rest] = [String(line.code), formatReply(line).slice(4)];
      // The blank stays where nothing follows: an empty challenge is "334 " (RFC 4954 section 4).
      return `${code}${index < replies.length - 1 ? "-" : " "}${rest}\r\n`;
    })
    .join("");
}

/** Resolves when the client has taken what it was told: one that never reads gets no more commands done. */
export function heard(socket: Socket): Promise<void> {
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

// Where our faults stop.

/**
 * Does what an event of `socket` leads to. Nobody stands above an event to catch what it throws: without this a fault
 * of ours would end the relay, with it the one client.
 */
export function guarded(socket: Socket, work: () => void): void {
  try {
    work();
  } catch (error) {
    logBug("submission session", error);
    socket.destroy();
  }
}

// The answer to a command where it depends on passwords or on the disk: what verbs.ts, which is pure, leaves open.

/** What is to be done after all, where `given` was the answer so far and `before` the session until then. */
export async function settled(before: Session, given: Answer, submission: Submission): Promise<Answer> {
  const { session, next } = given;
  if (typeof next === "object" && "login" in next) {
    // Asked for before the check: who is let in by a hash that goes meanwhile is sent away at the next command.
    const hashes = (before.exchange && before.asked) ?? (await submission.hashes(next.login));
    return remembering(hashes, await settle(session, next, submission));
  }
  if (before.transaction || !session.transaction) return given;
  const refusal = await noRoom(submission, before, session.transaction.parameters.size ?? 0);
  return refusal ? answer(before, refusal) : given;
}

/** With what the login was let in, once it is; until then what its keys were when they were asked for. */
function remembering(hashes: readonly string[], given: Answer): Answer {
  const { session } = given;
  const { login, exchange } = session;
  const asked = exchange ? hashes : undefined;
  return { ...given, session: { ...session, asked, login: login && { ...login, hashes } } };
}
