/**
 * One mail transaction (RFC 5321 section 3.3, RFC 2033): MAIL, RCPT and DATA, in one piece if the server has PIPELINING
 * (RFC 2920), maybe behind the end of the message before, then the message, read and sent piece by piece. The result
 * says which command each reply answers; the caller decides what it means for the mail.
 */
import { Readable } from "node:stream";
import { PlainOctets } from "../plain-octets.ts";
import { type BrokenConnection, type Connection, isClosing, isPositive } from "./connection.ts";

/** The commands, without line ends. */
export interface EnvelopeCommands {
  readonly mail: string;
  readonly recipients: readonly string[];
}

/** The command that a reply answers, as in Postfix's log. */
export type TransactionCommand = "MAIL FROM" | "RCPT TO" | "DATA" | "end of DATA";

/** How it ended, for all recipients without a reply of their own. */
export type TransactionEnding =
  /** `isEarly`: before the server had the whole message. */
  | {
      readonly kind: "reply";
      readonly command: TransactionCommand;
      readonly text: string;
      readonly isEarly: boolean;
    }
  /** A 421 to another command, after which no further reply comes. */
  | { readonly kind: "closing"; readonly text: string }
  | BrokenConnection
  /**
   * The server did not answer RSET as it should, or the transaction before left it in doubt whose the replies are: nothing
   * was said of this transaction, and the connection is of no use for another.
   */
  | { readonly kind: "unreset" }
  /** The message could not be read, and its end was not sent. */
  | { readonly kind: "unreadable"; readonly error: unknown }
  /** Its end was not sent, since `mayEnd` said no. */
  | { readonly kind: "withdrawn" };

export interface TransactionResult {
  /** Replies to refused RCPT commands, by their index. */
  readonly refused: ReadonlyMap<number, string>;
  /** How many RCPT commands were accepted. */
  readonly accepted: number;
  /** LMTP: each recipient's reply to the end of the message. */
  readonly finals: ReadonlyMap<number, { readonly text: string; readonly isEarly: boolean }>;
  readonly ending: TransactionEnding;
  /** DATA was accepted: the server waits for the message. */
  readonly begun: boolean;
  /** The whole message was sent, with its end. */
  readonly whole: boolean;
}

export interface TransactionOptions {
  readonly signal: AbortSignal;
  /** Milliseconds of silence after the end of the message. */
  readonly finalPatience: number;
  /**
   * Says RSET before MAIL, in the same piece where the server has PIPELINING (RFC 2920 section 3.1), and waits for its answer
   * no longer than so many milliseconds.
   */
  readonly reset?: number;
  /**
   * MAIL goes behind the end of another message whose reply has not come yet (RFC 2920 section 3.1): resolves when all of its
   * replies have been read, to what they were; to undefined if no reply follows, or nobody may wait for it any longer.
   */
  readonly before?: Promise<"accepted" | "refused" | undefined>;
  /** Called when octets move, and once when everything has been sent and only the reply is missing. */
  readonly progress?: (what: "moving" | "waiting") => void;
  /** Asked right before the end of the message is sent; where it says no, the session ends without it, and nothing was sent. */
  readonly mayEnd?: () => boolean;
}

/** A stream that reads into the memory of its pieces again, once they are given back. */
interface ReusingBody {
  giveBack(piece: Uint8Array): void;
}

/** The server's replies to the envelope. */
interface EnvelopeResult {
  readonly refused: Map<number, string>;
  readonly accepted: readonly number[];
  /** Absent if the message follows. */
  readonly ending?: TransactionEnding;
}

/**
 * Runs a transaction. `body` has CRLF line ends and no stuffed dots. A stream is read only as fast as it is sent; a small
 * message in memory is sent in one piece with its end.
 */
