/**
 * Keeps the usage of all logins over a restart: what counts is appended to a file, and now and then the file is
 * written anew without what no longer counts. Mail never waits for it, nor for a disk that refuses it: a crash may
 * lose the last moments, and a file that cannot be read is begun afresh.
 */
import { randomBytes } from "node:crypto";
import { errorCode, errorText } from "../../../failure.ts";
import { log, logBug } from "../../log/log.ts";
import { type Note, newUsage, type Usage } from "./usage.ts";
import { formatKey, formatNote, parseUsage } from "./usage-file.ts";

/** The file. Every call but `name` may fail with the system's error. */
export interface UsageStore {
  /** For the log. */
  readonly name: string;
  /** The whole file, undefined where there is none. */
  readonly load: () => Promise<string | undefined>;
  readonly append: (lines: string) => Promise<void>;
  /** In one step: after a crash the file is the old one or the new one. */
  readonly replace: (text: string) => Promise<void>;
}

export interface UsageKeeper {
  readonly usage: Usage;
  /** Writes down what counts from now on; it is added to the usage already. */
  keep(note: Note): void;
  /** Resolves when all is written, or could not be. */
  close(): Promise<void>;
}

/** Milliseconds until a disk that refused is asked again. Our choice. */
const pause = 60_000;

/** Characters that are appended before the file is written anew, if that makes it half as long. Our choice. */
const muchAppended = 4_000_000;

/** Never fails: what is wrong with the file is in the log. `now` is in milliseconds since the epoch. */
export async function keepUsage(store: UsageStore, now: () => number): Promise<UsageKeeper> {
  const { key, notes } = await loaded(store);
  const usage = newUsage(key);
  for (const note of notes) usage.add(note);

  let pending: string[] = [];
  let appended = 0;
  let whole = 0;
  let isStale = true; // the file does not say what the usage is: it ends in half a line, or is not there
  let retryAt: number | undefined;
  let writing: Promise<void> | undefined;

  async function write(): Promise<void> {
    try {
      if (isStale || appended > muchAppended + whole) await writeWhole();
      else await writeRest();
      retryAt = undefined;
    } catch (error) {
      if (errorCode(error) === "") logBug("usage of logins", error);
      else if (retryAt === undefined) log("usage-unsaved", { file: store.name, reason: errorText(error) });
      isStale = true;
      retryAt = now() + pause;
    }
  }

  async function writeWhole(): Promise<void> {
    pending = []; // it is in the usage
    const text = formatKey(key) + [...usage.notes(now())].map(formatNote).join("");
    await store.replace(text);
    isStale = false;
    whole = text.length;
    appended = 0;
  }

  async function writeRest(): Promise<void> {
    const lines = pending.join("");
    pending = [];
    await store.append(lines);
    appended += lines.length;
  }

  async function writeAll(): Promise<void> {
    do await write();
    while (pending.length > 0);
    writing = undefined;
  }

  writing = writeAll();
  await writing;
  return {
    usage,
    keep(note) {
      if (retryAt !== undefined && now() < retryAt) return; // it is in the usage, and written with that
      pending.push(formatNote(note));
      writing ??= writeAll();
    },
    async close() {
      await writing;
      if (isStale) await write();
    },
  };
}

async function loaded({
  name,
  load,
}: UsageStore): Promise<{ readonly key: Buffer; readonly notes: readonly Note[] }> {
  const fresh = { key: randomBytes(32), notes: [] };
  try {
    const text = await load();
    if (text === undefined) return fresh;
    const kept = parseUsage(text);
    const reason = kept ? `${kept.ignored} lines cannot be understood` : "it is none of this program's files";
    if (!kept || kept.ignored > 1) log("usage-unread", { file: name, reason }); // one is what a crash cuts short
    return kept ?? fresh;
  } catch (error) {
    log("usage-unread", { file: name, reason: errorText(error) });
    return fresh;
  }
}
