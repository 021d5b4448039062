/**
 * A message for a next hop without 8BITMIME: parts with 8-bit octets are encoded anew, so that they decode to the same
 * octets (RFC 6152 section 3, RFC 2045 section 6). A message whose signature would break, or with a part that is
 * unclear, is not converted. The message is read three times, to inspect, count and send it, and never kept in memory.
 */
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errorCode, errorText } from "../../../failure.ts";
import { type HeaderField, isNamed } from "../../../smtp/header.ts";
import { type Entity, type MimeReader, openMime, type Piece } from "../../../smtp/mime-parts.ts";
import { quotedLine, widest } from "../../../smtp/mime-text.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { workOnMessage } from "../../log/event-loop.ts";

export interface SevenBit {
  /** Octets. */
  readonly size: number;
  /** CRLF line ends, ASCII only; each call reads the message anew. */
  readonly body: () => Readable;
}

/** The Content-Transfer-Encoding that an entity gets, by its number; absent if it stays as it is. */
type Encodings = ReadonlyMap<number, "7bit" | "quoted-printable" | "base64">;

/** Fields that sign the octets of the body (RFC 6376, RFC 8617, RFC 4870). */
const signatures = ["DKIM-Signature", "ARC-Message-Signature", "ARC-Seal", "DomainKey-Signature"];

/** RFC 1847, RFC 3156, RFC 8551. */
const sealed =
  /^(?:multipart\/(?:signed|encrypted)|application\/(?:pgp-(?:signature|encrypted)|(?:x-)?pkcs7-(?:mime|signature)))$/;

/**
 * `body` as a message of 7-bit lines, or a reply that says why not: permanent if it must not be converted, temporary if
 * it cannot be read. The work is cut into turns, which count for the message `id`. Undefined if `signal` was raised
 * first: then the work ends after the current turn.
 */
export async function sevenBit(
  body: () => Readable,
  id = "",
  signal: AbortSignal = never,
): Promise<SevenBit | Reply | undefined> {
  try {
    const encodings = await survey(body(), id, signal);
    if (encodings === undefined) return undefined;
    if (typeof encodings === "string") return reply(554, "5.6.3", encodings);
    let size = 0;
    for await (const chunk of encoded(body(), encodings, id)) {
      if (signal.aborted) return undefined;
      size += chunk.length;
    }
    return { size, body: () => Readable.from(encoded(body(), encodings, id), { objectMode: false }) };
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return reply(451, "4.3.0", `the message cannot be read: ${errorText(error)}`);
  }
}

const never = new AbortController().signal;

/** Counted in a leaf's body. */
interface LeafCount {
  octets: number;
  high: number;
}

/** The encoding for each entity, or why the message must not be converted; undefined if `signal` was raised. */
async function survey(
  body: Readable,
  id: string,
  signal: AbortSignal,
): Promise<Encodings | string | undefined> {
  const entities: Entity[] = [];
  const counts = new Map<number, LeafCount>();
  let flaw: string | undefined;
  const reader = openMime((piece) => {
    if (piece.kind === "header") {
      entities.push(piece.entity);
      flaw ??= flawOf(piece.entity);
    } else if (piece.kind === "frame") {
      if (highOctets(piece.line) > 0) flaw ??= "it has 8-bit text outside its parts";
    } else {
      const count = counts.get(piece.entity.number) ?? { octets: 0, high: 0 };
      counts.set(piece.entity.number, count);
      count.octets += piece.line.length;
      count.high += highOctets(piece.line);
    }
  });
  for await (const _ of turns(body, reader, id)) if (signal.aborted) return undefined; // each is a turn
  if (flaw !== undefined) return flaw;
  const encodings = new Map<number, "7bit" | "quoted-printable" | "base64">();
  for (const entity of entities) {
    const chosen = encodingFor(entity, counts.get(entity.number) ?? { octets: 0, high: 0 });
    if (chosen === "unclear") return "a part with 8-bit text does not say how it is encoded";
    if (chosen !== undefined) encodings.set(entity.number, chosen);
  }
  return encodings;
}

/** Why a message with this entity must stay as it is. */
function flawOf({ fields, type, flaw }: Entity): string | undefined {
  if (sealed.test(type) || fields.some(isSignature)) return "it is signed or encrypted";
  if (fields.some(({ raw }) => highOctets(raw) > 0)) return "it has 8-bit text in a header";
  return flaw;
}

const isSignature = (field: HeaderField): boolean => signatures.some((name) => isNamed(field, name));