export async function runTransaction(
  connection: Connection,
  commands: EnvelopeCommands,
  body: Readable | Uint8Array,
  options: TransactionOptions,
): Promise<TransactionResult> {
  const { before } = options;
  const stream = body instanceof Uint8Array ? undefined : body;
  stream?.on("error", () => undefined); // noticed when it is read
  try {
    options.progress?.("moving");
    if (before === undefined) return await runAlone(connection, commands, body, options);
    connection.sendAhead(...linesOf(commands));
    const last = await unlessRaised(before, options.signal);
    if (last !== undefined) return await runBehind(last, connection, commands, body, options);
    const nothing = { refused: new Map(), accepted: 0, finals: new Map(), begun: false, whole: false };
    return { ...nothing, ending: { kind: "unreset" } };
  } finally {
    stream?.destroy();
  }
}

/** What `promise` resolves to; undefined as soon as `signal` is raised. */
function unlessRaised<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
    if (signal.aborted) resolve(undefined);
    void promise.then(resolve);
  });
}

const linesOf = ({ mail, recipients }: EnvelopeCommands): readonly string[] => [mail, ...recipients, "DATA"];

/** Nothing is on its way: the connection is ours. */
function runAlone(
  connection: Connection,
  commands: EnvelopeCommands,
  body: Readable | Uint8Array,
  options: TransactionOptions,
): Promise<TransactionResult> {
  const sendEnvelope = connection.offers("PIPELINING") ? sendTogether : sendEach;
  return runFrom(() => sendEnvelope(connection, commands, options), connection, body, options);
}

/**
 * The commands are on their way behind another message, and the next replies should be about them. A reply that nobody asked
 * for would shift them all, and a recipient could be refused for another's sake. 354 in its place says that none did. Without
 * it, RSET must be answered with success and nothing else be left over, or nothing counts. Nor does it where the server
 * refused the message before, and may have kept its sender, contrary to RFC 5321 section 4.1.1.4.
 */
function runBehind(
  last: "accepted" | "refused",
  connection: Connection,
  commands: EnvelopeCommands,
  body: Readable | Uint8Array,
  options: TransactionOptions,
): Promise<TransactionResult> {
  connection.state = "sending DATA";
  const readInStep = async (): Promise<EnvelopeResult> => {
    const result = await readEnvelope(connection, commands, options);
    if (result.ending?.kind !== "reply" || isClosing(result.ending.text)) return result;
    if (last === "accepted") {
      connection.write("RSET");
      const unreset = await readReset(connection, options);
      if (unreset === undefined && connection.isQuiet) return result;
    }
    connection.close();
    return notReset;
  };
  return runFrom(readInStep, connection, body, options);
}

/** Runs the transaction, whose envelope `sendEnvelope` sends, or reads the replies to. */
async function runFrom(
  sendEnvelope: () => Promise<EnvelopeResult>,
  connection: Connection,
  body: Readable | Uint8Array,
  options: TransactionOptions,
): Promise<TransactionResult> {
  connection.onReply = () => options.progress?.("moving");
  try {
    const { refused, accepted, ending } = await sendEnvelope();
    const envelope = { refused, accepted: accepted.length };
    if (ending) return { ...envelope, finals: new Map(), ending, begun: false, whole: false };
    return { ...envelope, ...(await sendMessage(connection, accepted, body, options)) };
  } finally {
    connection.onReply = undefined;
  }
}

/** Reads the answer to RSET: undefined where the server is back at the state before MAIL (RFC 5321 section 4.1.1.5). */
async function readReset(
  connection: Connection,
  { signal, reset = connection.patience }: TransactionOptions,
): Promise<EnvelopeResult | undefined> {
  const answer = await connection.read(signal, Math.min(reset, connection.patience));
  if (isPositive(answer)) return undefined;
  connection.close();
  return notReset;
}

const notReset: EnvelopeResult = { refused: new Map(), accepted: [], ending: { kind: "unreset" } };

