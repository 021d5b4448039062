/** Accounts as the text of a password file, and sender addresses as the text of an aliases file; and back. */
import { errorText, exitStatus, Failure } from "../failure.ts";
import { decodePasswordFile, isEntry, parsePasswordFile } from "../passwd/passwordfile.ts";
import type { Account } from "./account.ts";
import type { Format, Hash } from "./hash.ts";

/** What a password file holds: by login in small letters, the hashes as written; none where its line lets nobody in. */
export type Present = ReadonlyMap<string, readonly string[]>;

export interface PasswordFile {
  readonly text: string;
  /** What it holds. */
  readonly lines: Present;
}

/**
 * The hashes of one account that get a line, in order: all of them, or for Dovecot, which takes the first line of a
 * login and complains about the others, the one that the directory lists last. OpenLDAP keeps the order in which
 * values were added, so that is the newest.
 */
export function passwordLines(hashes: readonly Hash[], format: Format): readonly string[] {
  const texts = hashes.map(({ text }) => text);
  return format === "dovecot" ? texts.slice(-1) : texts.toSorted(byOctets);
}

/**
 * Lines `login:hash`, sorted, nothing else (userdir-ldap's mail-passwords), a line for each hash of an account.
 */
export function passwordFile(accounts: ReadonlyMap<string, Account>, format: Format): PasswordFile {
  const lines = new Map(
    [...accounts.values()].map(({ login, hashes }) => [login, passwordLines(hashes, format)] as const),
  );
  const text = [...lines.keys()]
    .toSorted(byOctets)
    .flatMap((login) => (lines.get(login) ?? []).map((hash) => `${login}:${hash}\n`));
  return { text: text.join(""), lines };
}

/** The last look before a file is written: throws an Error where its readers would understand something else. */
export function proofread({ text, lines }: PasswordFile): void {
  if (!same(readPasswordFile(Buffer.from(text)), lines)) throw new Error("a line would mean something else");
}

/** Reads what {@link passwordFile} wrote, or somebody else. Throws a Failure where it is no password file. */
export function readPasswordFile(octets: Uint8Array): Present {
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

function same(one: Present, other: Present): boolean {
  if (one.size !== other.size) return false;
  return [...one].every(([login, texts]) => texts.join("\n") === other.get(login)?.join("\n"));
}
