/** One run: search the directory for all accounts, compare with the files, and write what no guard objects to. */
import { exitStatus, Failure } from "../failure.ts";
import { namesFileOf, parseNames } from "../passwd/password-names.ts";
import type { CollectedAccounts, Exclusion, RuleSettings } from "./account.ts";
import {
  aliasDifference,
  aliasesText,
  type Difference,
  difference,
  lostLogins,
  namesText,
  type PasswordFileText,
  passwordFile,
  proofread,
  readAliases,
  readPasswordFile,
} from "./contents.ts";
import type { LdapDirectory } from "./directory.ts";
import { type Alarm, checkLoss, checkSearch, type GuardFlag, type Loss } from "./guard.ts";
import { type KeyOwner, nextKeys, proofreadKeys } from "./keys-file.ts";
import { loginsWithEntry, type SearchSettings, searchAccounts } from "./search.ts";
import { type FileState, findFile, isAsWanted, lockFile, type Ownership, putFile } from "./synced-file.ts";

export interface SyncTask {
  readonly search: SearchSettings;
  readonly rules: RuleSettings;
  readonly loggedIn: boolean;
  /** The password file, and the file of sender aliases or "". */
  readonly passwords: string;
  readonly aliases: string;
  /** The file of SSH keys and whose lines are ours, or undefined. */
  readonly keys?: { readonly path: string; readonly owner: KeyOwner } | undefined;
  readonly ownership: Ownership;
  /** Percent of a file that one run may remove. */
  readonly largestLoss: number;
  /** The guards that are off for this run. */
  readonly allowed: readonly GuardFlag[];
  /** false: only say what would be done. */
  readonly write: boolean;
}

/** What became of one file. */
export interface FileReport {
  readonly path: string;
  /** refused: a guard objected and the file stays. pending: it would be replaced, but nothing was to be written. */
  readonly result: "replaced" | "unchanged" | "pending" | "refused";
  readonly difference: Difference;
  readonly alarms: readonly Alarm[];
}

export interface SyncReport {
  /** The directory that answered. */
  readonly url: string;
  readonly entries: number;
  /** The latest entryCSN among them, or "". */
  readonly latest: string;
  /** How many logins use each scheme; one with two passwords counts twice. */
  readonly schemes: ReadonlyMap<string, number>;
  readonly logins: number;
  readonly exclusions: readonly Exclusion[];
  readonly remarks: readonly string[];
  readonly passwords: FileReport;
  readonly aliases: FileReport | undefined;
  readonly keys?: FileReport | undefined;
}

/** Runs once, at the time `now`. Throws what the directory and the files throw; a guard's alarm is in the report. */
export async function synchronise(
  directory: LdapDirectory,
  task: SyncTask,
  now: number,
): Promise<SyncReport> {
  const { collected, outcome, latest } = await searchAccounts(directory, task.search, task.rules, {
    loggedIn: task.loggedIn,
    now,
  });
  const searchAlarms = checkSearch(outcome);
  const file = passwordFile(collected.accounts, task.rules.format);
  // Asked before the files are locked: a directory may be slow.
  const filtered = await lostButFiltered(directory, task, collected, file);
  return withLocks(task, async ({ passwords, aliases, keys }) => {
    const nextPasswords = await passwordsFrom(passwords, file, collected, {
      filtered,
      ownership: task.ownership,
    });
    const nextAliases = aliases === undefined ? undefined : await aliasesFrom(aliases, collected);
    const nextKeyFile =
      keys === undefined || !task.keys ? undefined : await keysFrom(keys, task.keys.owner, collected);
    return {
      url: directory.url,
      entries: collected.entries,
      latest,
      schemes: countBy(
        [...collected.accounts.values()].flatMap(({ hashes }) => hashes.map(({ scheme }) => scheme)),
      ),
      logins: collected.accounts.size,
      exclusions: collected.exclusions,
      remarks: collected.remarks,
      passwords: await replaceUnlessSuspect(nextPasswords, searchAlarms, task, now),
      aliases: nextAliases && (await replaceUnlessSuspect(nextAliases, searchAlarms, task, now)),
      keys: nextKeyFile && (await replaceUnlessSuspect(nextKeyFile, searchAlarms, task, now)),
    };
  });
}

/** A file by its name in the settings, and where symbolic links lead from there. */
interface FilePath {
  readonly path: string;
  readonly file: string;
}

interface FilePaths {
  readonly passwords: FilePath;
  /** Undefined where none is kept. */
  readonly aliases: FilePath | undefined;
  readonly keys: FilePath | undefined;
}

/** Does `work` while nobody else can write the files, from reading to replacing them. A dry run locks nothing. */
async function withLocks<Result>(
  task: Pick<SyncTask, "passwords" | "aliases" | "keys" | "write">,
  work: (paths: FilePaths) => Promise<Result>,
): Promise<Result> {
  const held: { release(): Promise<void> }[] = [];
  async function take(path: string): Promise<FilePath> {
    const lock = await (task.write ? lockFile : unlocked)(path);
    held.unshift(lock);
    return { path, file: lock.file };
  }
  try {
    // Always in this order, so that two runs never wait for each other.
    const passwords = await take(task.passwords);
    const aliases = task.aliases === "" ? undefined : await take(task.aliases);
    const keys = task.keys && (await take(task.keys.path));
    return await work({ passwords, aliases, keys });
  } finally {
    for (const lock of held) await lock.release();
  }
}

