/**
 * Names of passwords. A login may have several lines in the password file, such as one for each device; the file beside
 * it, `NAME.names`, says what each is called and when it was made, by a digest of the hash. The password file knows nothing
 * of it, and without this file all works as before. Pure.
 */
import { createHash } from "node:crypto";

export interface NamedPassword {
  /** As in the password file, lower case and without the domain. */
  readonly login: string;
  /** See {@link hashDigest}. */
  readonly digest: string;
  /** See {@link isPasswordName}. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly made: number;
}

/** Where the names of the passwords in `file` are. */
export const namesFileOf = (file: string): string => `${file}.names`;

/** Stands for a hash as it is written in the password file; one that is locked is the same as before. */
export function hashDigest(hash: string): string {
  return createHash("sha256").update(hash.replace(/^!/, "")).digest("base64url").slice(0, digestLength);
}

/** The same, where only the whole SHA-256 in base64 is known, of a hash that is not locked. */
export const shortDigest = (whole: string): string =>
  Buffer.from(whole, "base64").toString("base64url").slice(0, digestLength);

export const isHashDigest = (text: string): boolean => /^[A-Za-z0-9_-]{22}$/.test(text);

/** Characters of the digest: 132 bits. Our choice. */
const digestLength = 22;

/** One word, so that a line, a log and a command can hold it. */
export const isPasswordName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/.test(text);

/** Lines `LOGIN DIGEST NAME TIME`; what is anything else is passed over. */
export function parseNames(text: string): readonly NamedPassword[] {
  return text.split("\n").flatMap((line) => {
    const [login = "", digest = "", name = "", time = "", ...more] = line.split(" ");
    const made = Date.parse(time);
    const isOne = login !== "" && digest.length === digestLength && isPasswordName(name) && more.length === 0;
    return isOne && Number.isFinite(made) ? [{ login, digest, name, made }] : [];
  });
}

/** What {@link parseNames} reads. */
export function formatNames(names: readonly NamedPassword[]): string {
  return names
    .map(
      ({ login, digest, name, made }) =>
        `${login} ${digest} ${name} ${new Date(made).toISOString().replace(/\.\d+Z$/, "Z")}\n`,
    )
    .join("");
}

/** What is known of a hash of `login`; the last word counts. */
export const nameOf = (
  names: readonly NamedPassword[],
  login: string,
  digest: string,
): NamedPassword | undefined => names.findLast((one) => one.login === login && one.digest === digest);
