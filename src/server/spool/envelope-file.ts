/**
 * The envelope as it lies on disk: one JSON object, `version` first, one line per recipient, times as people write
 * them. man/tpa-submit-spool.5 describes it. Each field of the type is a row below; the compiler misses none.
 */
import type { Envelope, Held, LastReply, Recipient } from "./envelope.ts";
import {
  fieldsOf,
  is,
  type JsonField,
  type JsonFields,
  list,
  listOfSome,
  Mismatch,
  oneOf,
  optional,
  record,
} from "./strict-json.ts";

const version = 2;

/** Envelopes of version 1 are read as well: they are the same without these fields, and become 2 when written anew. */
const sinceVersion2: readonly (keyof Envelope)[] = ["requireTls", "tlsOptional", "drop", "held", "relay"];

export const text: JsonField<string> = is("a text", (found) => typeof found === "string");
const textOrNull: JsonField<string | null> = is(
  "a text or null",
  (found) => found === null || typeof found === "string",
);
const flag: JsonField<boolean> = is("true or false", (found) => typeof found === "boolean");
const count: JsonField<number> = is("a whole number", (found) =>
  wholeNumber(found, 0, Number.MAX_SAFE_INTEGER),
);
const replyCode: JsonField<number> = is("200 to 599", (found) => wholeNumber(found, 200, 599));

/** The last one read: a new message is due when it was accepted. */
let lastTime = { text: "", value: Number.NaN };

/** Milliseconds since the epoch in the program, "2026-11-22T14:11:00.000Z" in the file. */
export const time: JsonField<number> = {
  read(found, at) {
    if (found === lastTime.text) return lastTime.value;
    const moment = new Date(typeof found === "string" ? found : Number.NaN);
    const value = moment.getTime();
    if (Number.isNaN(value) || moment.toISOString() !== found) {
      throw new Mismatch(at, "a time such as 2026-11-22T14:11:00.000Z", found);
    }
    lastTime = { text: found, value };
    return value;
  },
  write: (value) => new Date(value).toISOString(),
};

export const replyRows: JsonFields<LastReply> = {
  code: replyCode,
  status: text,
  text,
  relay: text,
  command: text,
  at: time,
};

const recipientRows: JsonFields<Recipient> = {
  address: text,
  state: oneOf("waiting", "delivered", "failed", "expired"),
  reply: optional(record(replyRows)),
  notify: optional(list(oneOf("NEVER", "SUCCESS", "FAILURE", "DELAY"))),
  orcpt: optional(text),
};

const heldRows: JsonFields<Held> = { at: time, by: text, reason: text };

const envelopeRows: JsonFields<Envelope> = {
  id: text,
  accepted: time,
  login: textOrNull,
  sender: text,
  size: count,
  eightBit: flag,
  smtputf8: flag,
  envid: optional(text),
  ret: optional(oneOf("FULL", "HDRS")),
  requireTls: optional(flag),
  tlsOptional: optional(flag),
  drop: optional(text),
  held: optional(record(heldRows)),
  relay: optional(text),
  attempts: count,
  due: time,
  warned: flag,
  recipients: listOfSome(record(recipientRows)),
};

const envelopeField = record(envelopeRows, "version");

/** What cannot be used: names the file, the field, what was expected and what stands there. One line. */
export interface Damaged {
  readonly damaged: string;
}

/** Tells the one outcome of reading an envelope from the other. */
export function isDamaged<Sound extends object>(read: Sound | Damaged): read is Damaged {
  return "damaged" in read;
}

/**
 * The text to write for `envelope`. Throws where it could not be read back (a time that is none, half an octet):
 * that is a bug, and better met before the promise than after.
 */
export function formatEnvelope(envelope: Envelope): string {
  const fields = Object.entries(writeFields(envelope));
  return `{\n${fields.map(([key, value]) => `  "${key}": ${formatValue(value)}`).join(",\n")}\n}\n`;
}

/** The same as one line without its end, for the journal. */
export function formatEnvelopeLine(envelope: Envelope): string {
  return JSON.stringify(writeFields(envelope));
}

function writeFields(envelope: Envelope): Record<string, unknown> {
  return { version, ...fieldsOf(envelopeField.write(envelope, ""), "") };
}

function formatValue(value: unknown): string {
  if (!Array.isArray(value) || value.length === 0) return JSON.stringify(value);
  return `[\n${value.map((item) => `    ${JSON.stringify(item)}`).join(",\n")}\n  ]`;
}

/**
 * Reads the text of the file `file`, which must hold the envelope `id`.
 * Nothing is guessed: a missing or ill-typed field, another version and an unknown field are all damage. Unknown
 * fields are not passed over, because what a field of a later version asks for ("hold this") would be disobeyed now
 * and lost with the next change of state.
 */
export function parseEnvelope(text: string, id: string, file: string): Envelope | Damaged {
  try {
    const fields = fieldsOf(parseJson(text), "");
    const { version: found } = fields;
    if (found !== version && found !== 1) throw new Mismatch("version", `1 or ${String(version)}`, found);
    const early = sinceVersion2.find((key) => found === 1 && Object.hasOwn(fields, key));
    if (early) throw new Mismatch("", "no unknown field in version 1", { [early]: fields[early] });
    const envelope = envelopeField.read(fields, "");
    if (envelope.id !== id) throw new Mismatch("id", `"${id}", the file's name`, envelope.id);
    return envelope;
  } catch (error) {
    if (error instanceof Mismatch) return { damaged: `${file}: ${error.message}` };
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Mismatch("", "a JSON object", text); // JSON's own words may quote control characters
  }
}

function wholeNumber(found: unknown, least: number, most: number): found is number {
  return Number.isInteger(found) && least <= Number(found) && Number(found) <= most;
}
