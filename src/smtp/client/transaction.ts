/**
 * One mail transaction (RFC 5321 section 3.3, RFC 2033): MAIL, RCPT and DATA, in one piece where the server has
 * PIPELINING (RFC 2920), then the message, read and sent piece by piece. Replies are told apart by the command that they
 * answer; what they mean for anybody's mail is the caller's to say.
 *
 * Commands are written by `sendEnvelope` and replies read in order, so that another transaction's commands may stand in
 * the server's way behind the final dot of this one.
 */
import { Readable } from "node:stream";
import { type BrokenConnection, type Connection, isClosing, isPositive } from "./connection.ts";

/** The commands, whole but for their line ends. */
export interface EnvelopeCommands {
  readonly mail: string;
  readonly recipients: readonly string[];
}

/** What a reply answers, as Postfix's log calls it. */
export type TransactionCommand = "MAIL FROM" | "RCPT TO" | "DATA" | "end of DATA";

/** How it ended for the recipients that nothing else was said about. */
export type TransactionEnding =
  /** `isEarly`: before the server had all of the message. */
  | {
      readonly kind: "reply";
      readonly command: TransactionCommand;
      readonly text: string;
      readonly isEarly: boolean;
    }
  /** A 421 in answer to something else, with which all that was to come is void. */
  | { readonly kind: "closing"; readonly text: string }
  | BrokenConnection
  /** The server did not answer RSET as it should; nothing was said of this transaction, and the connection is closed. */
  | { readonly kind: "unreset" }
  /** The message cannot be read; the server did not get its end. */
  | { readonly kind: "unreadable"; readonly error: unknown };

export interface TransactionResult {
  /** Recipients that RCPT was refused for, by their place among the commands. */
  readonly refused: ReadonlyMap<number, string>;
  /** How many were not. */
  readonly accepted: number;
  /** LMTP: what was said about each recipient at the end of the message. */
  readonly finals: ReadonlyMap<number, { readonly text: string; readonly isEarly: boolean }>;
  readonly ending: TransactionEnding;
  /** DATA was taken: the server waits for the message. */
  readonly begun: boolean;
  /** All of it has, and its end. */
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
  /** Told with each octet that moves, and once when all is said and only the answer is to come. */
  readonly progress?: (what: "moving" | "waiting") => void;
}

/** How the server took the envelope. */
interface EnvelopeResult {
  readonly refused: Map<number, string>;
  readonly accepted: readonly number[];
  /** Absent where the message is to follow. */
  readonly ending?: TransactionEnding;
}

/**
 * Runs a transaction. `body` has CRLF line ends, dots as they are. One that is read is read no further than it is sent; a
 * small one in memory goes out in one piece with its end.
 */
