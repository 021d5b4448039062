/**
 * A folder of reports by IMAP. It is only looked at, with BODY.PEEK in a folder that is open for reading, and each message
 * once: the UID up to which it was read is remembered. `settle` alone changes something, where the user wants it.
 */
import { createHash } from "node:crypto";
import type { ImapFlow } from "imapflow";
import { exitStatus, Failure } from "../../failure.ts";
import type { ImapAccount } from "../arrival/imap.ts";
import type { ImapConnection } from "../arrival/imap-connection.ts";
import { openMail, type ReadMail } from "./mail.ts";
import { mostInMessage, Unreadable } from "./report.ts";
import type { ReadPlace } from "./store.ts";

/** What one message turned out to be. */
export type FolderMessage =
  | { readonly kind: "mail"; readonly mail: ReadMail }
  | { readonly kind: "unreadable"; readonly why: string };

export interface FolderReading {
  readonly place: ReadPlace;
  /** UIDs of those that `take` says are reports. */
  readonly reports: readonly number[];
  /** There is more, for the next run. */
  readonly isMore: boolean;
  /** Why it ended early. */
  readonly trouble?: string;
}

/** Our choices for one run; a domain of any size gets some hundred reports a day. */
const mostMessages = 2000;
const mostOctets = 256 * 1024 * 1024;
const longest = 10 * 60_000;
/** Octets that are asked for at once: the connection's limits allow twice as many. */
const piece = 128 * 1024;
/** As many UIDs fit into one command line of any server. */
const handful = 500;

export const placeKey = ({ host, port, user, folder }: ImapAccount): string =>
  createHash("sha256")
    .update(JSON.stringify([host, port, user, folder]))
    .digest("base64url")
    .slice(0, 22);

/** `before` is how far an earlier run came. `now` is a clock in milliseconds. Throws a Failure where nothing could be read. */
export async function readFolder(
  account: ImapAccount,
  line: ImapConnection,
  before: ReadPlace | undefined,
  signal: AbortSignal,
  now: () => number,
  take: (uid: number, message: FolderMessage) => Promise<boolean>,
): Promise<FolderReading> {
  const key = placeKey(account);
  const { validity, uids } = await line.use(signal, (imap) => newIn(imap, account.folder, before));
  const start = before?.validity === validity ? before.last : 0;
  const end = now() + longest;
  const reports: number[] = [];
  let last = start;
  let octets = 0;
  const result = (more: object): FolderReading => ({
    place: { key, validity, last },
    reports,
    isMore: false,
    ...more,
  });
  for (const [at, uid] of uids.entries()) {
    if (at >= mostMessages || octets > mostOctets || now() > end) return result({ isMore: true });
    try {
      const { message, size } = await line.use(signal, (imap) => messageOf(imap, account.folder, uid));
      octets += size;
      if (message && (await take(uid, message))) reports.push(uid);
      last = uid;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return result({ isMore: true, trouble: error.message });
    }
  }
  return result({});
}

async function newIn(
  imap: ImapFlow,
  folder: string,
  before: ReadPlace | undefined,
): Promise<{ readonly validity: string; readonly uids: readonly number[] }> {
  const lock = await imap.getMailboxLock(folder, { readOnly: true });
  try {
    await imap.noop(); // lets the server report what came since the folder was opened
    const validity = imap.mailbox === false ? "" : String(imap.mailbox.uidValidity);
    const last = before?.validity === validity ? before.last : 0;
    const found = await imap.search({ uid: `${last + 1}:*` }, { uid: true });
    if (!found) throw new Failure(exitStatus.unavailable, `the server does not search ${folder}`);
    // "*" is the last one, whatever its UID.
    return { validity, uids: found.filter((uid) => uid > last).sort((one, other) => one - other) };
  } finally {
    lock.release();
  }
}

async function messageOf(
  imap: ImapFlow,
  folder: string,
  uid: number,
): Promise<{ readonly message?: FolderMessage; readonly size: number }> {
  const lock = await imap.getMailboxLock(folder, { readOnly: true });
  const reader = openMail();
  let read = 0;
  try {
    for (;;) {
      const query = { uid: true, size: true, source: { start: read, maxLength: piece } };
      const found = await imap.fetchOne(String(uid), query, { uid: true });
      if (!found) return { size: read }; // somebody has deleted it
      const { size = 0, source = Buffer.alloc(0) } = found;
      if (size > mostInMessage) throw new Unreadable("the message is too large");
      reader.write(Buffer.from(source.subarray(0, piece))); // a server may send more than it was asked for
      read += Math.min(source.length, piece);
      if (source.length === 0 || read >= size)
        return { message: { kind: "mail", mail: reader.end() }, size: read };
    }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { message: { kind: "unreadable", why: error.message }, size: read };
  } finally {
    lock.release();
  }
}

/** What is done with reports that were read; neither, as long as nobody wants it. */
export interface Settling {
  /** Folder to which they go. */
  readonly move?: string;
  readonly seen: boolean;
}

/** Throws a Failure where there is no such folder: before anything is read. */
export async function checkFolder(line: ImapConnection, move: string, signal: AbortSignal): Promise<void> {
  const all = await line.use(signal, (imap) => imap.list());
  if (!all.some(({ path }) => path === move))
    throw new Failure(exitStatus.noInput, `--move: there is no folder ${move}; make it first`);
}

/** Throws a Failure. */
export async function settle(
  { folder }: ImapAccount,
  line: ImapConnection,
  uids: readonly number[],
  { move, seen }: Settling,
  signal: AbortSignal,
): Promise<void> {
  for (let from = 0; from < uids.length; from += handful) {
    const some = uids.slice(from, from + handful);
    await line.use(signal, async (imap) => {
      const lock = await imap.getMailboxLock(folder);
      try {
        if (seen && !(await imap.messageFlagsAdd(some, ["\\Seen"], { uid: true })))
          throw new Failure(exitStatus.unavailable, `the server does not mark mail in ${folder} as seen`);
        if (move !== undefined && !(await imap.messageMove(some, move, { uid: true })))
          throw new Failure(
            exitStatus.unavailable,
            `the server does not move mail from ${folder} to ${move}`,
          );
      } finally {
        lock.release();
      }
    });
  }
}
