/** A mail that may carry reports, read piece by piece: its header, and what is attached to it. */
import { type Entity, openMime } from "../../smtp/mime-parts.ts";
import { mostInAttachment, mostInMessage, Unreadable } from "./report.ts";

export interface MailReader {
  /** The next octets, cut anywhere. Throws Unreadable. */
  write(chunk: Buffer): void;
  end(): ReadMail;
}

export interface ReadMail {
  /** With CRLF at the end of each line, in a "latin1" string. */
  readonly header: string;
  readonly attachments: readonly Buffer[];
}

/** Our choice: a report is one of two or three parts. */
const mostParts = 40;
/** Characters of a line that are handed on at once. */
const longestPiece = 64 * 1024;

/** A part that is read, in its encoding. */
interface OpenPart {
  readonly number: number;
  readonly encoding: string;
  readonly pieces: string[];
  size: number;
}

export function openMail(): MailReader {
  let header: string | undefined;
  let part: OpenPart | undefined;
  let parts = 0;
  let rest = "";
  let size = 0;
  let isLong = false;
  const attachments: Buffer[] = [];

  function endPart(): void {
    if (part) attachments.push(decoded(part));
    part = undefined;
  }

  function begin(entity: Entity): void {
    header ??= entity.fields.map(({ raw }) => raw).join("");
    endPart();
    if (++parts > mostParts) throw new Unreadable(`it has more than ${mostParts} parts`);
    if (entity.flaw !== undefined) throw new Unreadable(entity.flaw);
    if (entity.kind !== "leaf" || !mayBeReport(entity)) return;
    part = { number: entity.number, encoding: entity.encoding, pieces: [], size: 0 };
  }

  const mime = openMime((piece) => {
    if (piece.kind === "header") begin(piece.entity);
    if (piece.kind === "frame" && piece.boundary) endPart();
    if (piece.kind !== "body" || part?.number !== piece.entity.number) return;
    part.size += piece.line.length;
    if (part.size > 2 * mostInAttachment) throw new Unreadable("what is attached is too large");
    part.pieces.push(piece.line);
  });

  /** A line without CR, as files have it, gets one; what continues a long line does not end it. */
  function line(text: string): void {
    mime.line(isLong || text.endsWith("\r\n") ? text : `${text.slice(0, -1)}\r\n`);
    isLong = false;
  }

  return {
    write(chunk) {
      size += chunk.length;
      if (size > mostInMessage) throw new Unreadable("the message is too large");
      rest += chunk.toString("latin1");
      let at = 0;
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", at)) {
        line(rest.slice(at, end + 1));
        at = end + 1;
      }
      rest = rest.slice(at);
      if (rest.length < longestPiece) return;
      mime.line(rest, true);
      isLong = true;
      rest = "";
    },
    end() {
      if (rest !== "" || isLong) line(`${rest}\r\n`);
      mime.end();
      endPart();
      return { header: header ?? "", attachments };
    },
  };
}

/** Whatever the type says, but for what cannot be one; many send application/octet-stream. */
const mayBeReport = ({ type }: Entity): boolean =>
  !/^(?:image|audio|video|font)\//.test(type) && type !== "text/plain" && type !== "text/html";

function decoded({ encoding, pieces }: OpenPart): Buffer {
  const text = pieces.join("");
  if (encoding === "base64") return Buffer.from(text, "base64");
  if (encoding !== "quoted-printable") return Buffer.from(text, "latin1");
  const plain = text
    .replace(/=\r\n/g, "")
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, "latin1");
}
