/**
 * The file that keeps the usage of all logins over a restart. The first line has the key of the digests, then follows a
 * line for each accepted message. man/tpa-submit-spool.5 describes it. Entries are appended; now and then the file is
 * rewritten without what no longer counts. Mail never waits for it, nor for a disk that refuses it: a crash may lose the
 * last moments, and a file that cannot be read is replaced.
 */

import { randomBytes } from "node:crypto";
import { setTimeout as pause, setImmediate } from "node:timers/promises";
import { errorCode, errorText } from "../../../failure.ts";
import { log, logBug } from "../../log/log.ts";
import { type AddressDigest, digestLength, newUsage, type Usage, type UsageEntry } from "./usage.ts";

const title = "tpa-submit usage 1";

/** What was read from a file. */
export interface UsageFileContent {
  readonly key: Buffer;
  readonly entries: readonly UsageEntry[];
  /** Lines that could not be understood. */
  readonly ignored: number;
}

export function formatKey(key: Uint8Array): string {
  return `${title} ${Buffer.from(key).toString("base64url")}\n`;
}

/** A line with its end: time in seconds since the epoch, login, messages, recipients, new ones, addresses. */
export function formatEntry({
  at,
  login,
  messages,
  recipients,
  newRecipients,
  addresses,
}: UsageEntry): string {
  return `${JSON.stringify([Math.floor(at / 1_000), login, messages, recipients, newRecipients, addresses.join("")])}\n`;
}

/** Reads a whole file; undefined where it is not such a file. A last line that a crash cut short is ignored. */
export function parseUsage(text: string): UsageFileContent | undefined {
  const [first = "", ...lines] = text.split("\n");
  const key = Buffer.from(/^tpa-submit usage 1 ([\w-]{43})$/.exec(first)?.[1] ?? "", "base64url");
  if (key.length === 0) return undefined;
  const written = lines.filter((line) => line !== "");
  const entries = written.flatMap((line) => parseEntry(line) ?? []);
  return { key, entries, ignored: written.length - entries.length };
}

function parseEntry(line: string): UsageEntry | undefined {
  const parts = array(line);
  if (parts?.length !== 6) return undefined;
  const [seconds, login, messages, recipients, newRecipients, digests] = parts;
  if (!isCount(seconds) || !isCount(messages) || !isCount(recipients) || !isCount(newRecipients))
    return undefined;
  if (typeof login !== "string" || typeof digests !== "string") return undefined;
  const addresses = digestsIn(digests);
  return addresses && { at: seconds * 1_000, login, messages, recipients, newRecipients, addresses };
}

function array(line: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function digestsIn(text: string): readonly AddressDigest[] | undefined {
  if (text.length % digestLength !== 0 || !/^[\w-]*$/.test(text)) return undefined;
  return Array.from({ length: text.length / digestLength }, (_, index) =>
    text.slice(index * digestLength, (index + 1) * digestLength),
  );
}

/** The file. Every call but `name` may fail with the system's error. */
export interface UsageStore {
  /** For the log. */
  readonly name: string;
  /** The whole file, undefined where there is none. */
  readonly load: () => Promise<string | undefined>;
  readonly append: (lines: string) => Promise<void>;
  /** Atomic: after a crash the file is the old one or the new one. */
  readonly replace: (text: string) => Promise<void>;
}

export interface UsageRecorder {
  readonly usage: Usage;
  /** Writes an entry to the file. The caller has added it to the usage. */
  record(entry: UsageEntry): void;
  /** Resolves when all is written, or could not be. */
  close(): Promise<void>;
}

/** Milliseconds until a disk that refused is tried again. Our choice. */
const retryAfter = 60_000;

/** Milliseconds for which lines are gathered behind others that were just written. Our choice, as in the log. */
const gatheredFor = 5;

/** Appended characters after which the file is rewritten, if that makes it half as long. Our choice. */
const rewriteAfter = 4_000_000;

/** Never fails: errors of the file go to the log. `now` is in milliseconds since the epoch. */
export async function openUsage(store: UsageStore, now: () => number): Promise<UsageRecorder> {
  const { key, entries } = await loadUsage(store);
  const usage = newUsage(key);
  for (const entry of entries) usage.add(entry);

  let pending: string[] = [];
  let appended = 0;
  let wholeLength = 0;
  let isStale = true; // the file differs from the usage: it ends in half a line, or does not exist
  let retryAt: number | undefined;
  let writing: Promise<void> | undefined;
  let closed = false;

  async function write(): Promise<void> {
    try {
      if (isStale || appended > rewriteAfter + wholeLength) await writeWhole();
      else await writeRest();
      retryAt = undefined;
    } catch (error) {
      if (errorCode(error) === "") logBug("usage of logins", error);
      else if (retryAt === undefined) log("usage-unsaved", { file: store.name, reason: errorText(error) });
      isStale = true;
      retryAt = now() + retryAfter;
    }
  }

  async function writeWhole(): Promise<void> {
    pending = []; // the usage has it
    const text = formatKey(key) + [...usage.entries(now())].map(formatEntry).join("");
    await store.replace(text);
    isStale = false;
    wholeLength = text.length;
    appended = 0;
  }

  async function writeRest(): Promise<void> {
    const lines = pending.join("");
    pending = [];
    await store.append(lines);
    appended += lines.length;
  }

  async function writeAll(): Promise<void> {
    do {
      await setImmediate(); // what is accepted in the same turn shares the call
      await write();
      if (!closed) await pause(gatheredFor); // a write for each turn is dear
    } while (pending.length > 0);
    writing = undefined;
  }

  await write();
  return {
    usage,
    record(entry) {
      if (retryAt !== undefined && now() < retryAt) return; // the usage has it, and is written as a whole later
      pending.push(formatEntry(entry));
      writing ??= writeAll();
    },
    async close() {
      closed = true;
      await writing;
      if (isStale) await write();
    },
  };
}

async function loadUsage({
  name,
  load,
}: UsageStore): Promise<{ readonly key: Buffer; readonly entries: readonly UsageEntry[] }> {
  const fresh = { key: randomBytes(32), entries: [] };
  try {
    const text = await load();
    if (text === undefined) return fresh;
    const content = parseUsage(text);
    const reason = content
      ? `${content.ignored} lines cannot be understood`
      : "it is none of this program's files";
    if (!content || content.ignored > 1) log("usage-unread", { file: name, reason }); // one is what a crash cuts short
    return content ?? fresh;
  } catch (error) {
    log("usage-unread", { file: name, reason: errorText(error) });
    return fresh;
  }
}
