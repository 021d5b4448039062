/**
 * A mailbox by IMAP: the inbox, or another folder, and the folder whose special use is spam (RFC 6154). Looking changes
 * nothing, no message is marked as read; `tidy` alone deletes.
 */
import type { FetchMessageObject, ImapFlow } from "imapflow";
import { exitStatus, Failure } from "../../failure.ts";
import { type ImapLine, type ImapLogin, imapLine } from "./imap-connection.ts";
import {
  isReport,
  type Letter,
  longestLook,
  type Mailbox,
  mostLetters,
  mostSeen,
  type Wanted,
} from "./mailbox.ts";
import { markField, markOf } from "./mark.ts";

export interface ImapAccount extends ImapLogin {
  readonly folder: string;
  /** Folder with the spam where no special use tells it. */
  readonly spamFolder?: string;
}

/** Names of spam folders at servers that know no special use. */
const spamName = /^(?:inbox[./])?(?:junk|spam)(?: e?-?mails?)?$/i;

/** As many UIDs fit into one command line of any server. */
const handful = 500;

/** Opens the mailbox of `account`, by a line of its own or one that others use, too. Throws a Failure. */
export async function openImap(
  account: ImapAccount,
  signal: AbortSignal,
  line: ImapLine = imapLine(account),
): Promise<Mailbox> {
  /** The last UID that was looked at, by folder, with the folder's UIDVALIDITY. */
  const looked = new Map<string, { readonly validity: bigint; readonly last: number }>();

  async function fetched(
    imap: ImapFlow,
    folder: Folder,
    since: number,
    wanted: Wanted,
  ): Promise<readonly Letter[]> {
    const lock = await imap.getMailboxLock(folder.path, { readOnly: true });
    try {
      const validity = imap.mailbox === false ? 0n : imap.mailbox.uidValidity;
      const before = looked.get(folder.path);
      const last = before?.validity === validity ? before.last : 0;
      await imap.noop(); // what came since the folder was opened is told now
      // A day of grace: SINCE knows dates only, of the server's own time zone.
      const uids = await newest(imap, new Date(since - 86_400_000), last);
      const letters = await pick(imap, folder, await narrowed(imap, uids), wanted);
      looked.set(folder.path, { validity, last: Math.max(last, uids[0] ?? 0) });
      return letters;
    } finally {
      lock.release();
    }
  }

  const mailbox: Mailbox = {
    look: (since, wanted, stop) =>
      line.speak(stop, async (imap) => {
        const letters: Letter[] = [];
        for (const folder of await foldersOf(imap, account))
          letters.push(...(await fetched(imap, folder, since, wanted)));
        return letters;
      }),
    tidy: (before, isOurs, stop) =>
      line.speak(stop, async (imap) => {
        let gone = 0;
        for (const folder of await foldersOf(imap, account))
          gone += await tidied(imap, folder, before, isOurs);
        return gone;
      }),
    close: () => line.release(),
  };
  line.open();
  try {
    await line.speak(signal, async (imap) => {
      // So that a wrong folder is told before anything is sent.
      for (const { path } of await foldersOf(imap, account))
        (await imap.getMailboxLock(path, { readOnly: true })).release();
    });
    return mailbox;
  } catch (error) {
    await line.release();
    throw error;
  }
}

interface Folder {
  readonly path: string;
  readonly place: Letter["place"];
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
 * Of `uids`, those whose header is worth a look. Few are looked at all: servers refuse a search for a field, or find
 * nothing where the field is an unusual one. In a flood the server's search helps, if it finds anything.
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

async function foldersOf(imap: ImapFlow, { folder, spamFolder }: ImapAccount): Promise<readonly Folder[]> {
  const all = await imap.list();
  const spam =
    spamFolder ??
    (all.find(({ specialUse }) => specialUse === "\\Junk") ?? all.find(({ path }) => spamName.test(path)))
      ?.path;
  const inbox = { path: folder, place: "inbox" as const };
  return spam === undefined || spam === folder ? [inbox] : [inbox, { path: spam, place: "spam" }];
}

/** Of the messages `uids`, the newest first, those that are wanted: their headers tell, and of reports the beginning. */
async function pick(
  imap: ImapFlow,
  { path, place }: Folder,
  uids: readonly number[],
  wanted: Wanted,
): Promise<readonly Letter[]> {
  const marked: number[] = [];
  const reports: number[] = [];
  for await (const { uid, headers } of handfuls(imap, uids, { headers: [markField, "Content-Type"] })) {
    if (!headers)
      throw new Failure(exitStatus.unavailable, `the server does not give the headers of ${path}`);
    const mark = markOf(headers);
    if (mark !== "" && wanted.mark(mark)) marked.push(uid);
    else if (isReport(headers)) reports.push(uid);
  }
  const letters: Letter[] = [];
  const chosen = [...marked.slice(0, mostLetters), ...reports.slice(0, mostLetters)];
  const query = { internalDate: true, size: true, source: { start: 0, maxLength: longestLook } };
  for await (const message of handfuls(imap, chosen, query)) {
    const letter = letterOf(message, path, place);
    if (marked.includes(message.uid) || wanted.report(letter.octets)) letters.push(letter);
  }
  return letters;
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

function letterOf(message: FetchMessageObject, folder: string, place: Letter["place"]): Letter {
  const { source, internalDate, size } = message;
  // A server that gives more than it was asked for gives it in vain.
  const octets = Buffer.from((source ?? Buffer.alloc(0)).subarray(0, longestLook));
  const at = internalDate === undefined ? Number.NaN : new Date(internalDate).getTime();
  return { place, folder, at, octets, size: size ?? octets.length };
}

async function tidied(
  imap: ImapFlow,
  { path }: Folder,
  before: number,
  isOurs: (mark: string) => boolean,
): Promise<number> {
  const lock = await imap.getMailboxLock(path);
  try {
    const old = { before: new Date(before) };
    const found = (await imap.search({ ...old, header: { [markField]: true } }, { uid: true })) || [];
    // Where that search is refused, or finds nothing because the field is an unusual one, what aged last is looked at.
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
