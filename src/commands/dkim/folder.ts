/** The folder of the keys as the commands see it: keys in every state, and the lock of whoever changes one. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type KeyPlace, keyPlaces } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { takeFileLock } from "../../file-lock.ts";
import { isDomainName, type KeyState, readKeyFileName } from "../../server/delivery/dkim/key-file.ts";
import { readKeyFile, type SigningKey } from "../../server/delivery/dkim/keys.ts";
import { asciiDomain } from "../../smtp/address.ts";

export interface KeyOnDisk extends SigningKey {
  readonly state: KeyState;
  readonly path: string;
}

/** The folder that the configuration `file` names for keys of `domain`. Throws a Failure where it names none. */
export function keyFolder(configuration: Config, file: string, domain: string): string {
  const folder = keyFolderOrNone(configuration, file, domain);
  if (folder !== "") return folder;
  throw unset(file);
}

/** The same, "" where none is set yet. Throws a Failure where nothing of `domain` is to be signed. */
export function keyFolderOrNone({ dkim, domains }: Config, file: string, domain: string): string {
  const own = domains.find(({ name }) => name === domain)?.["dkim-folder"] ?? "";
  if (own !== "off") return own === "" ? dkim.folder : own;
  throw new Failure(
    exitStatus.config,
    `${file}: dkim-folder of ${domain} is "off", so nothing of it is signed; name a folder there, or leave it out for that of [dkim]`,
  );
}

const unset = (file: string): Failure =>
  new Failure(
    exitStatus.config,
    `${file}: dkim.folder is not set, so nothing is signed; tpa-submit dkim new makes the first keys and sets it`,
  );

/** The keys of all domains in all folders that the configuration `file` names. Throws a Failure where it names none. */
export async function allKeysOnDisk(configuration: Config, file: string): Promise<readonly KeyOnDisk[]> {
  const places = keyPlaces(configuration);
  if (places.length === 0) throw unset(file);
  return (await Promise.all(places.map(keysOfPlace))).flat().toSorted(inOrder);
}

/** The keys in one of the folders that count there. Throws a Failure where one cannot be read. */
export const keysOfPlace = async ({ folder, holds }: KeyPlace): Promise<readonly KeyOnDisk[]> =>
  (await keysOnDisk(folder)).filter(({ domain }) => holds(domain));

/** `given` in A-labels and lower case, or the site's own domain. Throws a Failure where it is no domain. */
export function domainOrOwn(given: string | undefined, { domain }: Config): string {
  const ascii = asciiDomain(given ?? domain)?.toLowerCase() ?? "";
  if (isDomainName(ascii)) return ascii;
  throw new Failure(
    exitStatus.usage,
    `expected a domain such as example.org, found ${JSON.stringify(given)}`,
  );
}

/** The keys of `domain`, or of all, by domain and the oldest first. Throws a Failure where one cannot be read. */
export async function keysOnDisk(folder: string, domain?: string): Promise<readonly KeyOnDisk[]> {
  const domains = domain === undefined ? (await namesIn(folder)).filter(isDomainName) : [domain];
  const found: KeyOnDisk[] = [];
  for (const one of domains) {
    for (const name of await namesIn(join(folder, one))) {
      const read = readKeyFileName(name);
      if (read === undefined) continue;
      const path = join(folder, one, name);
      found.push({ ...(await readKeyFile(path, read, one)), state: read.state, path });
    }
  }
  return found.toSorted(inOrder);
}

const inOrder = (one: KeyOnDisk, other: KeyOnDisk): number =>
  compare(one.domain, other.domain) || one.made - other.made || compare(one.selector, other.selector);

const compare = (one: string, other: string): number => Number(one > other) - Number(one < other);

/** In order; none where there is no such folder. */
async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    if (code === "") throw error;
    throw new Failure(exitStatus.noInput, `${folder}: cannot be read (${errorText(error)}); are you root?`);
  }
}

/** Does `work` while nobody else changes the keys of `domain`. Throws a Failure where the folder cannot be written. */
export async function withKeysLocked<Value>(
  folder: string,
  domain: string,
  command: string,
  work: () => Promise<Value>,
): Promise<Value> {
  const path = join(folder, domain);
  const lock = await orUnwritable(path, takeFileLock(join(path, "keys"), `tpa-submit ${command}`));
  try {
    return await orUnwritable(path, work());
  } finally {
    await lock.release();
  }
}

/** What `work` gives; a Failure that names `path` where the system refuses it. */
export async function orUnwritable<Value>(path: string, work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Failure || errorCode(error) === "") throw error;
    throw new Failure(exitStatus.cannotCreate, `${path}: ${errorText(error)}; nothing more was changed`);
  }
}
