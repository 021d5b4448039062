/**
 * A mailbox by IMAP: the inbox, or another folder, and the folder whose special use is spam (RFC 6154). Looking changes
 * nothing, no message is marked as read; `tidy` alone deletes.
 */
import type { FetchMessageObject, ImapFlow } from "imapflow";
import { exitStatus, Failure } from "../../failure.ts";
import { type ImapConnection, type ImapLogin, imapConnection } from "./imap-connection.ts";
import {
  type FoundMessage,
  isReport,
  type Mailbox,
  mostMessages,
  mostOctets,
  mostSeen,
  type SearchCriteria,
} from "./mailbox.ts";
import { markField, markOf } from "./mark.ts";

export interface ImapAccount extends ImapLogin {
  readonly folder: string;
  /** The spam folder, where no special use marks it. */
  readonly spamFolder?: string;
}

/** Names of spam folders on servers without special uses. */
const spamName = /^(?:inbox[./])?(?:junk|spam)(?: e?-?mails?)?$/i;

/** As many UIDs fit into one command line of any server. */
const handful = 500;

/** Opens the mailbox of `account`, by a connection of its own or a shared one. Throws a Failure. */
export async function openImap(
  account: ImapAccount,
  signal: AbortSignal,
  line: ImapConnection = imapConnection(account),
): Promise<Mailbox> {
  /** The last UID that was looked at, by folder, with the folder's UIDVALIDITY. */
  const looked = new Map<string, { readonly validity: bigint; readonly last: number }>();

  async function fetched(
    imap: ImapFlow,
    folder: ImapFolder,
    since: number,
    wanted: SearchCriteria,
  ): Promise<readonly FoundMessage[]> {
    const lock = await imap.getMailboxLock(folder.path, { readOnly: true });
    try {
      const validity = imap.mailbox === false ? 0n : imap.mailbox.uidValidity;
      const before = looked.get(folder.path);
      const last = before?.validity === validity ? before.last : 0;
      await imap.noop(); // lets the server report what came since the folder was opened
      // A day of grace: SINCE knows dates only, of the server's own time zone.
      const uids = await newest(imap, new Date(since - 86_400_000), last);
      const messages = await pick(imap, folder, await narrowed(imap, uids), wanted);
      looked.set(folder.path, { validity, last: Math.max(last, uids[0] ?? 0) });
      return messages;
    } finally {
      lock.release();
    }
  }

  const mailbox: Mailbox = {
    look: (since, wanted, stop) =>
      line.use(stop, async (imap) => {
        const messages: FoundMessage[] = [];
        for (const folder of await foldersOf(imap, account))
          messages.push(...(await fetched(imap, folder, since, wanted)));
        return messages;
      }),
    tidy: (before, isOurs, stop) =>
      line.use(stop, async (imap) => {
        let gone = 0;
        for (const folder of await foldersOf(imap, account))
          gone += await tidied(imap, folder, before, isOurs);
        return gone;
      }),
    close: () => line.release(),
  };
  line.open();
  try {
    await line.use(signal, async (imap) => {
      // A wrong folder is reported before anything is sent.
      for (const { path } of await foldersOf(imap, account))
        (await imap.getMailboxLock(path, { readOnly: true })).release();
    });
    return mailbox;
  } catch (error) {
    await line.release();
    throw error;
  }
}

interface ImapFolder {
  readonly path: string;
  readonly place: FoundMessage["place"];
}

/**
 * UIDs of what came since the day of `since` and after the UID `last`, the newest first and no more than are looked at.
 * A server that refuses to search, or cannot, is asked for the newest messages themselves.
 */
async function newest(imap: ImapFlow, since: Date, last: number): Promise<readonly number[]> {
  const found =
    (await imap.search({ since, uid: `${last + 1}:*` }, { uid: true })) || (await listed(imap, since));
  return found
    .filter((uid) => uid > last) // "*" is the last one, whatever its UID
    .sort((a, b) => b - a)
    .slice(0, mostSeen);
}

async function listed(imap: ImapFlow, since: Date): Promise<readonly number[]> {
  const exists = imap.mailbox === false ? 0 : imap.mailbox.exists;
  const uids: number[] = [];
  for (let to = exists; to > Math.max(0, exists - mostSeen); to -= handful) {
    const query = { uid: true, internalDate: true };
    for await (const { uid, internalDate } of imap.fetch(`${Math.max(1, to - handful + 1)}:${to}`, query)) {
      if (internalDate === undefined || new Date(internalDate) >= since) uids.push(uid);
    }
  }
  return uids;
}

