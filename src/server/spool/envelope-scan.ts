/**
 * A shortcut for who reads many envelopes and keeps none: most have the same fields in the same order, as envelope-file.ts writes
 * them, with no escapes in their texts. Anything else is left to the reader there, which alone tells what is wrong.
 *
 * The texts that come out are parts of the one that went in, which stays in memory with them.
 */
import type { Envelope, LastReply, Recipient, RecipientState } from "./envelope.ts";
import { type Damaged, parseEnvelope, timeIn } from "./envelope-file.ts";

/** What stands before the value of each field, and behind the last one. */
interface Layout {
  readonly id: string;
  readonly accepted: string;
  readonly login: string;
  readonly sender: string;
  readonly size: string;
  readonly eightBit: string;
  readonly smtputf8: string;
  readonly attempts: string;
  readonly due: string;
  readonly warned: string;
  readonly recipients: string;
  readonly nextRecipient: string;
  readonly end: string;
}

/** With `before` each field but the first, and `colon` behind its name. */
const layout = (
  open: string,
  before: string,
  colon: string,
): Omit<Layout, "recipients" | "nextRecipient" | "end"> => ({
  id: `${open}"version"${colon}2${before}"id"${colon}`,
  accepted: `${before}"accepted"${colon}`,
  login: `${before}"login"${colon}`,
  sender: `${before}"sender"${colon}`,
  size: `${before}"size"${colon}`,
  eightBit: `${before}"eightBit"${colon}`,
  smtputf8: `${before}"smtputf8"${colon}`,
  attempts: `${before}"attempts"${colon}`,
  due: `${before}"due"${colon}`,
  warned: `${before}"warned"${colon}`,
});

const inFile: Layout = {
  ...layout("{\n  ", ",\n  ", ": "),
  recipients: ',\n  "recipients": [\n    ',
  nextRecipient: ",\n    ",
  end: "\n  ]\n}\n",
};
const inJournal: Layout = {
  ...layout("{", ",", ":"),
  recipients: ',"recipients":[',
  nextRecipient: ",",
  end: "]}",
};

const states: readonly RecipientState[] = ["waiting", "delivered", "failed", "expired"];

/** That the text is not as expected here. */
const unlike = new Error("not as usual");

/** The text that is read, where in it the next value begins, and where the envelope ends. */
let source = "";
let at = 0;
let last = 0;

/** As parseEnvelope, and as strict. */
export function scanEnvelope(text: string, id: string, file: string): Envelope | Damaged {
  return scanPart(text, 0, text.length, id, file);
}

/** The same of the part of `text` from `begin` to `end`, behind which there is nothing, or an octet that no envelope has. */
export function scanPart(
  text: string,
  begin: number,
  end: number,
  id: string,
  file: string,
): Envelope | Damaged {
  source = text;
  at = begin;
  last = end;
  try {
    const found = envelope(text.charCodeAt(begin + 1) === lineEnd ? inFile : inJournal);
    if (found.id === id) return found;
  } catch (error) {
    if (error !== unlike) throw error;
  }
  return parseEnvelope(text.slice(begin, end), id, file);
}

function envelope(fields: Layout): Envelope {
  const id = string(fields.id);
  const accepted = time(fields.accepted);
  const login = stringOrNull(fields.login);
  const sender = string(fields.sender);
  const size = number(fields.size);
  const eightBit = flag(fields.eightBit);
  const smtputf8 = flag(fields.smtputf8);
  const attempts = number(fields.attempts);
  const due = time(fields.due);
  const warned = flag(fields.warned);
  skip(fields.recipients);
  const recipients = [recipient()];
  while (isNext(fields.nextRecipient)) recipients.push(recipient());
  skip(fields.end);
  if (at !== last) throw unlike;
  return { id, accepted, login, sender, size, eightBit, smtputf8, attempts, due, warned, recipients };
}

function recipient(): Recipient {
  const address = string('{"address":');
  const word = string(',"state":');
  const state = states.find((one) => one === word);
  if (state === undefined) throw unlike;
  if (isNext("}")) return { address, state };
  const reply = lastReply(',"reply":{"code":');
  skip("}");
  return { address, state, reply };
}

function lastReply(before: string): LastReply {
  const code = number(before);
  if (code < 200 || code > 599) throw unlike;
  const status = string(',"status":');
  const text = string(',"text":');
  const relay = string(',"relay":');
  const command = string(',"command":');
  const moment = time(',"at":');
  skip("}");
  return { code, status, text, relay, command, at: moment };
}

const [quote, backslash, blank, zero, lineEnd] = [0x22, 0x5c, 0x20, 0x30, 0x0a];

function isNext(expected: string): boolean {
  if (!source.startsWith(expected, at)) return false;
  at += expected.length;
  return true;
}

function skip(expected: string): void {
  if (!isNext(expected)) throw unlike;
}

function string(before: string): string {
  skip(before);
  if (source.charCodeAt(at) !== quote) throw unlike;
  const begin = at + 1;
  for (let next = begin; next < source.length; next++) {
    const code = source.charCodeAt(next);
    if (code === quote) {
      at = next + 1;
      return source.slice(begin, next);
    }
    if (code < blank || code === backslash) break;
  }
  throw unlike;
}

function stringOrNull(before: string): string | null {
  return isNext(`${before}null`) ? null : string(before);
}

function time(before: string): number {
  const value = timeIn(string(before));
  if (value === undefined) throw unlike;
  return value;
}

/** Fifteen digits at the most, which are all exact. */
function number(before: string): number {
  skip(before);
  const begin = at;
  let value = 0;
  for (; at < source.length; at++) {
    const digit = source.charCodeAt(at) - zero;
    if (digit < 0 || digit > 9) break;
    value = 10 * value + digit;
  }
  const digits = at - begin;
  if (digits === 0 || digits > 15 || (digits > 1 && source.charCodeAt(begin) === zero)) throw unlike;
  return value;
}

function flag(before: string): boolean {
  skip(before);
  if (isNext("true")) return true;
  skip("false");
  return false;
}