/** RFC 2920 section 3.1: all in one piece; DATA must come last, and all replies must be read. */
async function sendTogether(
  connection: Connection,
  commands: EnvelopeCommands,
  options: TransactionOptions,
): Promise<EnvelopeResult> {
  const { reset } = options;
  connection.write(...(reset === undefined ? [] : ["RSET"]), ...linesOf(commands));
  const unreset = reset === undefined ? undefined : await readReset(connection, options);
  return unreset ?? readEnvelope(connection, commands, options);
}

/** Reads the replies to commands that were sent together. */
async function readEnvelope(
  connection: Connection,
  { recipients }: EnvelopeCommands,
  { signal }: TransactionOptions,
): Promise<EnvelopeResult> {
  const sender = connection.readHere() ?? (await connection.read(signal));
  const refused = new Map<number, string>();
  const accepted: number[] = [];
  const ended = (ending: TransactionEnding): EnvelopeResult => ({ refused, accepted, ending });
  if (sender.kind !== "reply") return ended(sender);
  const mailRefused = isPositive(sender) ? undefined : refusal("MAIL FROM", sender.text);
  if (isClosing(sender.text)) return ended(refusal("MAIL FROM", sender.text));
  for (const number of recipients.keys()) {
    const answer = connection.readHere() ?? (await connection.read(signal));
    // After a refused MAIL, replies to RCPT are about the order of commands, not about recipients.
    if (answer.kind !== "reply") return ended(mailRefused ?? answer);
    if (isPositive(answer)) accepted.push(number);
    else refused.set(number, answer.text);
    if (isClosing(answer.text)) return ended(mailRefused ?? { kind: "closing", text: answer.text });
  }
  const data = connection.readHere() ?? (await connection.read(signal));
  if (data.kind !== "reply") return ended(mailRefused ?? data);
  if (!isGoAhead(data.text)) return ended(mailRefused ?? refusal("DATA", data.text));
  if (mailRefused) {
    connection.close(); // the server expects a message without a sender: whatever follows could be read as one
    return ended(mailRefused);
  }
  if (accepted.length > 0) return { refused, accepted };
  connection.write("."); // no recipient: RFC 2920 section 3.1 wants it ended at once
  const end = await connection.read(signal);
  return ended(end.kind === "reply" ? refusal("DATA", end.text) : end);
}

/** One by one, each reply before the next command. */
async function sendEach(
  connection: Connection,
  { mail, recipients }: EnvelopeCommands,
  options: TransactionOptions,
): Promise<EnvelopeResult> {
  const { signal, reset } = options;
  if (reset !== undefined) {
    connection.write("RSET");
    const unreset = await readReset(connection, options);
    if (unreset) return unreset;
  }
  const refused = new Map<number, string>();
  const accepted: number[] = [];
  const ended = (ending: TransactionEnding): EnvelopeResult => ({ refused, accepted, ending });
  const sender = await connection.command(mail, signal);
  if (sender.kind !== "reply") return ended(sender);
  if (!isPositive(sender)) return ended(refusal("MAIL FROM", sender.text));
  let last = sender.text;
  for (const [number, recipient] of recipients.entries()) {
    const answer = await connection.command(recipient, signal);
    if (answer.kind !== "reply") return ended(answer);
    last = answer.text;
    if (isPositive(answer)) accepted.push(number);
    else refused.set(number, last);
    if (isClosing(last)) return ended({ kind: "closing", text: last });
  }
  if (accepted.length === 0) return ended(refusal("RCPT TO", last));
  const data = await connection.command("DATA", signal);
  if (data.kind !== "reply") return ended(data);
  return isGoAhead(data.text) ? { refused, accepted } : ended(refusal("DATA", data.text));
}

const refusal = (command: TransactionCommand, text: string): TransactionEnding => ({
  kind: "reply",
  command,
  text,
  isEarly: false,
});

/** RFC 5321 section 4.3.2: 354. After a 250, the message would be read as commands. */
const isGoAhead = (text: string): boolean => text.startsWith("3");

