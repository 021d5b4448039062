/**
 * The keys that sign: DOMAIN/SELECTOR.rsa.pem and DOMAIN/SELECTOR.ed25519.pem in one folder. Each of them signs: two of
 * one kind, as in the middle of a rotation, make two signatures, both valid. Keys in other states have other names
 * (key-file.ts).
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import type { Stats } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorText, exitStatus, Failure } from "../../../failure.ts";
import { type KeyKind, shortestKey as shortest } from "../../../smtp/dkim/record.ts";
import { isDomainName, type KeyFileName, readKeyFileName } from "./key-file.ts";

export interface SigningKey {
  /** A-labels, lower case. */
  readonly domain: string;
  readonly selector: string;
  readonly kind: KeyKind;
  readonly key: KeyObject;
  /** When its file was written, in milliseconds since the epoch. */
  readonly made: number;
}

/** By domain; those with RSA first, as some receivers look at few signatures only. */
export type SigningKeys = ReadonlyMap<string, readonly SigningKey[]>;

/** RFC 8301 section 3.2: no receiver need understand a longer one. */
const longest = 4096;

/** All keys in `folder`, which `setting` names. Other files are passed over, unless their name ends in .pem. Throws a Failure. */
export async function readSigningKeys(folder: string, setting = "dkim.folder"): Promise<SigningKeys> {
  const keys = new Map<string, readonly SigningKey[]>();
  for (const domain of await namesIn(folder, `${setting} names it`)) {
    if (!isDomainName(domain)) continue;
    const path = join(folder, domain);
    if (!(await statOf(path)).isDirectory()) continue;
    const names = (await namesIn(path, "it is a folder in dkim.folder")).filter((name) =>
      name.endsWith(".pem"),
    );
    const found = await Promise.all(names.map((name) => readKey(path, name, domain)));
    const twice = found.find((one, at) => found.findIndex(({ selector }) => selector === one.selector) < at);
    if (twice) {
      // RFC 6376 section 3.6.2.2
      const text = `${path}: expected one key for each selector, found two for ${twice.selector}`;
      throw new Failure(exitStatus.config, `${text}; give one of them a selector of its own`);
    }
    if (found.length > 0)
      keys.set(
        domain,
        found.toSorted((one, other) => rank(one) - rank(other)),
      );
  }
  return keys;
}

const rank = ({ kind }: SigningKey): number => (kind === "rsa" ? 0 : 1);

async function readKey(folder: string, name: string, domain: string): Promise<SigningKey> {
  const path = join(folder, name);
  const read = readKeyFileName(name);
  if (read === undefined) {
    const text = "expected a name such as 2026a.rsa.pem or 2026b.ed25519.pem, in lower case";
    throw new Failure(exitStatus.config, `${path}: ${text}; rename it or put it elsewhere`);
  }
  return readKeyFile(path, read, domain);
}

/** The key in the file `path`, whose name has been read. Throws a Failure where it is none that can sign. */
export async function readKeyFile(
  path: string,
  { selector, kind }: KeyFileName,
  domain: string,
): Promise<SigningKey> {
  const file = await statOf(path);
  const mode = file.mode & 0o777;
  if (mode & 0o007) {
    const text = `expected a key that others cannot use, found mode 0${mode.toString(8)}`;
    throw new Failure(exitStatus.config, `${path}: ${text}; chmod 640 it`);
  }
  const key = parsed(await readText(path), path);
  if (key.asymmetricKeyType !== kind) {
    const found = key.asymmetricKeyType ?? "another one";
    throw new Failure(exitStatus.config, `${path}: expected a key of kind ${kind}, found ${found}`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? shortest;
  if (bits < shortest || bits > longest) {
    const text = `expected RSA of ${shortest} to ${longest} bits, best 2048, found ${bits}`;
    throw new Failure(exitStatus.config, `${path}: ${text}`);
  }
  return { domain, selector, kind, key, made: file.mtimeMs };
}

/** What OpenSSL says of a broken key is of no help, and could quote it. */
function parsed(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    throw new Failure(exitStatus.config, `${path}: expected a private key in PEM without a passphrase`);
  }
}

/** The folders whose entries change when keys come, go or change their state. */
export async function keyFolders(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []); // whoever reads the keys next tells why
  return [folder, ...names.filter(isDomainName).map((name) => join(folder, name))];
}

async function namesIn(folder: string, why: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    throw new Failure(exitStatus.config, `${folder}: cannot be read (${errorText(error)}); ${why}`);
  }
}

const statOf = (path: string): Promise<Stats> => orUnreadable(path, stat(path));

const readText = (path: string): Promise<string> => orUnreadable(path, readFile(path, "utf8"));

async function orUnreadable<Value>(path: string, reading: Promise<Value>): Promise<Value> {
  try {
    return await reading;
  } catch (error) {
    const text = `cannot be read (${errorText(error)}); it is in dkim.folder`;
    throw new Failure(exitStatus.config, `${path}: ${text}`);
  }
}
