/**
 * A message of the queue as one row of what is printed. Rows are made where messages are read, which may be in another
 * thread, so that texts pass from there and no envelopes.
 */
import { isVisible, visible } from "../../cli/output.ts";
import { lineIn, type TableLayout } from "../../cli/table.ts";
import type { DamagedMessage, QueuedMessage } from "../../server/control/protocol.ts";
import { domainOf } from "../../smtp/address.ts";
import { jsonOf, mailqEntry, rowOf, waitingOf } from "./output.ts";

/** What a summary counts. */
export type By = "domain" | "sender" | "login";

/** What the rows are for; `brief` names one recipient where there are many. With a `layout` they are lines already. */
export type RowForm =
  | { readonly as: "table"; readonly brief: boolean; readonly layout?: TableLayout }
  | { readonly as: "json" }
  | { readonly as: "mailq" }
  | { readonly as: "summary"; readonly by: By };

export interface ListedRow {
  readonly id: string;
  /**
   * Without an octet 0. Of a table the line, which alone ends in a line end, or the cells, each as a terminal may show it, and
   * between them {@link cellEnd}.
   */
  readonly text: string;
  /** Those who wait. */
  readonly recipients: number;
  /** Of the message. */
  readonly octets: number;
}

export const byId = (one: ListedRow, other: ListedRow): number => (one.id < other.id ? -1 : 1);

export const cellEnd = "\t";

/** What a message counts for: once for each name. */
export const namers: Readonly<Record<By, (message: QueuedMessage) => readonly string[]>> = {
  domain: ({ envelope }) => waitingOf(envelope).map(({ address }) => domainOf(address).toLowerCase()),
  sender: ({ envelope }) => [envelope.sender === "" ? "<>" : envelope.sender.toLowerCase()],
  login: ({ envelope }) => [envelope.login ?? "-"],
};

/** Of a message in a summary: when it was accepted, and what it counts for. */
export type SummaryEntry = readonly [accepted: number, names: readonly string[]];

/** Makes rows; `now` is in milliseconds since the epoch. */
export function rowMaker(form: RowForm, now: number): (message: QueuedMessage | DamagedMessage) => ListedRow {
  return (message) => {
    const { id } = message;
    const text = textOf(message, form, now);
    if (message.status === "damaged") return { id, text, recipients: 0, octets: 0 };
    const { recipients, size } = message.envelope;
    const waiting = recipients.reduce((count, { state }) => (state === "waiting" ? count + 1 : count), 0);
    return { id, text, recipients: waiting, octets: size };
  };
}

function textOf(message: QueuedMessage | DamagedMessage, form: RowForm, now: number): string {
  switch (form.as) {
    case "table": {
      const found = rowOf(message, now, form.brief);
      const cells = isVisible(found.join("")) ? found : found.map(visible);
      return form.layout === undefined ? cells.join(cellEnd) : lineIn(form.layout, cells);
    }
    case "json":
      return JSON.stringify(jsonOf(message));
    case "mailq":
      return mailqEntry(message);
    case "summary": {
      if (message.status === "damaged") return "";
      const entry: SummaryEntry = [message.envelope.accepted, namers[form.by](message)];
      return JSON.stringify(entry);
    }
  }
}

/** Rows as they pass from one thread to another: few texts are quicker than many. */
export interface PackedRows {
  readonly ids: string;
  readonly texts: string;
  readonly recipients: readonly number[];
  readonly octets: readonly number[];
}

const rowEnd = "\0";
const idLength = 12;

export function packRows(rows: readonly ListedRow[]): PackedRows {
  return {
    ids: rows.map(({ id }) => id).join(""),
    texts: rows.map(({ text }) => text).join(rowEnd),
    recipients: rows.map(({ recipients }) => recipients),
    octets: rows.map(({ octets }) => octets),
  };
}

export function unpackRows({ ids, texts, recipients, octets }: PackedRows): readonly ListedRow[] {
  if (recipients.length === 0) return [];
  return texts.split(rowEnd).map((text, at) => ({
    id: ids.slice(at * idLength, (at + 1) * idLength),
    text,
    recipients: recipients[at] ?? 0,
    octets: octets[at] ?? 0,
  }));
}
