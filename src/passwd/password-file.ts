/**
 * The password file as text: lines `user:hash` as ud-replicate writes them, and Dovecot's passwd-file lines
 * `user:hash:uid:gid:gecos:home:shell:extra fields`. password-source.ts reads it from disk.
 * man/tpa-submit-passwd.5 is the description for people.
 */
import { isUtf8 } from "node:buffer";
import { Failure } from "../failure.ts";
import { readStored, type Stored } from "./stored.ts";

export { canonicalLogin, loginKey } from "./login-name.ts";

/** A line with a login; blank lines and comments are none. */
export type PasswordLine = EntryLine | DisabledLine;

/** A line that lets its login in. */
export interface EntryLine {
  /** Counted from one. */
  readonly number: number;
  /** As it is written. */
  readonly login: string;
  /** The hash as it is written. */
  readonly text: string;
  readonly stored: Stored;
}

/** A line that lets nobody in: locked, damaged, or with a condition that this program cannot check. */
export interface DisabledLine {
  readonly number: number;
  readonly login: string;
  /** Never contains the hash. */
  readonly reason: string;
}

/**
 * Dovecot's extra fields that restrict a login, rename it or send it elsewhere. A program that cannot check such a
 * condition must not let the login in, whatever the field's value. Fields that mean the user database (`userdb_…`),
 * Kerberos or the time of an answer restrict nobody.
 * https://doc.dovecot.org/2.3/configuration_manual/authentication/password_database_extra_fields/
 * https://doc.dovecot.org/main/core/config/auth/passdb.html
 */
const conditions = new Set([
  ...["allow_nets", "allow_real_nets", "delay_until", "user", "login_user"],
  ...["proxy", "proxy_maybe", "host"],
  ...["nopassword", "password", "password_noscheme"],
  "passdb_import", // any of the others may be in it
]);

/** Those that suspend a login. */
const suspensions = new Set(["nologin", "noauthenticate", "fail"]);

/** What the number of `hash[34]` means to libpam-pwdfile. */
const numbered = new Map([
  ["34", "{PLAIN-MD5}"],
  ["56", "{DIGEST-MD5}"],
]);

/** The lines of a file's text, in order. Never throws: what cannot be used is a {@link DisabledLine}. */
export function parsePasswordFile(text: string): readonly PasswordLine[] {
  return text.split("\n").flatMap((line, at) => readLine(line, at + 1) ?? []);
}

/** One line, without its end. Never throws. Undefined for a blank line and a comment. */
export function readLine(line: string, number: number): PasswordLine | undefined {
  return parseLine(line.endsWith("\r") ? line.slice(0, -1) : line, number);
}

/** The hash of a line, without the mark that locks it; "" where it has none. */
export function hashIn(line: string): string {
  const [, field = ""] = (line.endsWith("\r") ? line.slice(0, -1) : line).split(":");
  return withoutNumber(field.replace(/^!/, ""));
}

/** Whether the line lets its login in. */
export function isEntry(line: PasswordLine): line is EntryLine {
  return "stored" in line;
}

/** The text of a file's octets. Throws {@link Failure} where they are not UTF-8 text. */
export function decodePasswordFile(octets: Uint8Array): string {
  requireText(octets);
  return new TextDecoder().decode(octets);
}

/** Throws {@link Failure} where the octets are not UTF-8 text. */
export function requireText(octets: Uint8Array): void {
  // A crash or a full disk leaves holes of NUL in a file that was rewritten in place.
  if (octets.includes(0)) throw new Failure(65, "it has NUL characters: is it damaged, or no text file?");
  if (!isUtf8(octets)) throw new Failure(65, "it is not UTF-8 text");
}

function parseLine(line: string, number: number): PasswordLine | undefined {
  if (line.trim() === "" || line.startsWith("#")) return undefined;
  const [login = "", field = "", , , , , , ...extra] = line.split(":");
  if (login === "") return { number, login, reason: "no login before the colon" };
  if (/[\p{Cc}\s]/u.test(login))
    return { number, login, reason: "the login has blanks or control characters" };
  const text = withoutNumber(field);
  const stored = readStored(text);
  if ("problem" in stored) return { number, login, reason: stored.problem };
  const objection = conditionAmong(extra.join(":"));
  return objection === undefined ? { number, login, text, stored } : { number, login, reason: objection };
}

/** Why these extra fields let nobody in; undefined where they restrict nothing. */
function conditionAmong(fields: string): string | undefined {
  for (const word of fields.split(/[ \t]/)) {
    const name = /^[^=:]*/.exec(word)?.[0] ?? ""; // Dovecot 2.3 knows `name:protected=value`
    if (suspensions.has(name)) return `suspended by the extra field ${name}`;
    if (conditions.has(name)) return `the extra field ${name} is not supported`;
  }
  return undefined;
}

function withoutNumber(field: string): string {
  const found = /^([^{].*)\[(\d+)\]$/.exec(field);
  return found ? (numbered.get(found[2] ?? "") ?? "{CRYPT}") + found[1] : field;
}
