/**
 * A mailbox by IMAP: the inbox, or another folder, and the folder whose special use is spam (RFC 6154). Looking changes
 * nothing, no message is marked as read; `tidy` alone deletes. A connection that breaks between two looks is made anew.
 */
import type { FetchMessageObject, ImapFlow } from "imapflow";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type Letter, longestLook, type Mailbox, mostLetters } from "./mailbox.ts";
import { markField, markOf } from "./mark.ts";

export interface ImapAccount {
  readonly host: string;
  readonly port: number;
  /** False: STARTTLS, without which nobody logs in. */
  readonly implicitTls: boolean;
  readonly user: string;
  readonly password: string;
  readonly folder: string;
  /** Folder with the spam where no special use tells it. */
  readonly spamFolder?: string;
  /** Certificates (PEM) to trust in place of Mozilla's. */
  readonly ca?: string;
}

/** Names of spam folders at servers that know no special use. */
const spamName = /^(?:inbox[./])?(?:junk|spam)(?: e?-?mails?)?$/i;

/** Milliseconds for a connection, its greeting and for silence amid a command. */
const patience = 30_000;

/** Opens the mailbox of `account`. Throws a Failure where it cannot be looked at. */
export async function openImap(account: ImapAccount, signal: AbortSignal): Promise<Mailbox> {
  let client = await connected(account, signal);
  /** The last UID that was looked at, by folder, with the folder's UIDVALIDITY. */
  const looked = new Map<string, { readonly validity: bigint; readonly last: number }>();

  /** Runs `work`, on a new connection where the old one is gone; what fails is told in one line. */
  async function speak<Value>(stop: AbortSignal, work: (imap: ImapFlow) => Promise<Value>): Promise<Value> {
    if (!client.usable) client = await connected(account, stop);
    return bounded(client, account, stop, () => work(client));
  }

  async function fetched(imap: ImapFlow, { path, place }: Folder, since: number): Promise<readonly Letter[]> {
    const lock = await imap.getMailboxLock(path, { readOnly: true });
    try {
      const validity = imap.mailbox === false ? 0n : imap.mailbox.uidValidity;
      const before = looked.get(path);
      const last = before?.validity === validity ? before.last : 0;
      // A day of grace: SINCE knows dates only, of the server's own time zone.
      const found = await imap.search(candidates(new Date(since - 86_400_000)), { uid: true });
      const uids = (found || []).filter((uid) => uid > last).sort((a, b) => b - a);
      const letters: Letter[] = [];
      if (uids.length === 0) return letters;
      const wanted = {
        uid: true,
        internalDate: true,
        size: true,
        source: { start: 0, maxLength: longestLook },
      };
      for await (const message of imap.fetch(uids.slice(0, mostLetters), wanted, { uid: true })) {
        letters.push(letterOf(message, path, place));
      }
      looked.set(path, { validity, last: Math.max(last, ...uids) });
      return letters;
    } finally {
      lock.release();
    }
  }

  return {
    look: (since, stop) =>
      speak(stop, async (imap) => {
        const letters: Letter[] = [];
        for (const folder of await foldersOf(imap, account))
          letters.push(...(await fetched(imap, folder, since)));
        return letters;
      }),
    tidy: (before, isOurs, stop) =>
      speak(stop, async (imap) => {
        let gone = 0;
        for (const folder of await foldersOf(imap, account))
          gone += await tidied(imap, folder, before, isOurs);
        return gone;
      }),
    async close() {
      if (client.usable) await client.logout().catch(() => client.close());
      else client.close();
    },
  };
}

interface Folder {
  readonly path: string;
  readonly place: Letter["place"];
}

/** What may be ours: marked, or a report. The server sorts, so that a full mailbox costs us nothing. */
const candidates = (since: Date) => ({
  since,
  or: [{ header: { [markField]: true } }, { header: { "Content-Type": "multipart/report" } }],
});

async function foldersOf(imap: ImapFlow, { folder, spamFolder }: ImapAccount): Promise<readonly Folder[]> {
  const all = await imap.list();
  const spam =
    spamFolder ??
    (all.find(({ specialUse }) => specialUse === "\\Junk") ?? all.find(({ path }) => spamName.test(path)))
      ?.path;
  const inbox = { path: folder, place: "inbox" as const };
  return spam === undefined || spam === folder ? [inbox] : [inbox, { path: spam, place: "spam" }];
}

function letterOf(message: FetchMessageObject, folder: string, place: Letter["place"]): Letter {
  const { source, internalDate, size } = message;
  const octets = source ?? Buffer.alloc(0);
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
    const found = await imap.search(
      { before: new Date(before), header: { [markField]: true } },
      { uid: true },
    );
    const ours: number[] = [];
    const uids = (found || []).slice(0, mostLetters);
    if (uids.length === 0) return 0;
    for await (const { uid, headers } of imap.fetch(
      uids,
      { uid: true, headers: [markField] },
      { uid: true },
    )) {
      if (headers && isOurs(markOf(headers))) ours.push(uid);
    }
    if (ours.length > 0) await imap.messageDelete(ours, { uid: true });
    return ours.length;
  } finally {
    lock.release();
  }
}

async function connected(account: ImapAccount, signal: AbortSignal): Promise<ImapFlow> {
  const { ImapFlow } = await import("imapflow");
  const { host, port, implicitTls, user, password, ca } = account;
  const client = new ImapFlow({
    host,
    port,
    secure: implicitTls,
    ...(!implicitTls && { doSTARTTLS: true }),
    auth: { user, pass: password },
    tls: { minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) },
    logger: false,
    disableAutoIdle: true,
    connectionTimeout: patience,
    greetingTimeout: patience,
    socketTimeout: patience,
    // A server that is broken, or hostile, shall not fill our memory.
    maxLineLength: 1024 * 1024,
    maxLiteralSize: 2 * longestLook,
    maxResponseSize: 8 * longestLook,
  });
  client.on("error", () => undefined); // whoever waits is told; between two looks, `usable` tells
  await bounded(client, account, signal, () => client.connect());
  return client;
}

/** Waits for `work`, until `signal`; what is the server's or the network's fault becomes a Failure of one line. */
async function bounded<Value>(
  client: ImapFlow,
  { host, port, user }: ImapAccount,
  signal: AbortSignal,
  work: () => Promise<Value>,
): Promise<Value> {
  const stop = (): void => client.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (signal.aborted) stop();
    return await work();
  } catch (error) {
    client.close();
    if (error instanceof TypeError || error instanceof RangeError) throw error;
    const words = signal.aborted ? "it took too long" : wordsOf(error);
    throw new Failure(
      exitStatus.unavailable,
      `the mailbox of ${user} at ${host}:${port} cannot be looked at: ${words}`,
    );
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** What the server said, where it did, as text of one line; else what the system says. */
function wordsOf(error: unknown): string {
  const { authenticationFailed, responseText } = error as {
    authenticationFailed?: unknown;
    responseText?: unknown;
  };
  const said = typeof responseText === "string" ? responseText : "";
  const words = said || errorText(error) || errorCode(error);
  const line = words.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);
  return authenticationFailed === true ? `the login was refused (${line})` : line;
}
