/**
 * The file of SSH keys that sync writes (ssh.keys). One file holds the keys of all domains: each domain replaces its own
 * lines and leaves those of the others. Pure.
 */
import { formatKeyFile, parseKeyFile, type SshKey } from "../ssh/key-file.ts";
import type { Difference, NamedChange } from "./contents.ts";
import { nameOf } from "./keys.ts";

/** Which lines of the file are ours. */
export interface KeyOwner {
  /** The domain that its logins are written with, "" for the main one. */
  readonly domain: string;
  /** For the main domain: those whose lines stay as they are, because they are synchronised by themselves. */
  readonly others: readonly string[];
}

/** The new file: `keys` of the owner beside the lines of the others, and what that changes. */
export interface NextKeys {
  readonly text: string;
  readonly difference: Difference;
  /** Logins of the owner with a key, before and after. */
  readonly present: number;
  readonly next: number;
}

/** `before` is the file's text, "" where there is none. */
export function nextKeys(before: string, keys: readonly SshKey[], owner: KeyOwner): NextKeys {
  const found = parseKeyFile(before);
  const own = keys.map((key) => ({ ...key, login: loginIn(owner, key.login) }));
  const [present, next] = [byLogin(found.filter((key) => isOurs(owner, key))), byLogin(own)];
  const text = formatKeyFile([...found.filter((key) => !isOurs(owner, key)), ...own]);
  return { text, difference: keyDifference(present, next), present: present.size, next: next.size };
}

/** What is of no domain that is synchronised by itself is the main one's, so that it goes when its domain is given up. */
function isOurs({ domain, others }: KeyOwner, { login }: SshKey): boolean {
  const [, own = ""] = login.split("@");
  return domain === "" ? !others.includes(own) : own === domain;
}

/** As the login is written in the file. */
const loginIn = ({ domain }: KeyOwner, login: string): string =>
  domain === "" ? login : `${login}@${domain}`;

/** The keys of `login` in the file. */
export function keysInFile(text: string, owner: KeyOwner, login: string): readonly SshKey[] {
  const name = loginIn(owner, login);
  return parseKeyFile(text).filter((key) => key.login === name);
}

/** Throws an Error where the text would be read as something else. */
export function proofreadKeys(text: string): void {
  if (formatKeyFile(parseKeyFile(text)) !== text) throw new Error("a line would mean something else");
}

type NamedKeys = ReadonlyMap<string, readonly string[]>;

/** By login, each key as people know it, with its options. */
function byLogin(keys: readonly SshKey[]): NamedKeys {
  const names = new Map<string, readonly string[]>();
  for (const key of keys) {
    const name = [nameOf(key), ...key.options].join(" ");
    names.set(key.login, [...(names.get(key.login) ?? []), name]);
  }
  return names;
}

function keyDifference(present: NamedKeys, next: NamedKeys): Difference {
  const added: NamedChange[] = [];
  const changed: NamedChange[] = [];
  for (const [name, keys] of next) {
    const before = present.get(name);
    const [come, gone] = [without(keys, before ?? []), without(before ?? [], keys)];
    if (before === undefined) added.push({ name, why: keys.join(", ") });
    else if (come.length + gone.length > 0) {
      const words = [...come.map((key) => `${key} comes`), ...gone.map((key) => `${key} goes`)];
      changed.push({ name, why: words.join(", ") });
    }
  }
  const removed = [...present.keys()].filter((name) => !next.has(name));
  return { added, changed, removed: removed.map((name) => ({ name, why: "it has no key any more" })) };
}

const without = (some: readonly string[], others: readonly string[]): readonly string[] =>
  some.filter((one) => !others.includes(one));
