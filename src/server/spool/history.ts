/**
 * What was tried in vain, for people who ask why a message is still here: a line of JSON for each recipient of each
 * attempt, in the order of time, and between them one for each act of an operator. Nothing depends on it, so it is
 * neither fsynced nor missed, and it is kept short.
 */
import { join } from "node:path";
import { errorCode, errorText } from "../../failure.ts";
import { type Folders, writeDraft } from "./commit.ts";
import type { LastReply } from "./envelope.ts";
import { replyRows, text, time } from "./envelope-file.ts";
import { fieldsOf, type JsonFields, Mismatch, record } from "./strict-json.ts";

/** What was said about one recipient in one attempt. */
export interface FailedAttempt extends LastReply {
  /** Forward-path, as in the envelope. */
  readonly recipient: string;
}

/** What an operator did to the message. */
export interface OperatorAct {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** "hold", "retry", … */
  readonly act: string;
  readonly by: string;
  /** Why, or where to; "" where nothing was said. */
  readonly reason: string;
}

/** A line of the history. */
export type HistoryEntry = FailedAttempt | OperatorAct;

/** So many lines stood here before the history became too long. */
export interface LeftOut {
  readonly leftOut: number;
}

export type History = readonly (HistoryEntry | LeftOut)[];

/** Where histories lie. */
type Shelf = Pick<Folders, "disk" | "history">;

/** Lines from which on a history is cut to its first and its last ones. Our choice: enough for one recipient's days. */
export const mostLines = 200;
const first = 20;
const last = 100;

/** Characters of a reply that are kept. Our choice. */
const longest = 1000;

const noted: JsonFields<FailedAttempt> = { recipient: text, ...replyRows };
const notedField = record(noted);
const handled: JsonFields<OperatorAct> = { act: text, by: text, reason: text, at: time };
const handledField = record(handled);

/**
 * Appends `entries` to the history of `id`. Resolves to why that could not be done, in one line, or undefined: no
 * delivery may fail for it.
 */
export async function addToHistory(
  folders: Folders,
  id: string,
  entries: History,
): Promise<string | undefined> {
  const { disk, history, histories, drafts } = folders;
  if (entries.length === 0) return undefined;
  histories.add(id);
  try {
    const before = await readIfThere(folders, id);
    const lines = before.split("\n").length - 1;
    if (lines + entries.length <= mostLines) {
      const torn = before !== "" && !before.endsWith("\n");
      await disk.append(join(history, id), (torn ? "\n" : "") + formatHistory(entries));
      return undefined;
    }
    const draft = join(drafts, id);
    await writeDraft(disk, draft, formatHistory(cutHistory([...parseHistory(before), ...entries])));
    await disk.rename(draft, join(history, id));
    return undefined;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return errorText(error);
  }
}

/** The history of `id`, empty where there is none; what cannot be read of it is left out. Throws the system's error. */
export async function historyOf(shelf: Shelf, id: string): Promise<History> {
  return parseHistory(await readIfThere(shelf, id));
}

async function readIfThere({ disk, history }: Shelf, id: string): Promise<string> {
  try {
    return await disk.readText(join(history, id));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}

/** A line for each. */
export function formatHistory(history: History): string {
  return history.map((entry) => `${JSON.stringify(writeEntry(entry))}\n`).join("");
}

function writeEntry(entry: HistoryEntry | LeftOut): unknown {
  if ("leftOut" in entry) return entry;
  if ("act" in entry) return handledField.write(entry, "");
  const { text: said } = entry;
  const kept = said.length <= longest ? said : `${said.slice(0, longest)}…`;
  return notedField.write({ ...entry, text: kept }, "");
}

/** A power cut, a full disk or an editor may have left lines that are none: they are passed over. */
export function parseHistory(lines: string): History {
  return lines.split("\n").flatMap((line) => readEntry(line) ?? []);
}

function readEntry(line: string): HistoryEntry | LeftOut | undefined {
  try {
    const fields = fieldsOf(JSON.parse(line), "");
    if (Number.isSafeInteger(fields["leftOut"])) return { leftOut: Number(fields["leftOut"]) };
    return "act" in fields ? handledField.read(fields, "") : notedField.read(fields, "");
  } catch (error) {
    if (error instanceof Mismatch || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The beginning and the end, and between them how much is missing. */
export function cutHistory(history: History): History {
  const end = Math.max(first, history.length - last);
  const leftOut = history
    .slice(first, end)
    .reduce((sum, entry) => sum + ("leftOut" in entry ? entry.leftOut : 1), 0);
  return [...history.slice(0, first), { leftOut }, ...history.slice(end)];
}

// Copies that nobody can be sure of: a next hop had the whole message, and then hung up or fell silent. Counted from the
// history, by our own words for it; what only waited for a paused destination was not sent.

/** Postfix's words, at the end of ours. */
export const uncertain = "message may be sent more than once";

const ours = ["lost connection with ", "conversation with "];

const isUncertain = ({ relay, text }: FailedAttempt): boolean =>
  relay === "none" && ours.some((words) => text.startsWith(words)) && text.endsWith(uncertain);

/** How many copies the recipient `address` may have already, as far as `history` goes back. */
export function possibleCopies(history: History, address: string): number {
  return history.filter((one) => "recipient" in one && one.recipient === address && isUncertain(one)).length;
}

/** What is said of a destination where `text` was said of a message: nothing of copies, which the next one has not. */
export const withoutCopies = (text: string): string =>
  text.endsWith(` -- ${uncertain}`) ? text.slice(0, -` -- ${uncertain}`.length) : text;
