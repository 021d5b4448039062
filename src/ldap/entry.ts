/** What a directory tells about one person or thing: names and octets, nothing decided. */
import { isAscii } from "node:buffer";

/** `values` by lower-case attribute name without options; every value as the octets that were sent. */
export interface Entry {
  readonly dn: string;
  readonly values: ReadonlyMap<string, readonly Buffer[]>;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The values of `attribute`, in the directory's order; empty where there are none. */
export function valuesOf(entry: Entry, attribute: string): readonly Buffer[] {
  return entry.values.get(attribute.toLowerCase()) ?? [];
}

/** A value as text, or undefined where it is not UTF-8. A byte order mark stays: it is a character like others. */
export function textOf(value: Buffer): string | undefined {
  if (isAscii(value)) return value.toString("latin1"); // most are, and this is quicker
  try {
    return strict.decode(value);
  } catch (error) {
    if (error instanceof TypeError) return undefined; // not UTF-8
    throw error;
  }
}

/** The values of `attribute` that are text. */
export function textsOf(entry: Entry, attribute: string): readonly string[] {
  const texts: string[] = [];
  for (const value of valuesOf(entry, attribute)) {
    const text = textOf(value);
    if (text !== undefined) texts.push(text);
  }
  return texts;
}

/** RFC 4515 section 3: a filter that finds the entries with exactly this value. */
export function equals(attribute: string, value: string): string {
  const escaped = value.replace(
    /[\\*()\0]/g,
    (found) => `\\${found.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `(${attribute}=${escaped})`;
}