/** Sends the message while replies are read: a server may refuse it before its end. */
async function sendMessage(
  connection: Connection,
  accepted: readonly number[],
  body: Readable | Uint8Array,
  { signal, finalPatience, progress, mayEnd = always }: TransactionOptions,
): Promise<Omit<TransactionResult, "refused" | "accepted">> {
  const isLmtp = connection.protocol === "lmtp";
  const finals = new Map<number, { text: string; isEarly: boolean }>();
  const sending: SendState = { isOver: false, stop: () => undefined };
  let whole = false;
  let ending: TransactionEnding | undefined;

  /** Reads replies to the message: all of them, or those that come before sending is over. */
  async function readReplies(isAfter: boolean): Promise<void> {
    while (ending === undefined && (isAfter || !sending.isOver)) {
      const answer = await connection.read(signal, isAfter ? finalPatience : 0);
      if (answer.kind === "reply") note(answer.text);
      else if (isAfter || answer.kind !== "late" || signal.aborted) ending = answer;
    }
  }

  function note(text: string): void {
    const isEarly = !whole;
    const number = isLmtp ? accepted[finals.size] : undefined;
    if (number !== undefined) finals.set(number, { text, isEarly });
    if (!isLmtp || finals.size === accepted.length)
      ending = { kind: "reply", command: "end of DATA", text, isEarly };
    else if (isClosing(text)) ending = { kind: "closing", text };
  }

  connection.state = "sending message body";
  const isSmall = body instanceof Uint8Array && body.length <= small && connection.isQuiet;
  let result: SendResult = { kind: "sent" };
  if (isSmall && !mayEnd()) result = withdrawn;
  else if (isSmall && postWhole(connection, body)) {
    connection.state = "sending end of data";
    whole = true; // before any reply
  } else {
    const reading = readReplies(false).then(() => sending.stop());
    result = isSmall
      ? await waitUntilSent(connection, sending, signal)
      : await sendBody(connection, body instanceof Uint8Array ? Readable.from([body]) : body, sending, {
          signal,
          progress,
          mayEnd,
        });
    whole = result.kind === "sent";
    sending.isOver = true;
    connection.interrupt();
    await reading;
  }
  if (whole && ending === undefined) {
    progress?.("waiting");
    await readReplies(true);
  }
  const last = ending ?? (result.kind === "sent" ? { kind: "lost" as const } : result);
  return { finals, ending: last, begun: true, whole };
}

const always = (): boolean => true;

const withdrawn: SendResult = { kind: "withdrawn" };

type SendResult =
  | Exclude<TransactionEnding, { kind: "reply" } | { kind: "closing" }>
  | { readonly kind: "sent" };

/** How the reader of replies stops the sending. */
interface SendState {
  isOver: boolean;
  stop: () => void;
}

/** A message of so many octets is sent in one piece with its end. Our choice. */
const small = 64 * 1024;

/** Octets of a larger message that are processed in one turn of the event loop; our choice. */
const turn = 64 * 1024;

/** Sends the message and its end in one piece; returns what {@link Connection.post} does. */
function postWhole(connection: Connection, body: Uint8Array): boolean {
  const stuffing = newDotStuffing();
  connection.post(stuffing.next(body));
  return connection.post(stuffing.end());
}

/** Waits until the server has accepted what was sent. */
async function waitUntilSent(
  connection: Connection,
  sending: SendState,
  signal: AbortSignal,
): Promise<SendResult> {
  const stopped = new Promise<"stopped">((resolve) => {
    sending.stop = () => resolve("stopped");
  });
  const broken = await Promise.race([stopped, connection.drained(signal)]);
  if (broken === "stopped") return { kind: "late" };
  if (broken === undefined) connection.state = "sending end of data";
  return broken ?? { kind: "sent" };
}

const isReusing = (body: object): body is ReusingBody =>
  "giveBack" in body && typeof body.giveBack === "function";

