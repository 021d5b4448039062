/**
 * The mark that identifies a probe's message when it arrives: a random identifier, the time of sending, and a signature
 * over both and the envelope. Without the key nobody can make one, or move it to another route.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { formatDate } from "../../smtp/date.ts";
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";

/** Field of the header that carries it. */
export const markField = "X-Tpa-Submit-Probe";

export interface ProbeMark {
  /** 32 hexadecimal digits: the message's ENVID (RFC 3461) and the left side of its Message-ID, too. */
  readonly id: string;
  /** When it was made, in milliseconds since the epoch. */
  readonly at: number;
}

/** What a mark is bound to. */
export interface MarkBinding {
  readonly key: Uint8Array;
  /** Reverse-path and forward-path, without angle brackets. */
  readonly from: string;
  readonly to: string;
}

/** A new mark, from 16 random octets. */
export function newMark(random: Uint8Array, at: number): ProbeMark {
  if (random.length !== 16) throw new RangeError("a mark wants 16 random octets");
  return { id: Buffer.from(random).toString("hex"), at };
}

/** The field's body: `ID.MILLISECONDS.SIGNATURE`, 89 characters with neither blanks nor anything that mail folds. */
export function writeMark({ id, at }: ProbeMark, bound: MarkBinding): string {
  return `${id}.${at}.${signature({ id, at }, bound)}`;
}

/** The body of the field that carries a mark, in the header of `message`; "" where there is none. */
export function markOf(message: Buffer): string {
  const header = message.toString("latin1", 0, bodyOffset(message) ?? message.length);
  const field = splitFields(header).find((one) => isNamed(one, markField));
  return field ? fieldBody(field) : "";
}

/** The mark in a field's body where its signature holds for `bound`; else undefined. */
export function readMark(text: string, bound: MarkBinding): ProbeMark | undefined {
  const [, id = "", digits = "", signed = ""] =
    /^([0-9a-f]{32})\.(\d{1,15})\.([\w-]{43})$/.exec(text.trim()) ?? [];
  const mark = { id, at: Number(digits) };
  if (id === "") return undefined;
  const expected = Buffer.from(signature(mark, bound));
  return timingSafeEqual(expected, Buffer.from(signed)) ? mark : undefined;
}

function signature({ id, at }: ProbeMark, { key, from, to }: MarkBinding): string {
  const lines = ["tpa-submit probe 1", id, String(at), from, to.toLowerCase(), ""];
  return createHmac("sha256", key).update(lines.join("\n")).digest("base64url");
}

/**
 * The monitor's message with the mark in its header, in CRLF lines; `route` is a plain name. The same mark and
 * addresses give the same octets, so that it can be compared when it arrives.
 */
export function writeMessage(mark: ProbeMark, bound: MarkBinding, route: string): Buffer {
  const { from, to } = bound;
  const lines = [
    `Date: ${formatDate(mark.at)}`,
    `From: <${from}>`,
    `To: <${to}>`,
    `Subject: Probe ${mark.id.slice(0, 8)} of ${route}`,
    `Message-ID: <${mark.id}@${from.slice(from.lastIndexOf("@") + 1)}>`,
    // RFC 3834 section 5: vacation responders must not answer.
    "Auto-Submitted: auto-generated",
    `${markField}: ${writeMark(mark, bound)}`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "This message was sent by a program, to see whether mail arrives and how long",
    "it takes. Nobody has to read it; the program deletes it after a while.",
    "",
  ];
  return Buffer.from(lines.join("\r\n"), "latin1");
}
