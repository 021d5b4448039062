/**
 * What stands in the two files that sync writes: accounts as the lines of a password file, sender addresses as the
 * lines of an aliases file. Pure: makes the text, reads it back, and says what a new one changes.
 */
import { errorText, exitStatus, Failure } from "../failure.ts";
import { decodePasswordFile, isEntry, parsePasswordFile } from "../passwd/password-file.ts";
import { formatNames, hashDigest, type NamedPassword } from "../passwd/password-names.ts";
import { readStored } from "../passwd/stored.ts";
import {
  type Exclusion,
  type FileFormat,
  type Hash,
  type LdapAccount,
  otherReasons,
  type Reason,
} from "./account.ts";

/** What a password file holds: by login in small letters, the hashes as written; none where its line lets nobody in. */
export type FileLogins = ReadonlyMap<string, readonly string[]>;

export interface PasswordFileText {
  readonly text: string;
  /** What it holds. */
  readonly lines: FileLogins;
  /** The names that the directory gives passwords in it; they are in a file of their own. */
  readonly names: readonly NamedPassword[];
}

/**
 * The hashes of one account that get a line, in order: all of them, or for Dovecot, which takes the first line of a
 * login and complains about the others, the one that the directory lists last. OpenLDAP keeps the order in which
 * values were added, so that is the newest.
 */
export function passwordLines(hashes: readonly Hash[], format: FileFormat): readonly string[] {
  return writtenHashes(hashes, format)
    .map(({ text }) => text)
    .toSorted(byOctets);
}

const writtenHashes = (hashes: readonly Hash[], format: FileFormat): readonly Hash[] =>
  format === "dovecot" ? hashes.slice(-1) : hashes;

/**
 * Lines `login:hash`, sorted, nothing else (userdir-ldap's mail-passwords), a line for each hash of an account.
 */
export function passwordFile(
  accounts: ReadonlyMap<string, LdapAccount>,
  format: FileFormat,
): PasswordFileText {
  const lines = new Map(
    [...accounts.values()].map(({ login, hashes }) => [login, passwordLines(hashes, format)] as const),
  );
  const text = [...lines.keys()]
    .toSorted(byOctets)
    .flatMap((login) => (lines.get(login) ?? []).map((hash) => `${login}:${hash}\n`));
  const names = [...accounts.values()]
    .toSorted((one, other) => byOctets(one.login, other.login))
    .flatMap(({ login, hashes }) => namesAmong(login, writtenHashes(hashes, format)));
  return { text: text.join(""), lines, names };
}

/** Of two values with the same hash the last one counts. */
function namesAmong(login: string, hashes: readonly Hash[]): readonly NamedPassword[] {
  const found = hashes.flatMap(({ text, named }) =>
    named === undefined ? [] : [{ login, digest: hashDigest(text), ...named }],
  );
  return found.toSorted((one, other) => byOctets(one.digest, other.digest));
}

/**
 * The text of the file of names: those that the directory gives, and of the `present` ones those of passwords that it gives
 * none.
 */
export function namesText(present: readonly NamedPassword[], { lines, names }: PasswordFileText): string {
  const given = new Set(names.map(({ login, digest }) => `${login} ${digest}`));
  const stays = present.filter(
    ({ login, digest }) =>
      !given.has(`${login} ${digest}`) &&
      (lines.get(login) ?? []).some((text) => hashDigest(text) === digest),
  );
  return formatNames([...stays, ...names]);
}

/** The last check before a file is written. Throws an Error where its readers would understand something else. */
export function proofread({ text, lines }: Pick<PasswordFileText, "text" | "lines">): void {
  if (!same(readPasswordFile(Buffer.from(text)), lines)) throw new Error("a line would mean something else");
}

/** Reads what {@link passwordFile} wrote, or somebody else. Throws a Failure where it is no password file. */
export function readPasswordFile(octets: Uint8Array): FileLogins {
  const present = new Map<string, readonly string[]>();
  for (const line of parsePasswordFile(decodePasswordFile(octets))) {
    const login = line.login.toLowerCase();
    present.set(login, [...(present.get(login) ?? []), ...(isEntry(line) ? [line.text] : [])]);
  }
  return present;
}

