/** Where reports are read from: files, folders, standard input, a Maildir, a mailbox by IMAP. */
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { usageMistake } from "../../../cli/options.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import type { ImapAccount } from "../../../probe/arrival/imap.ts";
import { imapConnection } from "../../../probe/arrival/imap-connection.ts";
import { readLocation } from "../../../probe/arrival/location.ts";
import { findingsOf } from "../../../probe/arrival/trace.ts";
import { type CondenseRules, condense, type KeptReport } from "../../../probe/reports/condense.ts";
import { checkFolder, placeKey, readFolder, type Settling, settle } from "../../../probe/reports/imap.ts";
import { openMail, type ReadMail } from "../../../probe/reports/mail.ts";
import { mostInMessage, Unreadable } from "../../../probe/reports/report.ts";
import type { ReadPlace, ReportStore } from "../../../probe/reports/store.ts";
import { packingOf, reportsIn } from "../../../probe/reports/unpack.ts";
import { line } from "./options.ts";

export interface ReadingRules extends CondenseRules {
  /** Whose Authentication-Results are believed; undefined where mail counts without. */
  readonly authority: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** What needs a mailbox besides its place. */
export interface MailboxRules extends Settling {
  readonly password: () => Promise<string>;
  readonly ca?: string;
  readonly again: boolean;
}

/** What a run has read; it grows. */
export interface ReportHarvest {
  readonly reports: KeptReport[];
  readonly places: ReadPlace[];
  /** One line each: where, and why it is not read. */
  readonly refused: string[];
  /** Files and mails without any report. */
  others: number;
  /** One line each: what kept a place from being read to its end. */
  readonly troubles: string[];
  /** To do when the reports are kept. */
  readonly afterwards: (() => Promise<void>)[];
}

export const emptyHarvest = (): ReportHarvest => ({
  reports: [],
  places: [],
  refused: [],
  others: 0,
  troubles: [],
  afterwards: [],
});

/** Files of one folder. Our choice; the next run of the same reads the rest only where those are moved away. */
const mostFiles = 20_000;

/** Reads `place` into `harvest`. Throws a Failure where it cannot be read at all. */
export async function readPlace(
  place: string,
  rules: ReadingRules,
  mailbox: MailboxRules,
  store: ReportStore,
  harvest: ReportHarvest,
): Promise<void> {
  if (place === "-") return readStream(process.stdin, "standard input", rules, harvest);
  if (!/^(?:maildir:|[a-z]+:\/\/)/i.test(place)) return readPath(place, rules, harvest);
  const location = readLocation(place, "place");
  switch (location.kind) {
    case "listener":
      throw usageMistake(line.name, `${place}: reports are read, and not waited for`);
    case "maildir":
      await readPath(join(location.directory, "new"), rules, harvest);
      return readPath(join(location.directory, "cur"), rules, harvest);
    case "imap": {
      const { ca } = mailbox;
      const account = { ...location, password: await mailbox.password(), ...(ca !== undefined && { ca }) };
      return readMailbox(account, rules, mailbox, store, harvest);
    }
  }
}

async function readPath(path: string, rules: ReadingRules, harvest: ReportHarvest): Promise<void> {
  try {
    if (!(await stat(path)).isDirectory()) return await readFileAt(path, rules, harvest);
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith("."));
    const some = files.map(({ name }) => name).sort();
    for (const name of some.slice(0, mostFiles)) await readFileAt(join(path, name), rules, harvest);
    if (some.length > mostFiles) harvest.troubles.push(`${path}: only ${mostFiles} of its files were read`);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${path}: ${errorText(error)}`);
  }
}

const readFileAt = (path: string, rules: ReadingRules, harvest: ReportHarvest): Promise<void> =>
  readStream(createReadStream(path), path, rules, harvest);

/** A report, packed or not, or a mail that carries some. */
async function readStream(
  stream: Readable,
  name: string,
  rules: ReadingRules,
  harvest: ReportHarvest,
): Promise<void> {
  if (rules.signal.aborted) throw new Failure(exitStatus.temporary, "interrupted");
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece);
    size += piece.length;
    if (size <= mostInMessage) continue;
    harvest.refused.push(`${name}: it is too large`);
    return;
  }
  const octets = Buffer.concat(pieces);
  if (packingOf(octets) !== "other") {
    count(await readAttachments([octets], name, rules, harvest), harvest);
    return;
  }
  try {
    const reader = openMail();
    for (let at = 0; at < octets.length; at += 65_536) reader.write(octets.subarray(at, at + 65_536));
    count(await readMail(reader.end(), name, rules, harvest), harvest);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    harvest.refused.push(`${name}: ${error.message}`);
  }
}

/** What became of a mail or a file. */
type FoundText = "reports" | "refused" | "nothing";

function count(found: FoundText, harvest: ReportHarvest): void {
  if (found === "nothing") harvest.others++;
}

async function readMail(
  { header, attachments }: ReadMail,
  name: string,
  rules: ReadingRules,
  harvest: ReportHarvest,
): Promise<FoundText> {
  const { authority } = rules;
  if (authority === undefined || findingsOf(header, authority).dmarc === "pass")
    return readAttachments(attachments, name, rules, harvest);
  // Anybody can send such a mail: it counts only where its author is known.
  const found = await readAttachments(attachments, name, rules, emptyHarvest());
  if (found === "nothing") return found;
  harvest.refused.push(`${name}: ${authority} does not say that it passed DMARC`);
  return "refused";
}

async function readAttachments(
  attachments: readonly Buffer[],
  name: string,
  rules: ReadingRules,
  harvest: ReportHarvest,
): Promise<FoundText> {
  let found: FoundText = "nothing";
  for (const octets of attachments) {
    try {
      const reports = await reportsIn(octets, rules.now());
      harvest.reports.push(...reports.map((report) => condense(report, rules)));
      if (reports.length > 0) found = "reports";
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      harvest.refused.push(`${name}: ${error.message}`);
      if (found === "nothing") found = "refused";
    }
  }
  return found;
}

async function readMailbox(
  account: ImapAccount,
  rules: ReadingRules,
  { again, move, seen }: MailboxRules,
  store: ReportStore,
  harvest: ReportHarvest,
): Promise<void> {
  const connection = imapConnection(account);
  const before = again ? undefined : store.places.get(placeKey(account));
  connection.open();
  try {
    if (move !== undefined) await checkFolder(connection, move, rules.signal);
    const { place, reports, isMore, trouble } = await readFolder(
      account,
      connection,
      before,
      rules.signal,
      rules.now,
      async (uid, message) => {
        const name = `message ${uid} of ${account.folder}`;
        if (message.kind === "unreadable") {
          harvest.refused.push(`${name}: ${message.why}`);
          return false;
        }
        const found = await readMail(message.mail, name, rules, harvest);
        count(found, harvest);
        return found === "reports";
      },
    );
    harvest.places.push(place);
    if (trouble !== undefined) harvest.troubles.push(trouble);
    else if (isMore)
      harvest.troubles.push(`${account.folder}: there is more than one run reads; run it again`);
    if (reports.length > 0 && (seen || move !== undefined)) {
      harvest.afterwards.push(() =>
        withConnection(account, (one) =>
          settle(account, one, reports, { ...(move !== undefined && { move }), seen }, rules.signal),
        ),
      );
    }
  } finally {
    await connection.release();
  }
}

/** A connection of its own: keeping the reports may have taken longer than a server waits. */
async function withConnection(
  account: ImapAccount,
  work: (connection: ReturnType<typeof imapConnection>) => Promise<void>,
): Promise<void> {
  const connection = imapConnection(account);
  connection.open();
  try {
    await work(connection);
  } finally {
    await connection.release();
  }
}
