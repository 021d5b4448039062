/** A stored password as text: `{SCHEME}value`, `{SCHEME.HEX}value`, `{SCHEME.B64}value` or a bare crypt string. */
import { exitStatus, Failure } from "../failure.ts";
import {
  decode,
  type Encoding,
  type Inspection,
  longestPassword,
  type PasswordAttempt,
  type Scheme,
  type Unusable,
} from "./scheme.ts";
import { findScheme, schemes, standardScheme } from "./schemes.ts";

/** A stored password that may let somebody in. */
export interface Stored {
  readonly scheme: Scheme;
  readonly value: Buffer;
  readonly inspection: Inspection;
}

/** A scheme's name with the suffix that says how its value is written: `SSHA512.hex`. */
export interface SchemeName {
  readonly scheme: Scheme;
  /** As typed, in upper case, or "". */
  readonly suffix: string;
}

const suffixes = new Map<string, Encoding>([
  ["HEX", "hex"],
  ["B64", "base64"],
  ["BASE64", "base64"],
]);

/** Reads a name such as `blf-crypt` or `SHA256.HEX`; undefined where there is no such scheme or suffix. */
export function readSchemeName(text: string): SchemeName | undefined {
  const [name = "", suffix, ...more] = text.toUpperCase().split(".");
  const scheme = findScheme(name);
  if (!scheme || more.length > 0 || (suffix !== undefined && !suffixes.has(suffix))) return undefined;
  return { scheme, suffix: suffix ?? "" };
}

/** Reads what stands in a password file, in LDAP or on a command line. Never throws, never computes a hash. */
export function readStored(text: string): Stored | Unusable {
  if (text === "") return { problem: "no password" };
  if (/^(\{crypt\})?[!*]/i.test(text)) return { problem: "locked" };
  const found = /^\{([^{}]*)\}(.*)$/s.exec(text);
  if (!found) return inspected(bareScheme(text), Buffer.from(text));
  const named = readSchemeName(found[1] ?? "");
  if (!named) return { problem: `unknown scheme {${printable(found[1] ?? "")}}` };
  const value = readValue(named, found[2] ?? "");
  return "problem" in value ? value : inspected(named.scheme, value);
}

/** Whether `password` belongs to what is stored. */
export async function verifyStored(stored: Stored, attempt: PasswordAttempt): Promise<boolean> {
  return stored.inspection.verify(attempt);
}

/** The text of a value: `{SCHEME}…`, or bare. */
export function formatStored({ scheme, suffix }: SchemeName, value: Buffer, prefix = true): string {
  const encoding = suffixes.get(suffix) ?? (scheme.form === "text" ? "utf8" : scheme.form);
  const text = value.toString(encoding);
  return prefix ? `{${scheme.name}${suffix === "" ? "" : `.${suffix}`}}${text}` : text;
}

function inspected(scheme: Scheme, value: Buffer): Stored | Unusable {
  const inspection = scheme.inspect(value);
  return "problem" in inspection ? inspection : { scheme, value, inspection };
}

/** Dovecot reads what has no prefix as CRYPT. */
function bareScheme(text: string): Scheme {
  return schemes.find(({ bare = "" }) => bare !== "" && text.startsWith(bare)) ?? standardScheme;
}

function readValue({ scheme, suffix }: SchemeName, text: string): Buffer | Unusable {
  const encoding = suffixes.get(suffix);
  if (encoding) return decode(text, encoding) ?? { problem: `not ${encoding}` };
  if (scheme.form === "text") return Buffer.from(text);
  const hex =
    scheme.octets !== undefined && text.length === 2 * scheme.octets ? decode(text, "hex") : undefined;
  return hex ?? decode(text, "base64") ?? { problem: "neither hex nor base64" };
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40);
}

/**
 * Makes a value within the limits of `scheme`. `rounds` 0 is its standard. Throws a Failure (75) for what it cannot
 * keep.
 */
export async function createStored(
  scheme: Scheme,
  rounds: number,
  attempt: PasswordAttempt,
): Promise<Stored> {
  refuseUnfit(scheme, attempt);
  const value = await scheme.generate(attempt, roundsFor(scheme, rounds));
  const inspection = scheme.inspect(value);
  if ("problem" in inspection)
    throw new Error(`${scheme.name} made a value that it refuses: ${inspection.problem}`);
  return { scheme, value, inspection };
}

function refuseUnfit(scheme: Scheme, { password, names }: PasswordAttempt): void {
  const octets = Buffer.byteLength(password);
  const longest = Math.min(scheme.longest ?? longestPassword, longestPassword);
  if (octets > longest) {
    throw unfit(
      `${scheme.name} takes passwords of at most ${longest} octets, and this one has ${octets}: ` +
        `choose a shorter one${longest < longestPassword ? ", or another scheme such as ARGON2ID" : ""}`,
    );
  }
  if (password.includes("\0")) throw unfit("the password has a NUL character, which no client can send");
  if (scheme.named === true && (names[0] ?? "") === "")
    throw unfit(`${scheme.name} needs the user's name: -u user@realm`);
}

/** The rounds to use where `asked` were asked for. Throws a Failure (75) outside of the limits. */
export function roundsFor({ name, rounds }: Scheme, asked: number): number {
  if (!rounds) return 0;
  if (asked === 0) return rounds.standard;
  if (asked >= rounds.least && asked <= rounds.most) return asked;
  throw unfit(`${name} takes ${rounds.least} to ${rounds.most} rounds, not ${asked}`);
}

function unfit(reason: string): Failure {
  return new Failure(exitStatus.temporary, reason);
}
