/** Plain text for people, in mail: wrapped lines, quoted-printable (RFC 2045 section 6.7), encoded words read. */
import { encode, wrap } from "libqp";

const width = 72;

/** `text` in lines of at most 72 characters that begin with `indent`; words longer than 900 are cut. */
export function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).flatMap((long) => long.match(/.{1,900}/gu) ?? [])) {
    if (line !== "" && indent.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((one) => `${indent}${one}`).join("\n");
}

/** Text from outside on one line, without control characters and marks that change the direction of writing. */
export function harmless(text: string): string {
  return text
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .trim();
}

/** `text`, whose lines end in LF, as quoted-printable, whose lines end in CRLF. */
export function quotedPrintable(text: string): string {
  return text
    .split("\n")
    .map((line) => quotedLine(Buffer.from(line, "utf8").toString("latin1")))
    .join("\r\n");
}

/** RFC 2045 section 6.7, rule 5: characters in a line of quoted-printable. */
export const widest = 76;

/**
 * Quoted-printable of one line of octets, in "latin1" and without its line end: lines of at most `most` characters,
 * joined by soft line breaks (RFC 2045 section 6.7). libqp would take a CR or LF in the line for its end, so they are
 * encoded.
 */
export function quotedLine(line: string, most = widest): string {
  const quoted = encode(Buffer.from(line, "latin1")).replace(/[\r\n]/g, (sign) =>
    sign === "\r" ? "=0D" : "=0A",
  );
  return wrap(quoted, most);
}

const encodedWord = /=\?([\w-]{1,40})(?:\*[\w-]*)?\?([BQ])\?([!->@-~]*)\?=/gi;

/** A header's text with its encoded words decoded (RFC 2047); one that cannot be decoded stays as it is. */
export function decodeWords(text: string): string {
  // Between two encoded words the blank is not part of the text (section 6.2).
  const joined = text.replace(/(\?=)[ \t]+(?==\?[\w-]+(?:\*[\w-]*)?\?[BQ]\?)/gi, "$1");
  return joined.replace(encodedWord, (whole, charset: string, encoding: string, content: string) => {
    const octets =
      encoding.toUpperCase() === "B"
        ? Buffer.from(content, "base64")
        : Buffer.from(content.replaceAll("_", " ").replace(/=([0-9A-F]{2})/gi, decodedOctet), "latin1");
    try {
      return new TextDecoder(charset).decode(octets);
    } catch {
      return whole; // no such charset
    }
  });
}

const decodedOctet = (_: string, digits: string): string => String.fromCharCode(Number.parseInt(digits, 16));
