/**
 * A directory as the rest of the program sees it: searches, entries, and the results that are errors. connection.ts
 * makes one.
 */
import { isAscii } from "node:buffer";
import { type ExitStatus, exitStatus, Failure } from "../failure.ts";

export interface Search {
  readonly base: string;
  readonly scope: "base" | "one" | "sub";
  readonly filter: string;
  readonly attributes: readonly string[];
  readonly pageSize: number;
}

/** A part of a search's result. `referrals` are URLs of directories that hold more; nobody follows them. */
export interface Page {
  readonly entries: readonly LdapEntry[];
  readonly referrals: readonly string[];
}

/**
 * A directory that a bind succeeded on. Every call ends within `LdapAccess.timeout`; each throws an LdapResultError
 * where the directory refuses it, and a Failure (69 or 75) where there is no answer.
 */
export interface LdapDirectory {
  /** Which of the URLs it is. */
  readonly url: string;
  /** RFC 4532: the identity of this connection, "dn:uid=…"; "" is nobody, undefined where it cannot tell. */
  whoami(): Promise<string | undefined>;
  /** Page by page. An empty page ends the search, even where the directory has more: the caller must look. */
  pages(search: Search): AsyncGenerator<Page>;
  /** The entry itself, or undefined where there is none (or none to be seen). */
  read(dn: string, attributes: readonly string[]): Promise<LdapEntry | undefined>;
  /** Replaces all values of `attribute`; resolves when the directory has confirmed it. */
  replace(dn: string, attribute: string, values: readonly string[]): Promise<void>;
  /** Removes values and adds others, all of that or nothing; the other values stay. Resolves as replace() does. */
  change(dn: string, attribute: string, values: ValueChange): Promise<void>;
}

export interface ValueChange {
  readonly remove?: readonly string[];
  readonly add?: readonly string[];
}

/** Names and octets as the directory sent them. `values` by lower-case attribute name without options. */
export interface LdapEntry {
  readonly dn: string;
  readonly values: ReadonlyMap<string, readonly Buffer[]>;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The values of `attribute`, in the directory's order; empty where there are none. */
export function valuesOf(entry: LdapEntry, attribute: string): readonly Buffer[] {
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
export function textsOf(entry: LdapEntry, attribute: string): readonly string[] {
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

/**
 * Text that somebody else wrote, made fit for a message: what is not printable ASCII is escaped as in JSON, and a long
 * text is cut. `quote` stands at both ends.
 */
export function quoted(text: string, quote = '"'): string {
  const escaped = JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `${quote}${escaped.length > mostShown ? `${escaped.slice(0, mostShown)}...` : escaped}${quote}`;
}

/** Characters; our choice. */
const mostShown = 120;

/** The result codes that the program treats differently from the others. */
export const resultCode = {
  protocolError: 2,
  timeLimitExceeded: 3,
  sizeLimitExceeded: 4,
  adminLimitExceeded: 11,
  constraintViolation: 19,
  noSuchObject: 32,
  invalidCredentials: 49,
  unwillingToPerform: 53,
} as const;

/** The directory answered, with a result other than success. */
export class LdapResultError extends Failure {
  readonly code: number;

  /** `doing` is what was asked of it; `diagnosis` is the directory's own text. */
  constructor(url: string, code: number, doing: string, diagnosis: string) {
    const [text, status] = results[code] ?? [`result code ${code}`, exitStatus.unavailable];
    super(status, `${url}: ${text} while ${doing}${diagnosis === "" ? "" : ` (${quoted(diagnosis)})`}`);
    this.name = "LdapResultError";
    this.code = code;
  }
}

const { unavailable, temporary, noPermission, config } = exitStatus;

/** The result codes of RFC 4511 section 4.1.9 in plain English, and the exit status that each code leads to. */
const results: Readonly<Record<number, readonly [text: string, status: ExitStatus]>> = {
  1: ["operations error", unavailable],
  2: ["protocol error", unavailable],
  3: ["time limit exceeded", temporary],
  4: ["size limit exceeded", unavailable],
  7: ["authentication method not supported", config],
  8: ["stronger authentication required", noPermission],
  10: ["the directory refers to another one", unavailable],
  11: ["administrative limit exceeded", unavailable],
  12: ["a control is not supported", unavailable],
  13: ["confidentiality required: use ldaps:// or STARTTLS", config],
  16: ["no such attribute", config],
  17: ["undefined attribute", config],
  18: ["inappropriate matching", config],
  19: ["a rule of the directory forbids the value", noPermission],
  21: ["invalid syntax", config],
  32: ["no such entry", config],
  34: ["invalid DN", config],
  48: ["inappropriate authentication", noPermission],
  49: ["wrong DN or password", noPermission],
  50: ["insufficient access", noPermission],
  51: ["the directory is busy", temporary],
  52: ["the directory is unavailable", temporary],
  53: ["the directory is unwilling", unavailable],
  65: ["the schema forbids it", config],
  80: ["an error inside the directory", temporary],
  112: ["TLS is not supported", unavailable],
};
