/** Changes to one login's lines of a password file; every other line stays as it is, to the octet. */

import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../durable.ts";
import { errorCode, exitStatus, Failure } from "../failure.ts";
import { takeFileLock } from "../file-lock.ts";
import { decodePasswordFile, loginKey } from "./password-file.ts";

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
export async function editPasswordFile(
  path: string,
  change: (text: string) => Edit,
  now: () => number,
): Promise<Edit> {
  try {
    const lock = await takeFileLock(path, "tpa-submit passwd");
    try {
      return await applyChange(lock.file, change, now);
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw fileFailure(path, error);
  }
}

async function applyChange(file: string, change: (text: string) => Edit, now: () => number): Promise<Edit> {
  const found = await present(file);
  const edit = change(found === undefined ? "" : decodePasswordFile(found.octets));
  if (found === undefined) {
    // Made by root, it would be root's, and the relay could not read it: it belongs to whom its folder belongs.
    const { uid, gid } = await stat(dirname(file));
    await replaceFile(file, edit.text, { mode: newMode, ...(process.geteuid?.() === 0 ? { uid, gid } : {}) });
    return edit;
  }
  const { uid, gid, mode, mtimeMs } = found.stats;
  // Dovecot notices a new file of the same size only when the second of its time differs.
  const second = Math.floor(mtimeMs / 1000);
  const mtime = Math.floor(now() / 1000) === second ? (second + 1) * 1000 : now();
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
