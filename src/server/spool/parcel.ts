/**
 * Messages on their way from one spool to another, with all that their envelopes know: lines of JSON, and behind the line of
 * a message its octets. A running relay takes it through its control socket, and ssh carries it between hosts.
 * man/tpa-submit-spool.5, PARCELS, describes it.
 */
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import type { Envelope } from "./envelope.ts";
import { formatEnvelopeLine, isDamaged, parseEnvelope } from "./envelope-file.ts";
import { formatHistory, type History, parseHistory } from "./history.ts";
import { hostName, mark } from "./owner.ts";
import { isQueueId } from "./queue-id.ts";
import { fieldsOf, is, type JsonField, list, Mismatch, oneOf, record } from "./strict-json.ts";

/** From whom a parcel comes. */
export interface ParcelSender {
  /** "take": all that a dead host's spool had. "drain": what a living one hands over. */
  readonly kind: "take" | "drain";
  /** Under which the receiver notes what it has: the same where a parcel is sent again. */
  readonly handover: string;
  /** The spool that the messages leave, and its host. */
  readonly spool: string;
  readonly host: string;
}

/** A login that is shut out. */
export interface FrozenEntry {
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly by: string;
  readonly reason: string;
}

/** What a login has sent that still counts. */
export interface SentEntry {
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly messages: number;
  readonly recipients: number;
  readonly newRecipients: number;
}

/** What stands in a line. */
export type ParcelLine =
  | { readonly is: "sender"; readonly sender: ParcelSender }
  | { readonly is: "frozen"; readonly frozen: readonly FrozenEntry[] }
  | { readonly is: "sent"; readonly sent: readonly SentEntry[] }
  | { readonly is: "message"; readonly envelope: Envelope; readonly history: History }
  /** The receiver answers for all before it, once that is durable. */
  | { readonly is: "commit" };

const text: JsonField<string> = is("a text", (found) => typeof found === "string");
const whole: JsonField<number> = is(
  "a whole number",
  (found): found is number => Number.isSafeInteger(found) && Number(found) >= 0,
);
const version: JsonField<1> = is("1", (found): found is 1 => found === 1);
const queueId: JsonField<string> = is(
  "a queue ID",
  (found): found is string => typeof found === "string" && isQueueId(found),
);

interface MessageLine {
  readonly message: string;
  readonly envelope: string;
  readonly history: string;
}

const senderField = record<{ readonly parcel: 1 } & ParcelSender>({
  parcel: version,
  kind: oneOf("take", "drain"),
  handover: mark,
  spool: mark,
  host: hostName,
});
const frozenField = record<{ readonly frozen: readonly FrozenEntry[] }>({
  frozen: list(record<FrozenEntry>({ login: text, at: whole, by: text, reason: text })),
});
const sentField = record<{ readonly sent: readonly SentEntry[] }>({
  sent: list(
    record<SentEntry>({ login: text, at: whole, messages: whole, recipients: whole, newRecipients: whole }),
  ),
});
const messageField = record<MessageLine>({ message: queueId, envelope: text, history: text });

/** The line, with its end. Behind that of a message its octets follow, as many as the envelope says, and one more LF. */
export function formatLine(line: ParcelLine): Buffer {
  return Buffer.from(`${JSON.stringify(asValue(line))}\n`);
}

function asValue(line: ParcelLine): unknown {
  switch (line.is) {
    case "sender":
      return senderField.write({ parcel: 1, ...line.sender }, "");
    case "frozen":
      return frozenField.write({ frozen: line.frozen }, "");
    case "sent":
      return sentField.write({ sent: line.sent }, "");
    case "message": {
      const { envelope, history } = line;
      const parts = { envelope: formatEnvelopeLine(envelope), history: formatHistory(history) };
      return messageField.write({ message: envelope.id, ...parts }, "");
    }
    case "commit":
      return { commit: true };
  }
}

/** Throws a Failure where it is none. */
export function parseLine(line: string): ParcelLine {
  try {
    const found: unknown = JSON.parse(line);
    const fields = fieldsOf(found, "");
    if ("parcel" in fields) {
      const { parcel: _, ...sender } = senderField.read(found, "");
      return { is: "sender", sender };
    }
    if ("frozen" in fields) return { is: "frozen", ...frozenField.read(found, "") };
    if ("sent" in fields) return { is: "sent", ...sentField.read(found, "") };
    if ("commit" in fields) return { is: "commit" };
    const { message, envelope: json, history } = messageField.read(found, "");
    const envelope = parseEnvelope(json, message, message);
    if (isDamaged(envelope)) throw new Failure(exitStatus.data, `not a parcel: ${envelope.damaged}`);
    return { is: "message", envelope, history: parseHistory(history) };
  } catch (error) {
    if (error instanceof Mismatch) throw new Failure(exitStatus.data, `not a parcel: ${error.message}`);
    if (error instanceof SyntaxError) throw new Failure(exitStatus.data, "not a parcel: expected JSON");
    throw error;
  }
}

/** Octets of a line: an envelope of 100 000 recipients. Our choice. */
const longestLine = 64 * 1024 * 1024;

export interface ParcelReader {
  /** The next line without its end; undefined at the end. Throws a Failure where it is too long or cut short. */
  line(): Promise<string | undefined>;
  /** The next octets, to be read to their end before anything else, and the LF behind them. Throws a Failure where they are cut short. */
  octets(count: number): AsyncGenerator<Buffer>;
}

/** Reads each octet once. */
export function newParcelReader(source: AsyncIterable<Uint8Array>): ParcelReader {
  const chunks = source[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);

  /** False at the end. */
  async function more(): Promise<boolean> {
    const { value, done } = await chunks.next().catch((error: unknown) => {
      throw errorCode(error) === "" ? error : cutShort(); // the connection broke
    });
    if (done === true) return false;
    rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return true;
  }

  async function* octets(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (rest.length === 0 && !(await more())) throw cutShort();
      const some = rest.subarray(0, left);
      rest = rest.subarray(some.length);
      left -= some.length;
      if (some.length > 0) yield some;
    }
    while (rest.length === 0) if (!(await more())) throw cutShort();
    if (rest[0] !== 0x0a) throw new Failure(exitStatus.data, "not a parcel: expected the end of a message");
    rest = rest.subarray(1);
  }

  return {
    octets,
    async line() {
      const parts: Buffer[] = [];
      let length = 0;
      for (;;) {
        const end = rest.indexOf(0x0a);
        if (end >= 0) {
          parts.push(rest.subarray(0, end));
          rest = rest.subarray(end + 1);
          return Buffer.concat(parts).toString("utf8");
        }
        parts.push(rest);
        length += rest.length;
        if (length > longestLine) throw new Failure(exitStatus.data, "not a parcel: a line is too long");
        if (await more()) continue;
        if (length > 0) throw cutShort();
        return undefined;
      }
    },
  };
}

const cutShort = (): Failure => new Failure(exitStatus.unavailable, "the parcel ends too early");
