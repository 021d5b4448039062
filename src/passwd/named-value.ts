/**
 * A value of the directory's password attribute. It is a hash, as userdir-ldap has it, and where somebody has several
 * passwords `HASH:::NAME,TIME`: behind the hash the name, and when it was made, where a passwd-file has its comment (gecos).
 * Whoever copies such a value into a password file as it is makes a line that still lets in. Pure.
 */
import { isPasswordName } from "./password-names.ts";

export interface PasswordValue {
  readonly hash: string;
  /** Both or neither. */
  readonly name?: string;
  /** Milliseconds since the epoch, of a whole second. */
  readonly made?: number;
}

/** What is not written so is a hash as a whole; others judge that. */
export function readPasswordValue(text: string): PasswordValue {
  const [hash = "", uid, gid, comment, ...more] = text.split(":");
  const [name = "", time = "", ...words] = (comment ?? "").split(",");
  const made = generalizedTime(time);
  const isNamed = uid === "" && gid === "" && more.length === 0 && words.length === 0 && isPasswordName(name);
  return isNamed && made !== undefined ? { hash, name, made } : { hash: text };
}

/** What {@link readPasswordValue} reads. */
export function formatPasswordValue({ hash, name, made }: PasswordValue): string {
  if (name === undefined || made === undefined) return hash;
  const time = new Date(made).toISOString().replace(/\.\d+Z$/, "Z");
  return `${hash}:::${name},${time.replace(/[-:T]/g, "")}`;
}

/** A time as directories write it (RFC 4517 section 3.3.13), in UTC and to the second; undefined for anything else. */
export function generalizedTime(text: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:[.,]\d+)?Z$/.exec(text);
  if (!found) return undefined;
  const [year = 0, month = 1, date = 1, hour = 0, minute = 0, second = 0] = found.slice(1).map(Number);
  return Date.UTC(year, month - 1, date, hour, minute, second);
}