interface SendOptions {
  readonly signal: AbortSignal;
  readonly progress: TransactionOptions["progress"];
  readonly mayEnd: () => boolean;
}

async function sendBody(
  connection: Connection,
  body: Readable,
  sending: SendState,
  { signal, progress, mayEnd }: SendOptions,
): Promise<SendResult> {
  const stuffing = newDotStuffing();
  const chunks = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  // A body may hang without noticing that it is destroyed, and a server may accept nothing more: neither may block us.
  const stopped = new Promise<"stopped">((resolve) => {
    sending.stop = () => {
      sending.isOver = true;
      resolve("stopped");
    };
  });
  try {
    while (!sending.isOver) {
      const next = await Promise.race([stopped, chunks.next()]);
      if (next === "stopped") break;
      if (next.done) {
        if (!mayEnd()) return withdrawn;
        connection.state = "sending end of data";
        return (await connection.send(stuffing.end(), signal)) ?? { kind: "sent" };
      }
      progress?.("moving"); // as fast as the server accepts them
      for (let at = 0; at < next.value.length && !sending.isOver; at += turn) {
        const taken = connection.send(stuffing.next(next.value.subarray(at, at + turn)), signal);
        const broken = await Promise.race([stopped, taken]);
        if (broken !== undefined && broken !== "stopped") return broken;
      }
      if (isReusing(body) && connection.isAllSent && !sending.isOver) body.giveBack(next.value);
    }
    return { kind: "late" };
  } catch (error) {
    return { kind: "unreadable", error };
  }
}

/**
 * A message as it is sent after DATA: CRLF line ends, a dot in front of each line that begins with one (RFC 5321
 * section 4.5.2), and the lone dot that ends it.
 */
export interface DotStuffing {
  /** The next octets as they are sent. */
  next(piece: Uint8Array): Buffer;
  /** The end of the message; nothing may follow. */
  end(): Buffer;
}

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

/** Stands for any octet of a line but CR and LF: nothing is missing behind it but before LF. */
const plain = 0x41;

const lone = Buffer.from(".\r\n");

/**
 * A bare CR and a bare LF become CRLF: some hosts treat them as line ends, and would take a dot between two of them for
 * the end of the message (RFC 5321 section 2.3.8).
 */
export function newDotStuffing(): DotStuffing {
  let last = lf; // a message begins with a line

  return {
    next(piece) {
      const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      let out: Buffer | undefined; // made only if anything must be added
      let length = 0; // of its content
      let from = 0; // where the rest of the piece begins
      const end = octets.length;
      const line = new PlainOctets(octets);
      for (let at = 0; at < end; at++) {
        if (last === plain) {
          at = line.skip(at); // nearly all of them
          if (at === end) break;
        }
        const octet = octets[at] ?? 0;
        const missing = between(last, octet);
        last = octet === cr || octet === lf ? octet : plain;
        if (missing === undefined) continue;
        out ??= Buffer.allocUnsafe(2 * octets.length + 1); // two for the first octet, and one for each of the others
        length += octets.copy(out, length, from, at);
        length += missing.copy(out, length);
        from = at;
      }
      if (out === undefined) return octets;
      length += octets.copy(out, length, from);
      return out.subarray(0, length);
    },
    end: () => (last === lf ? lone : Buffer.concat([last === cr ? missingLf : missingLine, lone])),
  };
}

const missingCr = Buffer.from("\r");
const missingLf = Buffer.from("\n");
const missingLfDot = Buffer.from("\n.");
const missingDot = Buffer.from(".");
const missingLine = Buffer.from("\r\n");

/** What must be added between two octets of the message. */
function between(last: number, octet: number): Buffer | undefined {
  if (last === cr && octet !== lf) return octet === dot ? missingLfDot : missingLf;
  if (octet === lf && last !== cr) return missingCr;
  return octet === dot && last === lf ? missingDot : undefined;
}
