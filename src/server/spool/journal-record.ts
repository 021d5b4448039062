/**
 * A record of the journal: one message and its envelope, between sums that tell whether all of it is there. Pure;
 * docs/spool.md, "The front journal", has the format.
 *
 * A record counts only with the mark of its segment, which nobody outside knows, and at its own offset: what an
 * earlier use of the segment left is none, and neither is a record that a sender writes into a message.
 */
import { crc32 } from "node:zlib";

/** Octets of a record's first line, its LF included. */
export const headLength = 76;

/** Octets of that line which its sum covers. */
const summed = 67;

/** Decimal digits of a place or a length: no segment may be longer. */
const digits = 8;
export const longestSegment = 10 ** digits - 1;

/** Where a record is written. */
export interface RecordPlace {
  /** Of the segment: 16 upper-case hexadecimal digits. */
  readonly mark: string;
  /** Where it begins in the segment. */
  readonly offset: number;
  /** Where the batch begins with which it is written: what is before that is durable. */
  readonly batch: number;
}

/** Octets of the record of a message and of an envelope so long. */
export function recordLength(envelope: number, body: number): number {
  return headLength + envelope + 1 + body + 1;
}

const lineEnd = Buffer.from("\n");

/**
 * The octets to write, as they follow each other. `envelope` is one line of JSON, without its end; `bodySum` that of
 * the body: {@link sumOf}.
 */
export function formatRecord(
  { mark, offset, batch }: RecordPlace,
  envelope: Uint8Array,
  body: readonly Uint8Array[],
  bodySum: number,
): readonly Uint8Array[] {
  const bodyLength = body.reduce((sum, part) => sum + part.length, 0);
  const numbers = [offset, batch, envelope.length, bodyLength].map((number) =>
    String(number).padStart(digits, "0"),
  );
  const line = ["tpa1", mark, ...numbers, hexadecimal(bodySum), ""].join(" ");
  const sum = crc32(envelope, crc32(line));
  return [Buffer.from(`${line}${hexadecimal(sum)}\n`, "latin1"), envelope, lineEnd, ...body, lineEnd];
}

/** The sum of the octets of a message, part by part; begin with 0. */
export function sumOf(body: Uint8Array, before = 0): number {
  return crc32(body, before);
}

const hexadecimal = (sum: number): string => sum.toString(16).toUpperCase().padStart(8, "0");

/** What a record's first line says. */
interface RecordHead {
  readonly offset: number;
  readonly batch: number;
  readonly envelopeLength: number;
  readonly bodyLength: number;
  readonly bodySum: number;
}

/** A record found in a segment. */
export interface FoundRecord extends RecordHead {
  readonly kind: "record";
  /** Where the next one may begin. */
  readonly end: number;
  /** The line of JSON, without its end. */
  readonly envelope: string;
  /** Whether the message is as it was written. */
  readonly isBodySound: boolean;
}

/** Octets behind which there are records again, or which begin like one: no record, for a sum is wrong. */
export interface UnreadableOctets {
  readonly kind: "unreadable";
  readonly offset: number;
  readonly end: number;
}

export type SegmentPart = FoundRecord | UnreadableOctets;

const [zero, nine, letterA, letterF, blank, lf] = [0x30, 0x39, 0x41, 0x46, 0x20, 0x0a];

/** Whether the octets at `at` are those of `text`, which is ASCII. */
function isAt(octets: Buffer, at: number, text: string): boolean {
  for (let next = 0; next < text.length; next++) {
    if (octets[at + next] !== text.charCodeAt(next)) return false;
  }
  return true;
}

/** The {@link digits} decimal digits at `at`, and a blank behind them; -1 where there is something else. */
function decimalAt(octets: Buffer, at: number): number {
  let value = 0;
  for (let next = at; next < at + digits; next++) {
    const octet = octets[next] ?? 0;
    if (octet < zero || octet > nine) return -1;
    value = 10 * value + octet - zero;
  }
  return octets[at + digits] === blank ? value : -1;
}

/** The sum at `at`, and `behind` it; -1 where there is something else. */
function sumAt(octets: Buffer, at: number, behind: number): number {
  let value = 0;
  for (let next = at; next < at + 8; next++) {
    const octet = octets[next] ?? 0;
    if (octet >= zero && octet <= nine) value = 16 * value + octet - zero;
    else if (octet >= letterA && octet <= letterF) value = 16 * value + octet - letterA + 10;
    else return -1;
  }
  return octets[at + 8] === behind ? value : -1;
}

/** CRC-32 of each octet. */
const sums = Uint32Array.from({ length: 256 }, (_, octet) => crc32(Buffer.of(octet)) ^ crc32(Buffer.of(0)));

