/** Changes to one login's lines of a password file; every other line stays as it is, to the octet. */

import { readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../durable.ts";
import { errorCode, exitStatus, Failure } from "../failure.ts";
import { takeFileLock } from "../file-lock.ts";
import { decodePasswordFile, hashIn, loginKey } from "./password-file.ts";
import {
  formatNames,
  hashDigest,
  type NamedPassword,
  nameOf,
  namesFileOf,
  parseNames,
} from "./password-names.ts";

export interface Edit {
  readonly text: string;
  /** Numbers of the lines of the login as they were, from one. */
  readonly lines: readonly number[];
}

/**
 * Gives `login` the hash `stored`: in its first line, whose further fields stay, or in a new last one. Its other lines
 * are removed, since their passwords would still let it in. `domain` is that of the logins, "" where it is not known.
 */
export function setLine(text: string, login: string, stored: string, domain: string): Edit {
  const found = find(text, login, domain);
  const [first] = found.numbers;
  if (first === undefined) {
    const before = text === "" || text.endsWith("\n") ? text : `${text}\n`;
    return { text: `${before}${login}:${stored}\n`, lines: [] };
  }
  const kept = found.lines.flatMap((line, at) => {
    if (at + 1 !== first) return found.numbers.includes(at + 1) ? [] : [line];
    const [name = "", , ...fields] = line.replace(/\r$/, "").split(":");
    return [[name, stored, ...fields].join(":") + (line.endsWith("\r") ? "\r" : "")];
  });
  return { text: kept.join("\n"), lines: found.numbers };
}

/** Removes every line of `login`. */
export function deleteLines(text: string, login: string, domain: string): Edit {
  const { lines, numbers } = find(text, login, domain);
  return { text: lines.filter((_, at) => !numbers.includes(at + 1)).join("\n"), lines: numbers };
}

/** What becomes of one password of a login, by its name. The names are those of the whole file, before and after. */
export interface NamedEdit extends Edit {
  readonly names: readonly NamedPassword[];
}

/** Gives `login` the hash `stored` under a name: in place of the password that has the name, or in a new last line. */
export function setNamedLine(
  text: string,
  names: readonly NamedPassword[],
  { login, name, domain }: PasswordOwner,
  { stored, made }: { readonly stored: string; readonly made: number },
): NamedEdit {
  const found = findNamed(text, names, { login, name, domain });
  const [first] = found.numbers;
  // Of two lines with this name only one stays.
  const edit =
    first === undefined
      ? { text: `${text === "" || text.endsWith("\n") ? text : `${text}\n`}${login}:${stored}\n`, lines: [] }
      : { text: replaceHash(found.lines, found.numbers, () => stored), lines: found.numbers };
  const fresh = { login: found.login, digest: hashDigest(stored), name, made };
  return { ...edit, names: [...stillThere(edit.text, names, domain), fresh] };
}

/** The edit of all lines of a login, and the names that are left then. */
export const withNamesLeft = (edit: Edit, names: readonly NamedPassword[], domain: string): NamedEdit => ({
  ...edit,
  names: stillThere(edit.text, names, domain),
});

/** Removes the lines of a named password. */
export function deleteNamedLine(
  text: string,
  names: readonly NamedPassword[],
  owner: PasswordOwner,
): NamedEdit {
  const { lines, numbers } = findNamed(text, names, owner);
  const next = lines.filter((_, at) => !numbers.includes(at + 1)).join("\n");
  return { text: next, lines: numbers, names: stillThere(next, names, owner.domain) };
}

/** Locks a named password, as usermod(8) does it, or opens it again. No lines: it is so already, or there is none. */
export function lockNamedLine(
  text: string,
  names: readonly NamedPassword[],
  owner: PasswordOwner,
  isLocked: boolean,
): NamedEdit {
  const { lines, numbers } = findNamed(text, names, owner);
  const turned = numbers.filter((number) => hashFieldOf(lines[number - 1]).startsWith("!") !== isLocked);
  const next = replaceHash(lines, turned, (hash) => (isLocked ? `!${hash}` : hash.slice(1)));
  return { text: turned.length === 0 ? text : next, lines: turned, names };
}

/** Whose password is meant. */
export interface PasswordOwner {
  readonly login: string;
  readonly name: string;
  /** Of the logins, "" where it is not known. */
  readonly domain: string;
}

const hashFieldOf = (line = ""): string => line.replace(/\r$/, "").split(":")[1] ?? "";

function findNamed(text: string, names: readonly NamedPassword[], { login, name, domain }: PasswordOwner) {
  const { lines, numbers } = find(text, login, domain);
  const own = loginKey(login, domain);
  const named = numbers.filter(
    (number) => nameOf(names, own, hashDigest(hashIn(lines[number - 1] ?? "")))?.name === name,
  );
  return { lines, numbers: named, login: own };
}

/** Puts what `hash` gives into the first of the lines `numbers`, and leaves out the others. */
function replaceHash(
  lines: readonly string[],
  numbers: readonly number[],
  hash: (before: string) => string,
): string {
  return lines
    .flatMap((line, at) => {
      if (!numbers.includes(at + 1)) return [line];
      if (at + 1 !== numbers[0]) return [];
      const [login = "", before = "", ...fields] = line.replace(/\r$/, "").split(":");
      return [[login, hash(before), ...fields].join(":") + (line.endsWith("\r") ? "\r" : "")];
    })
    .join("\n");
}

/** The names of passwords that are still in the file. */
function stillThere(text: string, names: readonly NamedPassword[], domain: string): readonly NamedPassword[] {
  const logins = new Set(names.map(({ login }) => login));
  const there = new Set<string>();
  for (const line of text.split("\n")) {
    const login = loginKey(line.split(":", 1)[0] ?? "", domain);
    if (logins.has(login)) there.add(`${login}\n${hashDigest(hashIn(line))}`);
  }
  return names.filter(({ login, digest }) => there.has(`${login}\n${digest}`));
}

function find(text: string, login: string, domain: string) {
  const wanted = loginKey(login, domain);
  const lines = text.split("\n");
  const numbers = lines.flatMap((line, at) => {
    const name = line.replace(/\r$/, "").split(":")[0] ?? "";
    return name !== "" && !line.startsWith("#") && loginKey(name, domain) === wanted ? at + 1 : [];
  });
  return { lines, numbers };
}

/** Mode of a new file: its group may read it. */
const newMode = 0o640;

/**
 * Applies `change` to the file in one step, keeping owner, group and mode; a file that is not there counts as empty. A
 * lock keeps other writers away from reading to replacing. `now` is the time in milliseconds. Throws a Failure where
 * the file cannot be locked, read, decoded or written.
 */
export function editPasswordFile(
  path: string,
  change: (text: string) => Edit,
  now: () => number,
): Promise<Edit> {
  return inLock(path, (file) => applyChange(file, change, now));
}

/** The same for one password of a login and its name. The names come first: a line is never there without its name. */
export function editNamedPassword(
  path: string,
  change: (text: string, names: readonly NamedPassword[]) => NamedEdit,
  now: () => number,
): Promise<Edit> {
  return inLock(path, async (file) => {
    const found = (await present(namesFileOf(file)))?.octets.toString() ?? "";
    const before = parseNames(found);
    let written = found;
    let names = before;
    const edit = await applyChange(
      file,
      (text) => {
        const next = change(text, before);
        ({ names } = next);
        return next;
      },
      now,
      // Those of the passwords that go are kept until these are gone.
      async (as) => put([...new Set([...before, ...names])], as),
    );
    const { uid, gid, mode } = await stat(file);
    await put(names, { mode: mode & 0o7777, uid, gid });
    return edit;

    /** A file that would say nothing new stays, or is not made. */
    async function put(next: readonly NamedPassword[], as: FileOwnership): Promise<void> {
      const text = formatNames(next);
      if (text !== written) await replaceFile(namesFileOf(file), text, as);
      written = text;
    }
  });
}

/** The names beside the password file `path`; none where they cannot be read. */
export async function readNames(path: string): Promise<readonly NamedPassword[]> {
  try {
    return parseNames(await readFile(namesFileOf(await realpath(path)), "utf8"));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [];
  }
}

async function inLock(path: string, work: (file: string) => Promise<Edit>): Promise<Edit> {
  try {
    const lock = await takeFileLock(path, "tpa-submit passwd");
    try {
      return await work(lock.file);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw fileFailure(path, error);
  }
}

interface FileOwnership {
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** `prepare` is called just before the file is replaced. */
async function applyChange(
  file: string,
  change: (text: string) => Edit,
  now: () => number,
  prepare: (as: FileOwnership) => Promise<void> = async () => undefined,
): Promise<Edit> {
  const found = await present(file);
  const edit = change(found === undefined ? "" : decodePasswordFile(found.octets));
  if (found === undefined) {
    // Made by root, it would be root's, and the relay could not read it: it belongs to whom its folder belongs.
    const { uid, gid } = await stat(dirname(file));
    const as = { mode: newMode, ...(process.geteuid?.() === 0 ? { uid, gid } : {}) };
    await prepare(as);
    await replaceFile(file, edit.text, as);
    return edit;
  }
  const { uid, gid, mode, mtimeMs } = found.stats;
  // Dovecot notices a new file of the same size only when the second of its time differs.
  const second = Math.floor(mtimeMs / 1000);
  const mtime = Math.floor(now() / 1000) === second ? (second + 1) * 1000 : now();
  await prepare({ mode: mode & 0o7777, uid, gid });
  await replaceFile(file, edit.text, { mode: mode & 0o7777, uid, gid, mtime });
  return edit;
}

/** Undefined where there is no file. */
async function present(file: string) {
  try {
    return { stats: await stat(file), octets: await readFile(file) };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function fileFailure(path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (code === "" && !(error instanceof Failure)) return error;
  const what = error instanceof Failure ? error.message : code;
  const advice = code === "EPERM" || code === "EACCES" ? "; run it as root or as the owner of the file" : "";
  return new Failure(exitStatus.temporary, `password file ${path}: ${what}${advice}`, { cause: error });
}