/** Lines `address: login, login`, sorted, as `serve` reads them (senders.aliases). */
export function aliasesText(senders: ReadonlyMap<string, ReadonlySet<string>>): string {
  return [...senders]
    .map(([address, logins]) => `${address}: ${[...logins].toSorted(byOctets).join(", ")}\n`)
    .toSorted(byOctets)
    .join("");
}

/** Reads an aliases file: the lines by address. Throws a Failure where it is not text. */
export function readAliases(octets: Uint8Array): ReadonlyMap<string, string> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch (error) {
    throw new Failure(exitStatus.data, `not UTF-8 text: ${errorText(error)}`);
  }
  const lines = text.split(/\r?\n/).filter((line) => line.includes(":") && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()] as const;
    }),
  );
}

/** The same order everywhere, whatever the locale. */
function byOctets(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

function same(one: FileLogins, other: FileLogins): boolean {
  if (one.size !== other.size) return false;
  return [...one].every(([login, texts]) => texts.join("\n") === other.get(login)?.join("\n"));
}

/** One login or address that a new file changes, and why. Never with a hash. */
export interface NamedChange {
  /** A login, or an address in the file of aliases. */
  readonly name: string;
  /** For people to read. */
  readonly why: string;
}

/** `reason` is missing where an address is removed. */
export interface Removal extends NamedChange {
  readonly reason?: Reason;
}

export interface Difference {
  readonly added: readonly NamedChange[];
  readonly changed: readonly NamedChange[];
  readonly removed: readonly Removal[];
}

/**
 * From the `present` file to the file `next`. `exclusions` tell why a login is removed. A login in none of them has no
 * entry in the directory, unless it is in `filtered`.
 */
export function difference(
  present: FileLogins,
  next: FileLogins,
  exclusions: readonly Exclusion[],
  filtered: ReadonlySet<string> = new Set(),
): Difference {
  const added: NamedChange[] = [];
  const changed: NamedChange[] = [];
  for (const [login, texts] of next) {
    const before = present.get(login);
    if (before === undefined) added.push({ name: login, why: `new: ${schemes(texts)}` });
    else if (!sameSet(before, texts)) changed.push({ name: login, why: change(before, texts) });
  }
  const reasons = new Map(exclusions.map((exclusion) => [exclusion.login, exclusion]));
  const removed = [...present.keys()]
    .filter((login) => !next.has(login))
    .map((login): Removal => {
      const found = reasons.get(login);
      if (found) return { name: login, reason: found.reason, why: found.detail };
      if (filtered.has(login)) return { name: login, reason: "filtered", why: otherReasons.filtered };
      return { name: login, reason: "absent", why: otherReasons.absent };
    });
  return { added, changed, removed };
}

/** What a new file of aliases would change; each value is the logins that may use the address. */
export function aliasDifference(
  present: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): Difference {
  const steps = [...next].map(([name, why]) => ({ name, why, before: present.get(name) }));
  const strip = ({ name, why }: NamedChange): NamedChange => ({ name, why });
  return {
    added: steps.filter(({ before }) => before === undefined).map(strip),
    changed: steps.filter(({ before, why }) => before !== undefined && before !== why).map(strip),
    removed: [...present.keys()]
      .filter((name) => !next.has(name))
      .map((name) => ({ name, why: "nobody has it any more" })),
  };
}

/** The logins of `present` for which the directory gave no entry. */
export function lostLogins(
  present: FileLogins,
  accounts: ReadonlyMap<string, LdapAccount>,
  exclusions: readonly Exclusion[],
): readonly string[] {
  const excluded = new Set(exclusions.map(({ login }) => login));
  return [...present.keys()].filter((login) => !accounts.has(login) && !excluded.has(login));
}

/** The algorithm of a hash, or "damaged". */
export function schemeOf(text: string): string {
  const stored = readStored(text);
  return "problem" in stored ? "damaged" : stored.inspection.algorithm;
}

function schemes(texts: readonly string[]): string {
  return texts.length === 0 ? "nothing usable" : texts.map(schemeOf).join(" and ");
}

function change(before: readonly string[], after: readonly string[]): string {
  const gone = before.filter((text) => !after.includes(text));
  const come = after.filter((text) => !before.includes(text));
  if (come.length === 0) return `${schemes(gone)} taken away, ${schemes(after)} left`;
  if (gone.length === 0) return `${schemes(come)} beside ${schemes(before)}`;
  return `${schemes(come)} for ${schemes(gone)}`;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text) => other.includes(text));
}
