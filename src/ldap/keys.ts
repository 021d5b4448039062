/** The SSH keys of an entry of the directory, each a line of authorized_keys(5). Pure. */
import { createHash } from "node:crypto";
import { readKey, type SshKey } from "../ssh/key-file.ts";
import { type LdapEntry, quoted, textOf, valuesOf } from "./directory.ts";

/** The keys of an entry, and what is wrong with its other values. No value is too bad for a remark, and none ends the run. */
export interface EntryKeys {
  readonly keys: readonly SshKey[];
  readonly faults: readonly string[];
}

/** Octets; a key of 16384 bits with options and a comment is shorter. Our choice. */
const longestValue = 20_000;

/** Reads the values of `attribute`, each a line of authorized_keys(5). */
export function keysOf(entry: LdapEntry, attribute: string, login: string): EntryKeys {
  const found = valuesOf(entry, attribute).map((value) => {
    if (value.length > longestValue) return `${value.length} octets are more than any key has`;
    const text = textOf(value);
    return text === undefined ? "the key is not text" : readKey(login, text);
  });
  return {
    keys: found.filter((one) => typeof one !== "string"),
    faults: found.filter((one) => typeof one === "string"),
  };
}

/** Remarks about keys that two logins have: sshd takes the first line that it finds, so only one of them can use it. */
export function sharedKeys(keys: readonly SshKey[]): readonly string[] {
  const holders = new Map<string, Set<string>>();
  for (const { login, key } of keys) holders.set(key, (holders.get(key) ?? new Set()).add(login));
  return keys.flatMap((key) => {
    const logins = [...(holders.get(key.key) ?? [])].toSorted();
    if (logins.length < 2 || logins[0] === key.login) return [];
    return [`${quoted(key.login, "")}: ${nameOf(key)} is the key of ${quoted(logins[0] ?? "", "")} as well`];
  });
}

/** `ssh-ed25519 SHA256:…`, as ssh-keygen -l names a key. */
export function nameOf({ type, key }: SshKey): string {
  const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return `${type} SHA256:${digest.replace("=", "")}`;
}
