/**
 * A mailbox in which a probe looks for its message: by IMAP, a Maildir, or the probe itself as the receiving end. Each
 * has a file of its own; this is what they have in common.
 */
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import { markOf } from "./mark.ts";

/** Something that may be a probe's message, or a report about one. */
export interface FoundMessage {
  /** The spam folder is known by its special use (RFC 6154), or by the name that the operator gave. */
  readonly place: "inbox" | "spam";
  /** As the mailbox names it. */
  readonly folder: string;
  /** When the mailbox got it, in milliseconds since the epoch, by the mailbox's own clock. */
  readonly at: number;
  /** The header and the beginning of the body: `mostOctets` at most. */
  readonly octets: Buffer;
  /** Octets in all. */
  readonly size: number;
}

/** What is looked for. All else is skipped at once, so that a flood costs no memory. */
export interface SearchCriteria {
  /** Judges the body of the field that carries a mark. */
  readonly mark: (field: string) => boolean;
  /** Judges the beginning of a multipart/report. */
  readonly report: (octets: Buffer) => boolean;
}

/** Our choice: a report or a probe's own message is far smaller, and a hostile one must not fill our memory. */
export const mostOctets = 128 * 1024;

/** The most messages that one look returns, the newest first. */
export const mostMessages = 500;

/** The most messages of a folder whose headers are read, the newest first; more than an hour of any flood. */
export const mostSeen = 20_000;

export interface Mailbox {
  /**
   * The messages that `wanted` describes, that came after `since` (milliseconds since the epoch) and were in no earlier
   * look. Throws a Failure of one line where the mailbox cannot be read.
   */
  look(since: number, wanted: SearchCriteria, signal: AbortSignal): Promise<readonly FoundMessage[]>;
  /**
   * Deletes the messages with a mark of ours that came before `before`; `isOurs` judges a mark's field. Returns how
   * many.
   */
  tidy(before: number, isOurs: (mark: string) => boolean, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** Opens a mailbox; throws as `look` does. */
export type OpenMailbox = (signal: AbortSignal) => Promise<Mailbox>;

/** Whether a message, or its beginning, is one that is looked for: it has a mark, or is a report. */
export function meetsCriteria(octets: Buffer, wanted: SearchCriteria): boolean {
  const mark = markOf(octets);
  if (mark !== "" && wanted.mark(mark)) return true;
  return isReport(octets) && wanted.report(octets);
}

/** Whether the header of `message` says that it is a report (RFC 6522). */
export function isReport(message: Buffer): boolean {
  const header = message.toString("latin1", 0, bodyOffset(message) ?? message.length);
  const type = splitFields(header).find((field) => isNamed(field, "Content-Type"));
  return type !== undefined && /^multipart\/report\b/i.test(fieldBody(type));
}