/**
 * Of `uids`, those whose header is read. Where they are few, all are: some servers refuse a search for an unusual
 * field, or find nothing. In a flood the server's search helps, if it finds anything.
 */
async function narrowed(imap: ImapFlow, uids: readonly number[]): Promise<readonly number[]> {
  if (uids.length <= handful) return uids;
  const range = `${uids.at(-1)}:${uids[0]}`;
  const marked = await imap.search({ uid: range, header: { [markField]: true } }, { uid: true });
  if (!marked || marked.length === 0) return uids;
  const report = { uid: range, header: { "Content-Type": "multipart/report" } };
  const chosen = new Set([...marked, ...((await imap.search(report, { uid: true })) || [])]);
  return uids.filter((uid, at) => at < handful || chosen.has(uid));
}

async function foldersOf(
  imap: ImapFlow,
  { folder, spamFolder }: ImapAccount,
): Promise<readonly ImapFolder[]> {
  const all = await imap.list();
  const spam =
    spamFolder ??
    (all.find(({ specialUse }) => specialUse === "\\Junk") ?? all.find(({ path }) => spamName.test(path)))
      ?.path;
  const inbox = { path: folder, place: "inbox" as const };
  return spam === undefined || spam === folder ? [inbox] : [inbox, { path: spam, place: "spam" }];
}

/**
 * Of the messages `uids`, the newest first, those that are looked for, by their headers and, of reports, the beginning.
 */
async function pick(
  imap: ImapFlow,
  { path, place }: ImapFolder,
  uids: readonly number[],
  wanted: SearchCriteria,
): Promise<readonly FoundMessage[]> {
  const marked: number[] = [];
  const reports: number[] = [];
  for await (const { uid, headers } of handfuls(imap, uids, { headers: [markField, "Content-Type"] })) {
    if (!headers)
      throw new Failure(exitStatus.unavailable, `the server does not give the headers of ${path}`);
    const mark = markOf(headers);
    if (mark !== "" && wanted.mark(mark)) marked.push(uid);
    else if (isReport(headers)) reports.push(uid);
  }
  const messages: FoundMessage[] = [];
  const chosen = [...marked.slice(0, mostMessages), ...reports.slice(0, mostMessages)];
  const query = { internalDate: true, size: true, source: { start: 0, maxLength: mostOctets } };
  for await (const message of handfuls(imap, chosen, query)) {
    const found = messageFrom(message, path, place);
    if (marked.includes(message.uid) || wanted.report(found.octets)) messages.push(found);
  }
  return messages;
}

async function* handfuls(
  imap: ImapFlow,
  uids: readonly number[],
  query: Parameters<ImapFlow["fetch"]>[1],
): AsyncGenerator<FetchMessageObject> {
  for (let from = 0; from < uids.length; from += handful) {
    yield* imap.fetch(uids.slice(from, from + handful), { ...query, uid: true }, { uid: true });
  }
}

function messageFrom(
  message: FetchMessageObject,
  folder: string,
  place: FoundMessage["place"],
): FoundMessage {
  const { source, internalDate, size } = message;
  // A server may send more than it was asked for.
  const octets = Buffer.from((source ?? Buffer.alloc(0)).subarray(0, mostOctets));
  const at = internalDate === undefined ? Number.NaN : new Date(internalDate).getTime();
  return { place, folder, at, octets, size: size ?? octets.length };
}

async function tidied(
  imap: ImapFlow,
  { path }: ImapFolder,
  before: number,
  isOurs: (mark: string) => boolean,
): Promise<number> {
  const lock = await imap.getMailboxLock(path);
  try {
    const old = { before: new Date(before) };
    const found = (await imap.search({ ...old, header: { [markField]: true } }, { uid: true })) || [];
    // Where that search is refused, or finds nothing as the field is unusual, the youngest of the old ones are read.
    const some = found.length > 0 ? found : ((await imap.search(old, { uid: true })) || []).slice(-handful);
    const ours: number[] = [];
    for await (const { uid, headers } of handfuls(imap, some.slice(0, mostSeen), { headers: [markField] })) {
      if (headers && isOurs(markOf(headers))) ours.push(uid);
    }
    for (let from = 0; from < ours.length; from += handful)
      await imap.messageDelete(ours.slice(from, from + handful), { uid: true });
    return ours.length;
  } finally {
    lock.release();
  }
}
