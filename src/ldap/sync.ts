/** One run: ask the directory for everybody, compare with the files, write what is believed. */
import { exitStatus, Failure } from "../failure.ts";
import type { Exclusion, Terms } from "./account.ts";
import type { Census } from "./census.ts";
import { aliasDifference, type Difference, difference, unaccounted } from "./difference.ts";
import type { Directory } from "./directory.ts";
import { type Found, findFile, isAsWanted, type Ownership, putFile } from "./file.ts";
import { type Alarm, type GuardFlag, type Loss, suspectCourse, suspectLoss } from "./guard.ts";
import { aliasesText, passwordFile, proofread, readAliases, readPasswordFile } from "./lines.ts";
import { loginsWithEntry, survey, type Where } from "./search.ts";

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
  const passwords = await nextPasswords(directory, task, census);
  const aliases = task.aliases === "" ? undefined : await nextAliases(task, census);
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
    passwords: await settle(passwords, doubts, task, now),
    aliases: aliases && (await settle(aliases, doubts, task, now)),
  };
}

/** A file as it is and as it should be. */
interface Next {
  readonly path: string;
  readonly before: Found | undefined;
  readonly text: string;
  readonly difference: Difference;
  readonly loss: Omit<Loss, "lost" | "largest">;
  /** Throws where the text would not say what it should. */
  readonly proofread: () => void;
}

/** Of more logins that go it is not asked whether they have an entry: a guard will speak up, and soon. Our choice. */
const mostLookups = 100;

async function nextPasswords(directory: Directory, task: Task, census: Census): Promise<Next> {
  const { accounts, exclusions } = census;
  const before = await findFile(task.passwords);
  const file = passwordFile(accounts, task.terms.format);
  const present = before?.octets.equals(Buffer.from(file.text))
    ? file.lines
    : readable(before, readPasswordFile);
  const lost = unaccounted(present, accounts, exclusions);
  const filtered =
    lost.length > mostLookups
      ? new Set<string>()
      : await loginsWithEntry(directory, task.where, task.terms["login-attribute"], lost);
  const reasons = [...countBy(exclusions.map(({ reason }) => reason))].map(
    ([reason, count]) => `${count} ${reason}`,
  );
  return {
    path: task.passwords,
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

async function nextAliases(task: Task, { senders }: Census): Promise<Next> {
  const before = await findFile(task.aliases);
  const text = aliasesText(senders);
  const present = readable(before, readAliases);
  return {
    path: task.aliases,
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
  const { path, before, text } = next;
  const loss = { ...next.loss, lost: next.difference.removed.length, largest: task.largestLoss };
  const alarms = [...doubts, ...suspectLoss(loss)].filter(({ flag }) => !task.allowed.includes(flag));
  const report = { path, difference: next.difference, alarms };
  if (alarms.length > 0) return { ...report, result: "refused" };
  if (isAsWanted(before, text, task.ownership)) return { ...report, result: "unchanged" };
  if (!task.write) return { ...report, result: "pending" };
  next.proofread();
  await putFile(path, text, task.ownership, { before, now });
  return { ...report, result: "replaced" };
}

/** How often each word comes, in the order of the alphabet. */
export function countBy(words: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const word of words.toSorted()) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