async function unlocked(path: string) {
  return { file: path, release: async () => undefined };
}

/** A file as it is, and as it is to be. */
interface NextFile extends FilePath {
  readonly before: FileState | undefined;
  readonly text: string;
  readonly difference: Difference;
  readonly loss: Omit<Loss, "lost" | "largest">;
  /** Throws where the text would be read as something else. */
  readonly proofread: () => void;
  /** The file of the passwords' names, where it is to be another one. */
  readonly names?: { readonly file: string; readonly before: FileState | undefined; readonly text: string };
}

/** Where more logins are to be removed, their entries are not searched for: a guard objects anyway. Our choice. */
const mostLookups = 100;

/** The logins to be removed that have an entry which the filter does not find. */
async function lostButFiltered(
  directory: LdapDirectory,
  task: SyncTask,
  { accounts, exclusions }: CollectedAccounts,
  file: PasswordFileText,
): Promise<ReadonlySet<string>> {
  const present = logins(await findFile(task.passwords), file);
  const lost = lostLogins(present, accounts, exclusions);
  if (lost.length > mostLookups) return new Set();
  return loginsWithEntry(directory, task.search, task.rules["login-attribute"], lost);
}

async function passwordsFrom(
  path: FilePath,
  file: PasswordFileText,
  { accounts, exclusions }: CollectedAccounts,
  { filtered, ownership }: { readonly filtered: ReadonlySet<string>; readonly ownership: Ownership },
): Promise<NextFile> {
  const before = await findFile(path.file);
  const present = logins(before, file);
  const reasons = [...countBy(exclusions.map(({ reason }) => reason))].map(
    ([reason, count]) => `${count} ${reason}`,
  );
  return {
    ...path,
    before,
    text: file.text,
    difference: difference(present, file.lines, exclusions, filtered),
    loss: {
      unit: "logins",
      present: present.size,
      next: accounts.size,
      needed: true,
      excluded: reasons.join(", "),
    },
    proofread: () => proofread(file),
    ...(await namesFrom(path.file, file, ownership)),
  };
}

async function namesFrom(
  passwords: string,
  content: PasswordFileText,
  ownership: Ownership,
): Promise<Pick<NextFile, "names">> {
  const file = namesFileOf(passwords);
  const before = await findFile(file);
  const text = namesText(parseNames(before?.octets.toString() ?? ""), content);
  const isFit = before === undefined ? text === "" : isAsWanted(before, text, ownership);
  return isFit ? {} : { names: { file, before, text } };
}

async function aliasesFrom(path: FilePath, { senders }: CollectedAccounts): Promise<NextFile> {
  const before = await findFile(path.file);
  const text = aliasesText(senders);
  const present = readable(before, readAliases);
  return {
    ...path,
    before,
    text,
    difference: aliasDifference(present, readAliases(Buffer.from(text))),
    loss: {
      unit: "sender addresses",
      present: present.size,
      next: senders.size,
      needed: false,
      excluded: "",
    },
    proofread: () => undefined,
  };
}

async function keysFrom(path: FilePath, owner: KeyOwner, { keys }: CollectedAccounts): Promise<NextFile> {
  const before = await findFile(path.file);
  const { text, difference: changes, present, next } = nextKeys(before?.octets.toString() ?? "", keys, owner);
  return {
    ...path,
    before,
    text,
    difference: changes,
    loss: { unit: "logins with keys", present, next, needed: false, excluded: "" },
    proofread: () => proofreadKeys(text),
  };
}

/** The logins of a password file; one that already is as it is to be need not be read. */
function logins(found: FileState | undefined, { text, lines }: PasswordFileText): PasswordFileText["lines"] {
  return found?.octets.equals(Buffer.from(text)) ? lines : readable(found, readPasswordFile);
}

/** What a file holds. A missing or damaged one holds no logins: replacing it loses nothing. */
function readable<Value>(
  found: FileState | undefined,
  read: (octets: Buffer) => ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  if (found === undefined) return new Map();
  try {
    return read(found.octets);
  } catch (error) {
    if (error instanceof Failure && error.status === exitStatus.data) return new Map();
    throw error;
  }
}

async function replaceUnlessSuspect(
  next: NextFile,
  searchAlarms: readonly Alarm[],
  task: SyncTask,
  now: number,
): Promise<FileReport> {
  const { path, file, before, text, names } = next;
  const loss = { ...next.loss, lost: next.difference.removed.length, largest: task.largestLoss };
  const alarms = [...searchAlarms, ...checkLoss(loss)].filter(({ flag }) => !task.allowed.includes(flag));
  const report = { path, difference: next.difference, alarms };
  if (alarms.length > 0) return { ...report, result: "refused" };
  const isRight = isAsWanted(before, text, task.ownership);
  if (isRight && names === undefined) return { ...report, result: "unchanged" };
  if (!task.write) return { ...report, result: "pending" };
  next.proofread();
  // Names first: who logs in with a new password has its name in the log.
  if (names) await putFile(names.file, names.text, task.ownership, { before: names.before, now });
  if (!isRight) await putFile(file, text, task.ownership, { before, now });
  return { ...report, result: "replaced" };
}

/** How often each text occurs, in alphabetical order. */
export function countBy(texts: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts.toSorted()) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

export function filesOf({ passwords, aliases, keys }: SyncReport): readonly FileReport[] {
  return [passwords, aliases, keys].filter((file) => file !== undefined);
}
