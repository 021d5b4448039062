/**
 * The canonical forms of a message (RFC 6376 section 3.4): what a DKIM signature covers. The relaxed body is hashed as it
 * comes, with bounded memory. Octets are in "latin1" strings, as in smtp/header.ts.
 */
import { createHash, type Hash } from "node:crypto";
import type { HeaderField } from "../header.ts";

const [tab, lf, cr, space] = [9, 10, 13, 32];

/** A whole field, `raw` with its line ends, without the CRLF at its end (section 3.4.2). */
export function relaxedField(raw: string): string {
  const colon = raw.indexOf(":");
  const value = raw
    .slice(colon + 1)
    .replaceAll("\r\n", "")
    .replace(/[ \t]+/g, " ");
  return `${raw.slice(0, colon).trimEnd().toLowerCase()}:${value.replace(/^ /, "").replace(/ $/, "")}`;
}

/** How a field is written where it is signed. */
export type FieldForm = "relaxed" | "simple";

/** What a signature signs (section 3.7): of each name the last field first, and at the end itself without b=. */
export function signedText(
  fields: readonly HeaderField[],
  names: readonly string[],
  signature: string,
  form: FieldForm = "relaxed",
): Buffer {
  const left = new Map<string, string[]>();
  for (const { name, raw } of fields) {
    const known = left.get(name.toLowerCase());
    if (known) known.push(raw);
    else left.set(name.toLowerCase(), [raw]);
  }
  const chosen = names.flatMap((name) => {
    const raw = left.get(name.toLowerCase())?.pop();
    return raw === undefined ? [] : [form === "relaxed" ? `${relaxedField(raw)}\r\n` : raw];
  });
  const own = form === "relaxed" ? relaxedField(signature) : signature.replace(/\r\n$/, "");
  return Buffer.from(`${chosen.join("")}${withoutValue(own)}`, "latin1");
}

/** A signature's field with its tag b= empty (section 3.5). */
function withoutValue(field: string): string {
  const colon = field.indexOf(":");
  const tags = field.slice(colon + 1).split(";");
  const emptied = tags.map((tag) => {
    const equals = tag.indexOf("=");
    return equals >= 0 && tag.slice(0, equals).trim() === "b" ? tag.slice(0, equals + 1) : tag;
  });
  return `${field.slice(0, colon + 1)}${emptied.join(";")}`;
}

/** SHA-256 of a body in simple form (section 3.4.3), in base64. */
export function simpleBodyHash(body: Buffer): string {
  let end = body.length;
  while (end >= 2 && body[end - 2] === cr && body[end - 1] === lf) end -= 2;
  return createHash("sha256").update(body.subarray(0, end)).update("\r\n").digest("base64");
}

export interface BodyHash {
  /** The next octets of the body, cut anywhere. */
  write(chunk: Uint8Array): void;
  /** The tag bh=. Nothing may be written afterwards. */
  end(): string;
}

/** Lines that are kept as a number. Our choice: longer runs of empty lines are hashed while they come. */
const mostLines = 4096;
const manyLines = Buffer.from("\r\n".repeat(mostLines));

/** SHA-256 of a body in relaxed form (section 3.4.4), in base64. */
export function relaxedBodyHash(): BodyHash {
  const out = Buffer.allocUnsafe(16_384);
  let used = 0;
  let hash = createHash("sha256");
  /** Without the empty lines that `hash` has already: they may be the body's last, which do not count. */
  let before: Hash | undefined;
  let begun = false;
  let lines = 0; // line ends that count where something follows
  let blank = false; // white space, likewise
  let half = false; // a CR whose LF may follow

  const flush = (): void => {
    hash.update(out.subarray(0, used));
    used = 0;
  };
  const put = (octet: number): void => {
    if (used === out.length) flush();
    out[used++] = octet;
  };
  const putText = (octet: number): void => {
    begun = true;
    before = undefined;
    for (; lines > 0; lines--) {
      put(cr);
      put(lf);
    }
    if (blank) put(space);
    blank = false;
    put(octet);
  };
  /** The octets from `from` on that are neither blanks nor line ends, which is most of any message; tells where they end. */
  const putWord = (chunk: Uint8Array, from: number): number => {
    const end = Math.min(chunk.length, from + out.length - used);
    let at = from;
    let place = used;
    for (; at < end; at++) {
      const octet = chunk[at] ?? 0;
      if (octet <= space) break;
      out[place++] = octet;
    }
    used = place;
    return at;
  };
  const endLine = (): void => {
    blank = false;
    lines += 1;
    if (lines < mostLines) return;
    flush();
    before ??= hash.copy();
    hash.update(manyLines);
    lines = 0;
  };

  return {
    write(chunk) {
      for (let at = 0; at < chunk.length; at++) {
        const octet = chunk[at] ?? 0;
        if (half) {
          half = false;
          if (octet === lf) {
            endLine();
            continue;
          }
          putText(cr);
        }
        if (octet === cr) half = true;
        else if (octet === space || octet === tab) blank = true;
        else {
          putText(octet);
          at = putWord(chunk, at + 1) - 1;
        }
      }
    },
    end() {
      if (half) putText(cr);
      if (before) hash = before;
      else flush();
      if (begun) hash.update("\r\n");
      return hash.digest("base64");
    },
  };
}