export async function runTransaction(
  connection: Connection,
  commands: EnvelopeCommands,
  body: Readable | Uint8Array,
  options: TransactionOptions,
): Promise<TransactionResult> {
  const { progress } = options;
  connection.onReply = () => progress?.("moving");
  const stream = body instanceof Uint8Array ? undefined : body;
  stream?.on("error", () => undefined); // known when it is read
  try {
    progress?.("moving");
    const { refused, accepted, ending } = connection.offers("PIPELINING")
      ? await sendTogether(connection, commands, options)
      : await sendEach(connection, commands, options);
    const envelope = { refused, accepted: accepted.length };
    if (ending) return { ...envelope, finals: new Map(), ending, begun: false, whole: false };
    return { ...envelope, ...(await sendMessage(connection, accepted, body, options)) };
  } finally {
    stream?.destroy();
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
  return { refused: new Map(), accepted: [], ending: { kind: "unreset" } };
}

/** RFC 2920 section 3.1: all in one piece; DATA has to be the last, and all replies are to be read. */
async function sendTogether(
  connection: Connection,
  { mail, recipients }: EnvelopeCommands,
  options: TransactionOptions,
): Promise<EnvelopeResult> {
  const { signal, reset } = options;
  connection.write(...(reset === undefined ? [] : ["RSET"]), mail, ...recipients, "DATA");
  const unreset = reset === undefined ? undefined : await readReset(connection, options);
  if (unreset) return unreset;
  const sender = await connection.read(signal);
  const refused = new Map<number, string>();
  const accepted: number[] = [];
  const ended = (ending: TransactionEnding): EnvelopeResult => ({ refused, accepted, ending });
  if (sender.kind !== "reply") return ended(sender);
  const mailRefused = isPositive(sender) ? undefined : refusal("MAIL FROM", sender.text);
  if (isClosing(sender.text)) return ended(refusal("MAIL FROM", sender.text));
  for (const number of recipients.keys()) {
    const answer = await connection.read(signal);
    // What is said of recipients after the sender was refused is about the wrong order, not about them.
    if (answer.kind !== "reply") return ended(mailRefused ?? answer);
    if (isPositive(answer)) accepted.push(number);
    else refused.set(number, answer.text);
    if (isClosing(answer.text)) return ended(mailRefused ?? { kind: "closing", text: answer.text });
  }
  const data = await connection.read(signal);
  if (data.kind !== "reply") return ended(mailRefused ?? data);
  if (!isGoAhead(data.text)) return ended(mailRefused ?? refusal("DATA", data.text));
  if (mailRefused) {
    connection.close(); // it takes a message from nobody: whatever follows could be read as one
    return ended(mailRefused);
  }
  if (accepted.length > 0) return { refused, accepted };
  connection.write("."); // to nobody: RFC 2920 section 3.1 has it ended at once
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

/** RFC 5321 section 4.3.2: 354. After a 250 the message would be read as commands. */
const isGoAhead = (text: string): boolean => text.startsWith("3");

/** The message goes out while replies are read: a server need not wait for its end to refuse it. */
async function sendMessage(
  connection: Connection,
  accepted: readonly number[],
  body: Readable | Uint8Array,
  { signal, finalPatience, progress }: TransactionOptions,
): Promise<Omit<TransactionResult, "refused" | "accepted">> {
  const isLmtp = connection.protocol === "lmtp";
  const finals = new Map<number, { text: string; isEarly: boolean }>();
  const sending: SendState = { isOver: false, stop: () => undefined };
  let whole = false;
  let ending: TransactionEnding | undefined;

  /** Reads what is said about the message: all of it, or what comes before the sending is over. */
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
  const reading = readReplies(false).then(() => sending.stop());
  const result =
    body instanceof Uint8Array && body.length <= turn && connection.isQuiet
      ? await sendAtOnce(connection, body, sending, signal)
      : await sendBody(
          connection,
          body instanceof Uint8Array ? Readable.from([body]) : body,
          sending,
          signal,
          progress,
        );
  whole = result.kind === "sent";
  sending.isOver = true;
  connection.interrupt();
  await reading;
  if (whole && ending === undefined) {
    progress?.("waiting");
    await readReplies(true);
  }
  const last = ending ?? (result.kind === "sent" ? { kind: "lost" as const } : result);
  return { finals, ending: last, begun: true, whole };
}

type SendResult =
  | Exclude<TransactionEnding, { kind: "reply" } | { kind: "closing" }>
  | { readonly kind: "sent" };

/** Where whoever reads replies tells that there is no use in sending more. */
interface SendState {
  isOver: boolean;
  stop: () => void;
}

/** Octets of the message that are looked at in one turn of the event loop; our choice. */
const turn = 64 * 1024;

/** The message and its end in one piece. */
async function sendAtOnce(
  connection: Connection,
  body: Uint8Array,
  sending: SendState,
  signal: AbortSignal,
): Promise<SendResult> {
  const stuffing = newDotStuffing();
  const stopped = new Promise<"stopped">((resolve) => {
    sending.stop = () => resolve("stopped");
  });
  const taken = connection.send(Buffer.concat([stuffing.next(body), stuffing.end()]), signal);
  const broken = await Promise.race([stopped, taken]);
  if (broken === "stopped") return { kind: "late" };
  if (broken === undefined) connection.state = "sending end of data";
  return broken ?? { kind: "sent" };
}

async function sendBody(
  connection: Connection,
  body: Readable,
  sending: SendState,
  signal: AbortSignal,
  progress: TransactionOptions["progress"],
): Promise<SendResult> {
  const stuffing = newDotStuffing();
  const chunks = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  // A body that says nothing any more may not even hear that it is destroyed, and a server may take nothing any more.
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
        connection.state = "sending end of data";
        return (await connection.send(stuffing.end(), signal)) ?? { kind: "sent" };
      }
      progress?.("moving"); // as fast as the server takes them
      for (let at = 0; at < next.value.length && !sending.isOver; at += turn) {
        const taken = connection.send(stuffing.next(next.value.subarray(at, at + turn)), signal);
        const broken = await Promise.race([stopped, taken]);
        if (broken !== undefined && broken !== "stopped") return broken;
      }
    }
    return { kind: "late" };
  } catch (error) {
    return { kind: "unreadable", error };
  }
}

/**
 * A message as it goes behind DATA: CRLF line ends, a dot in front of each line that begins with one (RFC 5321 section
 * 4.5.2), and the lone dot that ends it.
 */

export interface DotStuffing {
  /** The next octets of the message as they go over the wire. */
  next(piece: Uint8Array): Buffer;
  /** What ends the message; nothing may follow. */
  end(): Buffer;
}

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;

const lone = Buffer.from(".\r\n");

/**
 * A bare CR and a bare LF become CRLF: some hosts take them for the end of a line, and would see the end of the message
 * in a dot between two of them (RFC 5321 section 2.3.8).
 */
export function newDotStuffing(): DotStuffing {
  let last = lf; // a message begins with a line

  return {
    next(piece) {
      const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      let out: Buffer | undefined; // made where anything is missing
      let length = 0; // of what is in it
      let from = 0; // what comes next from the message
      for (let at = 0; at < octets.length; at++) {
        const octet = octets[at] ?? 0;
        if (octet > dot && last !== cr) {
          last = octet; // nearly all of them
          continue;
        }
        const missing = between(last, octet);
        last = octet;
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

/** What has to stand between two octets of the message. */
function between(last: number, octet: number): Buffer | undefined {
  if (last === cr && octet !== lf) return octet === dot ? missingLfDot : missingLf;
  if (octet === lf && last !== cr) return missingCr;
  return octet === dot && last === lf ? missingDot : undefined;
}
