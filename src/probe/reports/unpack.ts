/**
 * The report in a file or an attachment. What it is shows in its first octets, never in its name or its media type: gzip,
 * ZIP, XML or JSON. Unpacking and reading go piece by piece, and end at a limit.
 */
import type { Transform } from "node:stream";
import { TextDecoder } from "node:util";
import { createGunzip, createInflateRaw } from "node:zlib";
import { errorCode } from "../../failure.ts";
import { openDmarc } from "./dmarc.ts";
import { mostInAttachment, mostInJson, mostUnpacked, type Report, Unreadable } from "./report.ts";
import { readTlsReport } from "./tls-rpt.ts";
import { membersOf } from "./zip.ts";

/** How a file or an attachment begins. */
export type Packing = "gzip" | "zip" | "plain" | "other";

export function packingOf(octets: Buffer): Packing {
  if (octets[0] === 0x1f && octets[1] === 0x8b) return "gzip";
  if (octets[0] === 0x50 && octets[1] === 0x4b && octets[2] === 3 && octets[3] === 4) return "zip";
  return kindOf(octets) === undefined ? "other" : "plain";
}

/**
 * The reports in `octets`; none where there is something else. `now` is in milliseconds since the epoch. Throws
 * Unreadable.
 */
export async function reportsIn(octets: Buffer, now: number): Promise<readonly Report[]> {
  if (octets.length > mostInAttachment) throw new Unreadable("it is too large");
  switch (packingOf(octets)) {
    case "gzip":
      return listed(await reportIn(unpacked(octets, createGunzip()), now));
    case "plain":
      return listed(await reportIn([octets], now));
    case "other":
      return [];
    case "zip": {
      const reports: Report[] = [];
      for (const { octets: packed, isDeflated } of membersOf(octets)) {
        const pieces = isDeflated ? unpacked(packed, createInflateRaw()) : [packed];
        reports.push(...listed(await reportIn(pieces, now)));
      }
      return reports;
    }
  }
}

const listed = (report: Report | undefined): readonly Report[] => (report ? [report] : []);

async function* unpacked(octets: Buffer, engine: Transform): AsyncGenerator<Buffer> {
  let size = 0;
  engine.end(octets);
  try {
    for await (const piece of engine as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > mostUnpacked)
        throw new Unreadable(`it unpacks to more than ${mostUnpacked / 1024 / 1024} MiB`);
      yield piece;
    }
  } catch (error) {
    if (!errorCode(error).startsWith("Z_")) throw error;
    throw new Unreadable("it is packed wrongly, or breaks off");
  }
}

/** The document in `pieces`; undefined where it is no report. */
async function reportIn(
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
  now: number,
): Promise<Report | undefined> {
  let begun: { readonly write: (piece: Buffer) => void; readonly end: () => Report | undefined } | undefined;
  let head = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (begun) begun.write(piece);
    else {
      head = Buffer.concat([head, piece]);
      if (head.length < enough) continue;
      begun = documentOf(head, now);
      if (!begun) return undefined;
    }
  }
  begun ??= documentOf(head, now);
  return begun?.end();
}

/** Octets that tell what a document is, and how it is encoded. */
const enough = 256;

/** XML or JSON by the first character, whatever the encoding; undefined for neither. */
function kindOf(head: Buffer): "xml" | "json" | undefined {
  const text = head
    .toString("latin1", 0, enough)
    .replace(/^(?:\u00ef\u00bb\u00bf|\u00ff\u00fe|\u00fe\u00ff)/, "")
    .replace(/[\s\0]+/g, "");
  if (text.startsWith("<")) return "xml";
  return text.startsWith("{") ? "json" : undefined;
}

function documentOf(head: Buffer, now: number) {
  const kind = kindOf(head);
  if (kind === undefined) return undefined;
  const decoder = decoderOf(head);
  if (kind === "xml") {
    const reader = openDmarc();
    reader.write(decoder.decode(head, { stream: true }));
    return {
      write: (piece: Buffer): void => reader.write(decoder.decode(piece, { stream: true })),
      end: (): Report | undefined => {
        reader.write(decoder.decode());
        return reader.end(now);
      },
    };
  }
  const pieces = [head];
  let size = head.length;
  return {
    write: (piece: Buffer): void => {
      size += piece.length;
      if (size > mostInJson) throw new Unreadable(`it unpacks to more than ${mostInJson / 1024 / 1024} MiB`);
      pieces.push(piece);
    },
    end: (): Report | undefined => readTlsReport(decoder.decode(Buffer.concat(pieces)), now),
  };
}

/** Encodings that a document may declare, and how they are read: TextDecoder's names. */
const encodings: Readonly<Record<string, string>> = {
  "utf-8": "utf-8",
  utf8: "utf-8",
  "us-ascii": "utf-8",
  ascii: "utf-8",
  // What has it and no mark at its beginning was a text of .NET, and is written in UTF-8.
  "utf-16": "utf-8",
  "iso-8859-1": "windows-1252",
  "iso-8859-15": "iso-8859-15",
  "windows-1252": "windows-1252",
};

function decoderOf(head: Buffer): TextDecoder {
  const marked = { 65534: "utf-16le", 65279: "utf-16be" }[head.length > 1 ? head.readUInt16BE(0) : 0];
  if (marked !== undefined) return new TextDecoder(marked);
  const declaration = head.toString("latin1", 0, enough).split("?>", 1)[0] ?? "";
  const declared = /^[^<]{0,9}<\?xml\b[^>]{0,200}?\bencoding ?= ?["']([\w.:-]{1,40})["']/i.exec(
    declaration,
  )?.[1];
  const encoding = declared === undefined ? "utf-8" : encodings[declared.toLowerCase()];
  if (encoding === undefined) throw new Unreadable("it is in a character set that is not read");
  return new TextDecoder(encoding);
}