/** What {@link crc32} gives for what the sum of the first line at `at` covers: to call it for so little would take longer. */
function headSum(octets: Buffer, at: number): number {
  let sum = 0xff_ff_ff_ff;
  for (let next = at; next < at + summed; next++) {
    sum = (sums[(sum ^ (octets[next] ?? 0)) & 0xff] ?? 0) ^ (sum >>> 8);
  }
  return ~sum >>> 0;
}

/**
 * The first line and the envelope at `at`, where their sum is right; the message may be torn, and be longer than what
 * there is. `octets` begin at `base` in the segment. A start reads all of a journal this way: hence no expressions.
 */
function readHead(
  octets: Buffer,
  mark: string,
  at: number,
  base: number,
): (RecordHead & { envelope: string }) | undefined {
  if (!isAt(octets, at, "tpa1 ") || !isAt(octets, at + 5, mark) || octets[at + 21] !== blank)
    return undefined;
  const offset = decimalAt(octets, at + 22);
  const batch = decimalAt(octets, at + 31);
  const envelopeLength = decimalAt(octets, at + 40);
  const bodyLength = decimalAt(octets, at + 49);
  const bodySum = sumAt(octets, at + 58, blank);
  const sum = sumAt(octets, at + 67, lf);
  if (offset !== base + at || batch > offset) return undefined;
  if (batch === -1 || envelopeLength === -1 || bodyLength === -1 || bodySum === -1 || sum === -1)
    return undefined;
  const begin = at + headLength;
  const end = begin + envelopeLength;
  if (end >= octets.length || octets[end] !== lf) return undefined;
  if (crc32(octets.subarray(begin, end), headSum(octets, at)) !== sum) return undefined;
  return {
    offset,
    batch,
    envelopeLength,
    bodyLength,
    bodySum,
    envelope: octets.toString("utf8", begin, end),
  };
}

/** Where the message of a record begins in the segment. */
export function bodyOffset({
  offset,
  envelopeLength,
}: Pick<RecordHead, "offset" | "envelopeLength">): number {
  return offset + headLength + envelopeLength + 1;
}

/**
 * The record at `at` of the octets that begin at `base` in the segment, or undefined where none begins there. Where they end
 * in the middle of the message, `end` lies behind them.
 */
export function readRecord(octets: Buffer, mark: string, at: number, base = 0): FoundRecord | undefined {
  const head = readHead(octets, mark, at, base);
  if (head === undefined) return undefined;
  const { offset, batch, envelopeLength, bodyLength, bodySum, envelope } = head;
  const begin = bodyOffset(head) - base;
  const last = begin + bodyLength;
  const isWhole = last < octets.length && octets[last] === lf;
  const isBodySound = isWhole && sumOf(octets.subarray(begin, last)) === bodySum;
  const end = base + last + 1;
  return { kind: "record", offset, batch, envelopeLength, bodyLength, bodySum, end, envelope, isBodySound };
}

/**
 * What lies in the segment `octets`, from its beginning to where nothing more was written, which is not before `whole`.
 * Linear: beside the records, each octet is looked at once for the mark.
 */
export function* readSegment(octets: Buffer, mark: string, whole = 0): Generator<SegmentPart> {
  const start = Buffer.from(`tpa1 ${mark} `, "latin1");
  let at = 0;
  for (;;) {
    const record = readRecord(octets, mark, at);
    if (record?.isBodySound === true) {
      yield record;
      at = record.end;
      continue;
    }
    const next = nextRecord(octets, mark, start, at + 1);
    const end = next ?? octets.length;
    if (record !== undefined) {
      // The message's length is right, for its sum is: but it may have been cut short.
      const last = Math.min(record.end, end);
      yield { ...record, end: last };
      at = last;
      if (at >= octets.length) return;
      continue;
    }
    if (next !== undefined || octets.subarray(at, at + start.length).equals(start)) {
      yield { kind: "unreadable", offset: at, end };
    } else if (at < whole) yield { kind: "unreadable", offset: at, end: whole };
    if (next === undefined) return;
    at = next;
  }
}

/** Where the next record begins, behind octets that are none. */
function nextRecord(octets: Buffer, mark: string, start: Buffer, from: number): number | undefined {
  for (let at = octets.indexOf(start, from); at !== -1; at = octets.indexOf(start, at + 1)) {
    if (readHead(octets, mark, at, 0) !== undefined) return at;
  }
  return undefined;
}

export function isSound(part: SegmentPart): part is FoundRecord {
  return part.kind === "record" && part.isBodySound;
}
