/** A part of the spool that is read for a listing, in this thread or another one. */
import { join } from "node:path";
import type { TableLayout } from "../../cli/table.ts";
import { newFreezeHold } from "../../server/control/frozen-logins.ts";
import type { FrozenLogin, MessageFilter } from "../../server/control/protocol.ts";
import { listed } from "../../server/control/query.ts";
import { readHere } from "../../server/spool/bulk-read.ts";
import { type Disk, systemDisk } from "../../server/spool/disk.ts";
import { scanEnvelope } from "../../server/spool/envelope-scan.ts";
import { type JournalListing, type SegmentMemory, viewSegment } from "../../server/spool/journal-reading.ts";
import { scanKnown } from "../../server/spool/known-envelopes.ts";
import { journalIn } from "../../server/spool/open.ts";
import { messagesOf, newSpoolReader, type SpoolReader, viewSpool } from "../../server/spool/reader.ts";
import type { StoredMessage } from "../../server/spool/spool.ts";
import { byId, type ListedRow, type RowForm, rowMaker } from "./rows.ts";

/** What is asked for, and what is known of the relay; plain values. */
export interface ListingOrder {
  /** The spool. */
  readonly directory: string;
  readonly filter: MessageFilter;
  readonly form: RowForm;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly frozen: readonly FrozenLogin[];
  /** Queue IDs of the messages for which an attempt is under way. */
  readonly active: readonly string[];
}

/** A segment of the journal, messages that are files, or what a relay knows of some: pieces of a snapshot, in UTF-8. */
export type ListingTask =
  | { readonly known: ArrayBuffer }
  | { readonly segment: JournalListing["segments"][number]; readonly done: JournalListing["done"] }
  | { readonly ids: readonly string[] };

/** Envelopes that are in memory together. Our choice. */
const recordsAtATime = 64;

/** This process, or thread, has nothing else to do meanwhile. */
export const patientDisk: Disk = { ...systemDisk, readMany: readHere };

/** Gives the rows of a task, by queue ID; with a layout for the table they are lines. */
export function newListing({ directory, filter, form, now, frozen, active }: ListingOrder) {
  const logins = new Map(frozen.map((one) => [one.login, one]));
  const freezeHold = newFreezeHold({ of: (login) => logins.get(login) });
  const files = newSpoolReader(patientDisk, directory, undefined, { parse: scanEnvelope });
  let rowOf = rowMaker(form, now);
  let isLaidOut = false;
  const memory: SegmentMemory = { octets: Buffer.alloc(0) };
  const known = { active: new Set(active), now };

  async function rowsIn(messages: readonly StoredMessage[], has: (id: string) => Promise<boolean>) {
    const held =
      frozen.length === 0
        ? messages
        : messages.map(({ id, envelope }) => ({
            id,
            envelope: "damaged" in envelope ? envelope : freezeHold.applyTo(envelope),
          }));
    const rows: ListedRow[] = [];
    for (const one of await listed(held, filter, { ...known, has })) {
      if (one.status !== "unknown") rows.push(rowOf(one));
    }
    return rows;
  }

  let whole: Promise<SpoolReader> | undefined;

  /** What the relay has by its ID alone is read. */
  async function rowsOfKnown(known: ArrayBuffer): Promise<readonly ListedRow[]> {
    const { messages, bare } = scanKnown(Buffer.from(known).toString(), `${directory}/queue`);
    const rows = await rowsIn(messages, async () => true);
    if (bare.length === 0) return rows;
    whole ??= viewSpool(directory, patientDisk);
    const spool = await whole;
    const all = [...rows];
    for await (const batch of spool.readMany(bare)) all.push(...(await rowsIn(batch, (id) => spool.has(id))));
    return all.sort(byId);
  }

  return async (task: ListingTask, layout: TableLayout | undefined): Promise<readonly ListedRow[]> => {
    if (layout !== undefined && form.as === "table" && !isLaidOut) {
      rowOf = rowMaker({ ...form, layout }, now);
      isLaidOut = true;
    }
    if ("known" in task) return rowsOfKnown(task.known);
    if ("ids" in task) {
      const rows: ListedRow[] = [];
      for await (const batch of files.readMany(task.ids))
        rows.push(...(await rowsIn(batch, (id) => files.has(id))));
      return rows;
    }
    const path = journalIn(directory);
    const { segment, done } = task;
    const viewed = await viewSegment(patientDisk, path, { done }, segment, memory);
    const rows: ListedRow[] = [];
    const live = viewed?.content.live ?? [];
    for (let at = 0; at < live.length; at += recordsAtATime) {
      const messages = messagesOf(join(path, segment.name), live.slice(at, at + recordsAtATime));
      rows.push(...(await rowsIn(messages, async () => true)));
    }
    return rows;
  };
}
