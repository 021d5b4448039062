/** One run: ask the directory for everybody, compare with the files, write what is believed. */
import { exitStatus, Failure } from "../failure.ts";
import type { Census, Exclusion, Terms } from "./account.ts";
import {
  aliasDifference,
  aliasesText,
  type Difference,
  difference,
  type PasswordFile,
  passwordFile,
  proofread,
  readAliases,
  readPasswordFile,
  unaccounted,
} from "./contents.ts";
import type { Directory } from "./directory.ts";
import { type Alarm, type GuardFlag, type Loss, suspectCourse, suspectLoss } from "./guard.ts";
import { loginsWithEntry, survey, type Where } from "./search.ts";
import { type Found, findFile, isAsWanted, lockFile, type Ownership, putFile } from "./synced-file.ts";

export interface Task {
  readonly where: Where;
  readonly terms: Terms;
  readonly loggedIn: boolean;
  /** The password file, and the file of sender aliases or "". */
  readonly passwords: string;
  readonly aliases: string;
  readonly ownership: Ownership;
  /** Percent of a file that may go at a time. */
  readonly largestLoss: number;
  /** What is allowed this once. */
  readonly allowed: readonly GuardFlag[];
  /** false: only say what would be done. */
  readonly write: boolean;
}

/** What became of one file. */
export interface FileReport {
  readonly path: string;
  /** refused: a guard spoke up and the file stays. pending: it would be replaced, but nothing was to be written. */
  readonly result: "replaced" | "unchanged" | "pending" | "refused";
  readonly difference: Difference;
  readonly alarms: readonly Alarm[];
}

export interface Report {
  /** The directory that answered. */
  readonly url: string;
  readonly entries: number;
  /** The latest entryCSN among them, or "". */
  readonly latest: string;
  /** How many logins use each scheme; somebody with two passwords counts twice. */
  readonly schemes: ReadonlyMap<string, number>;
  readonly logins: number;
  readonly exclusions: readonly Exclusion[];
  readonly remarks: readonly string[];
  readonly passwords: FileReport;
  readonly aliases: FileReport | undefined;
}

/** Does it once, at the time `now`. Throws what the directory and the files throw; a guard is part of the report. */
export async function synchronise(directory: Directory, task: Task, now: number): Promise<Report> {
  const { census, course, latest } = await survey(directory, task.where, task.terms, {
    loggedIn: task.loggedIn,
    now,
  });
  const doubts = suspectCourse(course);
  const file = passwordFile(census.accounts, task.terms.format);
  // Asked before the files are locked: a directory may be slow.
  const filtered = await filteredAmongLost(directory, task, census, file);
  return inTurn(task, async ({ passwords, aliases }) => {
    const nextPasswords = await passwordsFrom(passwords, file, census, filtered);
    const nextAliases = aliases === undefined ? undefined : await aliasesFrom(aliases, census);
    return {
      url: directory.url,
      entries: census.entries,
      latest,
      schemes: countBy(
        [...census.accounts.values()].flatMap(({ hashes }) => hashes.map(({ scheme }) => scheme)),
      ),
      logins: census.accounts.size,
      exclusions: census.exclusions,
      remarks: census.remarks,
      passwords: await settle(nextPasswords, doubts, task, now),
      aliases: nextAliases && (await settle(nextAliases, doubts, task, now)),
    };
  });
}

/** A file by its name in the settings, and where symbolic links lead from there. */
interface Place {
  readonly path: string;
  readonly file: string;
}

interface Places {
  readonly passwords: Place;
  /** Undefined where none is kept. */
  readonly aliases: Place | undefined;
}

/** Does `work` with nobody else writing the files, from reading to replacing them. Who writes nothing locks nothing. */
async function inTurn<Result>(
  task: Pick<Task, "passwords" | "aliases" | "write">,
  work: (places: Places) => Promise<Result>,
): Promise<Result> {
  const lock = task.write ? lockFile : unlocked;
  const passwords = await lock(task.passwords);
  try {
    const place = { path: task.passwords, file: passwords.file };
    if (task.aliases === "") return await work({ passwords: place, aliases: undefined });
    const aliases = await lock(task.aliases); // always the second, so that two runs never wait for each other
    try {
      return await work({ passwords: place, aliases: { path: task.aliases, file: aliases.file } });
    } finally {
      await aliases.release();
    }
  } finally {
    await passwords.release();
  }
}

async function unlocked(path: string) {
  return { file: path, release: async () => undefined };
}

/** A file as it is and as it should be. */
interface Next extends Place {
  readonly before: Found | undefined;
  readonly text: string;
  readonly difference: Difference;
  readonly loss: Omit<Loss, "lost" | "largest">;
  /** Throws where the text would not say what it should. */
  readonly proofread: () => void;
}

/** Of more logins that go it is not asked whether they have an entry: a guard will speak up, and soon. Our choice. */
const mostLookups = 100;

/** Those of the logins that will go whose entry the filter does not want. */
async function filteredAmongLost(
  directory: Directory,
  task: Task,
  { accounts, exclusions }: Census,
  file: PasswordFile,
): Promise<ReadonlySet<string>> {
  const present = logins(await findFile(task.passwords), file);
  const lost = unaccounted(present, accounts, exclusions);
  if (lost.length > mostLookups) return new Set();
  return loginsWithEntry(directory, task.where, task.terms["login-attribute"], lost);
}

async function passwordsFrom(
  place: Place,
  file: PasswordFile,
  { accounts, exclusions }: Census,
  filtered: ReadonlySet<string>,
): Promise<Next> {
  const before = await findFile(place.file);
  const present = logins(before, file);
  const reasons = [...countBy(exclusions.map(({ reason }) => reason))].map(
    ([reason, count]) => `${count} ${reason}`,
  );
  return {
    ...place,
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
  };
}

async function aliasesFrom(place: Place, { senders }: Census): Promise<Next> {
  const before = await findFile(place.file);
  const text = aliasesText(senders);
  const present = readable(before, readAliases);
  return {
    ...place,
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

/** Those of a password file; one that is as it should be need not be read. */
function logins(found: Found | undefined, { text, lines }: PasswordFile): PasswordFile["lines"] {
  return found?.octets.equals(Buffer.from(text)) ? lines : readable(found, readPasswordFile);
}

/** What a file holds. One that is not there, or damaged, holds nobody: there is nothing to lose by replacing it. */
function readable<Value>(
  found: Found | undefined,
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

async function settle(next: Next, doubts: readonly Alarm[], task: Task, now: number): Promise<FileReport> {
  const { path, file, before, text } = next;
  const loss = { ...next.loss, lost: next.difference.removed.length, largest: task.largestLoss };
  const alarms = [...doubts, ...suspectLoss(loss)].filter(({ flag }) => !task.allowed.includes(flag));
  const report = { path, difference: next.difference, alarms };
  if (alarms.length > 0) return { ...report, result: "refused" };
  if (isAsWanted(before, text, task.ownership)) return { ...report, result: "unchanged" };
  if (!task.write) return { ...report, result: "pending" };
  next.proofread();
  await putFile(file, text, task.ownership, { before, now });
  return { ...report, result: "replaced" };
}

/** How often each word comes, in the order of the alphabet. */
export function countBy(words: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const word of words.toSorted()) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

export function filesOf({ passwords, aliases }: Report): readonly FileReport[] {
  return aliases === undefined ? [passwords] : [passwords, aliases];
}
