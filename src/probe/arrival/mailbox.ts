/**
 * Where a probe looks for its message: a mailbox by IMAP, a Maildir, or the probe itself at the other end. What they
 * have in common; each has a file of its own.
 */
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import { markOf } from "./mark.ts";

/** Something that may be a probe's message, or a report about one. */
export interface Letter {
  /** Spam is told by the folder's special use (RFC 6154), or by the name that the operator gave. */
  readonly place: "inbox" | "spam";
  /** As the mailbox names it. */
  readonly folder: string;
  /** When the mailbox got it, in milliseconds since the epoch, by the mailbox's own clock. */
  readonly at: number;
  /** The header and the beginning of the body: no more than `longestLook` octets of however many there are. */
  readonly octets: Buffer;
  /** Octets in all. */
  readonly size: number;
}

/** What a look is after. All else is passed over when it is met, so that a flood of it costs no memory. */
export interface Wanted {
  /** Judges the body of the field that carries a mark. */
  readonly mark: (field: string) => boolean;
  /** Judges the beginning of a multipart/report. */
  readonly report: (octets: Buffer) => boolean;
}

/** Our choice: a report or a probe's own message is far smaller, and a hostile one shall not fill our memory. */
export const longestLook = 128 * 1024;

/** The most letters that one look brings home, the newest first. */
export const mostLetters = 500;

/** The most letters of a folder whose headers are looked at, the newest first; more than an hour's worth of any flood. */
export const mostSeen = 20_000;

export interface Mailbox {
  /**
   * What is wanted and has come, since `since` at the earliest (milliseconds since the epoch) and not in an earlier look.
   * Throws a Failure of one line where the mailbox cannot be looked at.
   */
  look(since: number, wanted: Wanted, signal: AbortSignal): Promise<readonly Letter[]>;
  /** Deletes the letters with a mark of ours that came before `before`; `isOurs` judges a mark's field. How many. */
  tidy(before: number, isOurs: (mark: string) => boolean, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** Opens a mailbox; throws as `look` does. */
export type OpenMailbox = (signal: AbortSignal) => Promise<Mailbox>;

// Whether what came is what a look is after: a message with a mark, or a report.

/** `octets` are a message, or its beginning. */
export function isWanted(octets: Buffer, wanted: Wanted): boolean {
  const mark = markOf(octets);
  if (mark !== "" && wanted.mark(mark)) return true;
  return isReport(octets) && wanted.report(octets);
}

/** Whether `message`, or the header alone, says of itself that it is one (RFC 6522). */
export function isReport(message: Buffer): boolean {
  const header = message.toString("latin1", 0, bodyOffset(message) ?? message.length);
  const type = splitFields(header).find((field) => isNamed(field, "Content-Type"));
  return type !== undefined && /^multipart\/report\b/i.test(fieldBody(type));
}
