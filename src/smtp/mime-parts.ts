/**
 * The parts of a message, read line by line, so that no message is too large (RFC 2045, RFC 2046). It reads only what
 * is needed to encode parts anew, and reports everything unusual as a flaw. Octets are in "latin1" strings.
 */
import { fieldBody, type HeaderField, isNamed, splitFields } from "./header.ts";

/** The message itself, a part of a multipart, or an enclosed message. */
export interface Entity {
  /** Counted from 0, in the order of their headers. */
  readonly number: number;
  readonly fields: readonly HeaderField[];
  /** Media type in lower case: "text/plain". */
  readonly type: string;
  /** Content-Transfer-Encoding in lower case, "7bit" if there is none. */
  readonly encoding: string;
  /** leaf: its body is one piece of data. multipart and message: its body has entities. */
  readonly kind: "leaf" | "multipart" | "message";
  /** Whether its message has MIME-Version, without which the other fields have no meaning. */
  readonly mime: boolean;
  /** Why it cannot be understood; then its body is not read as entities. */
  readonly flaw?: string;
}

export type Piece =
  /** `blank` is the line that ends the header, "" if a boundary ended it. */
  | { readonly kind: "header"; readonly entity: Entity; readonly blank: string }
  /** A line of a leaf's body; with `more`, it continues in the next piece. */
  | { readonly kind: "body"; readonly entity: Entity; readonly line: string; readonly more: boolean }
  /** A boundary, or a line outside all parts; `boundary` ends the entity before it. */
  | { readonly kind: "frame"; readonly line: string; readonly boundary: boolean };

export interface MimeReader {
  /** Takes the next line, with its CRLF, or, with `more`, a piece of a very long line. */
  line(text: string, more?: boolean): void;
  /** There are no more lines. */
  end(): void;
}

/** Our choices: no honest message has more, and a hostile one must not make us keep more. */
const deepest = 30;
const longestHeader = 256 * 1024;

/** A line's limit is 998 (RFC 5322 section 2.1.1), a boundary's 70 (RFC 2046 section 5.1.1). */
const longestBoundary = 1_000;

/** What is being read: a header, the body of a leaf, or lines outside all parts. */
type Place =
  | { readonly kind: "header"; raw: string; readonly type: string; readonly mime: boolean }
  | { readonly kind: "body"; readonly entity: Entity }
  | { readonly kind: "frame" };

/** What contains entities: a multipart, or a message, which ends with its own container. */
interface Surrounding {
  readonly boundary?: string;
  /** The media type of a part without Content-Type (RFC 2046 section 5.1.5). */
  readonly standard: string;
  readonly mime: boolean;
}

/** Reads a message. `take` gets its pieces in order; joined, they are the message again. */
export function openMime(take: (piece: Piece) => void): MimeReader {
  const open: Surrounding[] = [];
  let place: Place = { kind: "header", raw: "", type: "text/plain", mime: false };
  let count = 0;
  /** Whether the next text continues a line. */
  let within = false;

  function endHeader(blank: string): void {
    if (place.kind !== "header") return;
    const { raw, type, mime } = place;
    const entity = entityOf(raw, count++, { type, mime, deep: open.length >= deepest });
    take({ kind: "header", entity, blank });
    if (entity.flaw !== undefined || entity.kind === "leaf") place = { kind: "body", entity };
    else if (entity.kind === "message") {
      open.push({ standard: "text/plain", mime: false });
      place = { kind: "header", raw: "", type: "text/plain", mime: false };
    } else {
      const standard = entity.type === "multipart/digest" ? "message/rfc822" : "text/plain";
      open.push({ boundary: parameter(entity, "boundary") ?? "", standard, mime: entity.mime });
      place = { kind: "frame" };
    }
  }

  /** Whether `text` is a boundary of an open multipart; an outer one ends the inner ones. */
  function isBoundary(text: string): boolean {
    if (!text.startsWith("--") || text.length > longestBoundary) return false;
    const line = withoutEnd(text);
    const at = open.findLastIndex(
      ({ boundary }) => boundary !== undefined && (line === `--${boundary}` || line === `--${boundary}--`),
    );
    const multipart = open[at];
    if (!multipart) return false;
    endHeader("");
    const { boundary, standard, mime } = multipart;
    const last = line !== `--${boundary}`;
    open.length = last ? at : at + 1;
    place = last ? { kind: "frame" } : { kind: "header", raw: "", type: standard, mime };
    return true;
  }

  return {
    line(text, more = false) {
      const begins = !within;
      within = more;
      if (begins && !more && isBoundary(text)) take({ kind: "frame", line: text, boundary: true });
      else if (place.kind === "frame") take({ kind: "frame", line: text, boundary: false });
      else if (place.kind === "body") take({ kind: "body", entity: place.entity, line: text, more });
      else if (begins && text === "\r\n") endHeader(text);
      else {
        place.raw += text;
        if (place.raw.length > longestHeader) endHeader("");
      }
    },
    end: () => endHeader(""),
  };
}

/** A line without its CRLF and the blanks before it (RFC 2046 section 5.1.1); looks at each octet once. */
function withoutEnd(text: string): string {
  if (!text.endsWith("\r\n")) return text;
  let end = text.length - 2;
  while (text[end - 1] === " " || text[end - 1] === "\t") end--;
  return text.slice(0, end);
}

function entityOf(
  raw: string,
  number: number,
  {
    type: standard,
    mime: inherited,
    deep,
  }: { readonly type: string; readonly mime: boolean; readonly deep: boolean },
): Entity {
  const fields = splitFields(raw);
  const whole = fields.map((field) => field.raw).join("");
  const mime = inherited || fields.some((field) => isNamed(field, "MIME-Version"));
  const types = mime ? fields.filter((field) => isNamed(field, "Content-Type")) : [];
  const encodings = mime ? fields.filter((field) => isNamed(field, "Content-Transfer-Encoding")) : [];
  const [written] = types.map(fieldBody);
  const type = written === undefined ? standard : /^([!-.0-~]+\/[!-:<-~]+)\s*(?:;|$)/.exec(written)?.[1];
  const [encoding = "7bit"] = encodings.map((field) => fieldBody(field).toLowerCase());
  const entity = { number, fields, type: (type ?? "").toLowerCase(), encoding, mime };
  const kind = kindOf(entity.type, encoding);
  const flaw =
    raw.length > longestHeader || fields.some(({ name }) => name === "") || whole !== raw
      ? "a header in it is none"
      : type === undefined || types.length > 1 || encodings.length > 1
        ? "it does not say clearly what a part is"
        : deep && kind !== "leaf"
          ? "it has parts in parts without end"
          : kind === "multipart" && !parameter(entity, "boundary")
            ? "a multipart has no boundary"
            : undefined;
  return { ...entity, kind, ...(flaw !== undefined && { flaw }) };
}

/**
 * RFC 2045 section 6.4: only leaves may be encoded. If a multipart or message is encoded, its entities are not read.
 */
function kindOf(type: string, encoding: string): Entity["kind"] {
  if (!["7bit", "8bit", "binary"].includes(encoding)) return "leaf";
  if (type.startsWith("multipart/")) return "multipart";
  return type === "message/rfc822" ? "message" : "leaf";
}

/** A parameter of Content-Type, quoted or not (RFC 2045 section 5.1). */
function parameter({ fields }: Pick<Entity, "fields">, name: string): string | undefined {
  const field = fields.find((one) => isNamed(one, "Content-Type"));
  const found =
    field &&
    new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, "i").exec(fieldBody(field));
  return found?.[1]?.replace(/\\(.)/g, "$1") ?? found?.[2];
}
