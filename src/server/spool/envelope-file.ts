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

/** With a digit in each place of a 0. */
const timePattern = "0000-00-00T00:00:00.000Z";

/**
 * The time that `text` is written as, to the letter. To write each anew and compare takes a tenth of the time in which a long
 * queue is read.
 */
export function timeIn(text: string): number | undefined {
  const usual = isLike(text, timePattern) ? usualTime(text) : undefined;
  if (usual !== undefined) return usual;
  const moment = new Date(text);
  const value = moment.getTime();
  return Number.isNaN(value) || moment.toISOString() !== text ? undefined : value;
}

function isLike(text: string, pattern: string): boolean {
  if (text.length !== pattern.length) return false;
  for (let at = 0; at < text.length; at++) {
    const [code, wanted] = [text.charCodeAt(at), pattern.charCodeAt(at)];
    if (wanted === zero ? code < zero || code > zero + 9 : code !== wanted) return false;
  }
  return true;
}

const zero = 0x30;

/** Days of each month, January being 1. */
const usualDays = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** A time on a day that the month has in every year, in a year of four digits that are one. */
function usualTime(text: string): number | undefined {
  const two = (at: number): number => 10 * text.charCodeAt(at) + text.charCodeAt(at + 1) - 11 * zero;
  const year = 100 * two(0) + two(2);
  const [month, day, hour, minute, second] = [two(5), two(8), two(11), two(14), two(17)];
  const isUsual = year >= 1000 && month >= 1 && day >= 1 && day <= (usualDays[month] ?? 0);
  if (!isUsual || hour > 23 || minute > 59 || second > 59) return undefined;
  const thousandths = 10 * two(20) + text.charCodeAt(22) - zero;
  return (
    monthBegin(year, month) + (((day - 1) * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + thousandths
  );
}

/** The last month that was asked for: those of a queue are few. */
let lastMonth = { year: 0, month: 0, value: 0 };

function monthBegin(year: number, month: number): number {
  if (lastMonth.year !== year || lastMonth.month !== month)
    lastMonth = { year, month, value: Date.UTC(year, month - 1) };
  return lastMonth.value;
}

/** The last one read: a new message is due when it was accepted. */
let lastTime = { text: "", value: Number.NaN };

/** Milliseconds since the epoch in the program, "2026-11-22T14:11:00.000Z" in the file. */
export const time: JsonField<number> = {
  read(found, at) {
    if (found === lastTime.text) return lastTime.value;
    const value = typeof found === "string" ? timeIn(found) : undefined;
    if (value === undefined) throw new Mismatch(at, "a time such as 2026-11-22T14:11:00.000Z", found);
    lastTime = { text: String(found), value };
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

const envelopeField = record(envelopeRows);

/** How one begins that this version wrote: in a file, and in the journal. */
const beginnings = [`{\n  "version": ${String(version)},\n`, `{"version":${String(version)},`] as const;

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
  return beginnings[1] + JSON.stringify(envelopeField.write(envelope, "")).slice(1); // its "{" is in the beginning
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
  return usualEnvelope(text, id) ?? anyEnvelope(text, id, file);
}

/** The envelope that this version wrote; undefined where there is anything else, for {@link anyEnvelope} to tell. */
function usualEnvelope(text: string, id: string): Envelope | undefined {
  const beginning = beginnings.find((one) => text.startsWith(one));
  if (beginning === undefined) return undefined;
  try {
    const envelope = envelopeField.read(JSON.parse(`{${text.slice(beginning.length)}`), "");
    return envelope.id === id ? envelope : undefined;
  } catch (error) {
    if (error instanceof Mismatch || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function anyEnvelope(text: string, id: string, file: string): Envelope | Damaged {
  try {
    const { version: found, ...fields } = fieldsOf(parseJson(text), "");
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
