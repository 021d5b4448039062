/**
 * The usage of all logins as text, so that it outlives a restart: a first line with the key of the digests, then a
 * line for each accepted message. What was written last may be cut short by a crash; that line is passed over.
 * man/tpa-submit-spool.5 describes it.
 */
import { type Digest, digestLength, type Note } from "./usage.ts";

const title = "tpa-submit usage 1";

/** What was read from a file. */
export interface Kept {
  readonly key: Buffer;
  readonly notes: readonly Note[];
  /** Lines that could not be understood. */
  readonly ignored: number;
}

export function formatKey(key: Uint8Array): string {
  return `${title} ${Buffer.from(key).toString("base64url")}\n`;
}

/** A line with its end: time in seconds since the epoch, login, messages, recipients, new ones, whom it wrote to. */
export function formatNote({ at, login, messages, recipients, fresh, known }: Note): string {
  return `${JSON.stringify([Math.floor(at / 1_000), login, messages, recipients, fresh, known.join("")])}\n`;
}

/** Reads a whole file; undefined where it is none of this kind. */
export function parseUsage(text: string): Kept | undefined {
  const [first = "", ...lines] = text.split("\n");
  const key = Buffer.from(/^tpa-submit usage 1 ([\w-]{43})$/.exec(first)?.[1] ?? "", "base64url");
  if (key.length === 0) return undefined;
  const written = lines.filter((line) => line !== "");
  const notes = written.flatMap((line) => parseNote(line) ?? []);
  return { key, notes, ignored: written.length - notes.length };
}

function parseNote(line: string): Note | undefined {
  const parts = array(line);
  if (parts?.length !== 6) return undefined;
  const [seconds, login, messages, recipients, fresh, digests] = parts;
  if (!isCount(seconds) || !isCount(messages) || !isCount(recipients) || !isCount(fresh)) return undefined;
  if (typeof login !== "string" || typeof digests !== "string") return undefined;
  const known = digestsIn(digests);
  return known && { at: seconds * 1_000, login, messages, recipients, fresh, known };
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

function digestsIn(text: string): readonly Digest[] | undefined {
  if (text.length % digestLength !== 0 || !/^[\w-]*$/.test(text)) return undefined;
  return Array.from({ length: text.length / digestLength }, (_, index) =>
    text.slice(index * digestLength, (index + 1) * digestLength),
  );
}
