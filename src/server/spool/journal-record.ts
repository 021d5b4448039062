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

const headPattern = /^tpa1 ([0-9A-F]{16}) (\d{8}) (\d{8}) (\d{8}) (\d{8}) ([0-9A-F]{8}) ([0-9A-F]{8})\n$/;

/**
 * The first line and the envelope at `at`, where their sum is right; the message may be torn, and be longer than what
 * there is. `octets` begin at `base` in the segment.
 */
function readHead(
  octets: Buffer,
  mark: string,
  at: number,
  base: number,
): (RecordHead & { envelope: string }) | undefined {
  const line = octets.toString("latin1", at, at + headLength);
  const [, found, ...fields] = headPattern.exec(line) ?? [];
  if (found !== mark) return undefined;
  const [offset, batch, envelopeLength, bodyLength] = fields.slice(0, 4).map(Number);
  const [bodySum, sum] = fields.slice(4).map((field) => Number.parseInt(field, 16));
  if (offset !== base + at || batch === undefined || batch > offset) return undefined;
  if (envelopeLength === undefined || bodyLength === undefined || bodySum === undefined) return undefined;
  const begin = at + headLength;
  const end = begin + envelopeLength;
  if (end >= octets.length || octets[end] !== 0x0a) return undefined;
  const envelope = octets.subarray(begin, end);
  if (crc32(envelope, crc32(octets.subarray(at, at + summed))) !== sum) return undefined;
  return { offset, batch, envelopeLength, bodyLength, bodySum, envelope: envelope.toString() };
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
  const begin = bodyOffset(head) - base;
  const last = begin + head.bodyLength;
  const body = octets.subarray(begin, last);
  const isWhole = last < octets.length && octets[last] === 0x0a;
  return {
    kind: "record",
    ...head,
    end: base + last + 1,
    isBodySound: isWhole && sumOf(body) === head.bodySum,
  };
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