function encodingFor(
  { kind, type, encoding, mime }: Entity,
  { octets, high }: LeafCount,
): "7bit" | "quoted-printable" | "base64" | "unclear" | undefined {
  const wide = encoding === "8bit" || encoding === "binary";
  if (kind !== "leaf") return wide ? "7bit" : undefined; // RFC 2045 section 6.4
  // RFC 2046 section 5.2, RFC 3464 section 2.1: these may have 7-bit text only, unlike those of RFC 6533 section 6.
  const narrow = /^(?:message\/(?!global(?:$|-))|multipart\/)/.test(type);
  if (high === 0 && !wide) return undefined;
  if (high === 0 && (narrow || encoding === "8bit")) return "7bit";
  if (!mime || narrow || !(wide || encoding === "7bit")) return "unclear";
  // With more than a quarter of 8-bit octets, base64 is shorter; it also keeps every octet of data that is not text.
  const text = type.startsWith("text/") && encoding !== "binary";
  return text && high * 4 < octets ? "quoted-printable" : "base64";
}

/** The message with its parts in these `encodings`. */
async function* encoded(body: Readable, encodings: Encodings, id: string): AsyncGenerator<Buffer> {
  let out = "";
  const base64 = base64Writer((text) => {
    out += text;
  });
  const reader = openMime((piece) => {
    if (piece.kind !== "body") base64.end(piece.kind === "frame" && piece.boundary);
    const text = written(piece, encodings, base64.line); // may write to `out` itself
    out += text;
  });
  for await (const _ of turns(body, reader, id)) {
    yield Buffer.from(out, "latin1");
    out = "";
  }
  base64.end(false);
  yield Buffer.from(out, "latin1");
}

/** What to send for `piece` now; lines for base64 go to `base64` and are sent later. */
function written(piece: Piece, encodings: Encodings, base64: (line: string) => void): string {
  if (piece.kind === "frame") return piece.line;
  const encoding = encodings.get(piece.entity.number);
  if (piece.kind === "header") return withEncoding(piece.entity, encoding) + piece.blank;
  if (encoding === "base64") {
    base64(piece.line);
    return "";
  }
  if (encoding !== "quoted-printable") return piece.line;
  if (piece.more) return `${quotedLine(piece.line, widest - 1)}=\r\n`; // a soft line break
  return `${quotedLine(piece.line.replace(/\r\n$/, ""))}\r\n`;
}

/** The header with another Content-Transfer-Encoding, in the old one's place or at the end. */
function withEncoding({ fields }: Entity, encoding: string | undefined): string {
  const raws = fields.map(({ raw }) => raw);
  if (encoding === undefined) return raws.join("");
  const field = `Content-Transfer-Encoding: ${encoding}\r\n`;
  const at = fields.findIndex((one) => isNamed(one, "Content-Transfer-Encoding"));
  return (at < 0 ? [...raws, field] : raws.with(at, field)).join("");
}

interface Base64Writer {
  readonly line: (text: string) => void;
  /** The body ends; the CRLF before a `boundary` belongs to the boundary (RFC 2046 section 5.1.1). */
  readonly end: (boundary: boolean) => void;
}

/** Octets that make one line of 76 characters (RFC 2045 section 6.8). */
const perLine = 57;

function base64Writer(write: (text: string) => void): Base64Writer {
  let waiting = "";
  let begun = false;
  const flush = (octets: number): void => {
    const line = Buffer.from(waiting.slice(0, octets), "latin1").toString("base64");
    waiting = waiting.slice(octets);
    write(line.replace(/.{1,76}/g, "$&\r\n"));
  };
  return {
    line(text) {
      begun = true;
      waiting += text;
      // The last two octets are kept: they may be the boundary's CRLF.
      if (waiting.length > 64 * perLine + 2) flush(Math.floor((waiting.length - 2) / perLine) * perLine);
    },
    end(boundary) {
      if (!begun) return;
      if (boundary) waiting = waiting.replace(/\r\n$/, "");
      flush(waiting.length);
      begun = false;
    },
  };
}

/**
 * Gives `reader` the body, one chunk in a turn, so that an expensive message does not keep others waiting. A line
 * longer than a chunk comes in pieces, so that it is not scanned again and again while it grows.
 */
async function* turns(body: Readable, reader: MimeReader, id: string): AsyncGenerator<void> {
  let rest = "";
  const take = (chunk: Buffer): void => {
    const parts = (rest + chunk.toString("latin1")).split("\r\n");
    rest = parts.pop() ?? "";
    for (const part of parts) reader.line(`${part}\r\n`);
    if (rest.length <= longestPiece) return;
    const end = rest.endsWith("\r") ? rest.length - 1 : rest.length; // its LF may be next
    reader.line(rest.slice(0, end), true);
    rest = rest.slice(end);
  };
  for await (const chunk of body) {
    workOnMessage(id, () => take(chunk as Buffer));
    yield;
    await nextTurn();
  }
  workOnMessage(id, () => {
    if (rest !== "") reader.line(rest);
    reader.end();
  });
  yield;
}

/** Octets of an incomplete line that are kept; our choice, longer than any line that has a meaning. */
const longestPiece = 64 * 1024;

/** Counts them without a list, which could have an element for each octet of a chunk. */
function highOctets(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) count++;
  return count;
}
