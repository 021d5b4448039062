/** The reading half: everything in the database, whichever host delivers it. */
import { Readable } from "node:stream";
import type { Database, Query } from "../../../postgres/database.ts";
import type { Envelope } from "../envelope.ts";
import { type Damaged, isDamaged, parseEnvelope } from "../envelope-file.ts";
import { parseHistory } from "../history.ts";
import type { LoadedMessage, SpoolReader, StoredMessage } from "../reader.ts";
import { patiently } from "./patience.ts";

/** Messages in a batch. Our choice: a moment's work. */
const atATime = 500;

/** A row with what is needed to know a message. */
export interface MessageRow {
  readonly id: string;
  readonly envelope: string;
}

const place = (id: string): string => `${id} in the database`;

export const envelopeOf = ({ id, envelope }: MessageRow): Envelope | Damaged =>
  parseEnvelope(envelope, id, place(id));

const missing = (id: string): Damaged => ({ damaged: `${place(id)}: not there` });

/** Reads without delivering: `load` gives whatever is there. */
export function newStoreReader(database: Database): SpoolReader {
  const { query } = database;

  async function* readMany(ids: readonly string[]): AsyncGenerator<readonly StoredMessage[], void> {
    for (let at = 0; at < ids.length; at += atATime) {
      const some = ids.slice(at, at + atATime);
      const rows = await query<MessageRow>("SELECT id, envelope FROM messages WHERE id = ANY($1::text[])", [
        some,
      ]);
      const found = new Map(rows.map((row) => [row.id, envelopeOf(row)]));
      yield some.map((id) => ({ id, envelope: found.get(id) ?? missing(id) }));
    }
  }

  async function read(id: string): Promise<Envelope | Damaged> {
    const [row] = await query<{ envelope: string; size: number; octets: number }>(
      `SELECT envelope, size, (SELECT coalesce(sum(length(octets)), 0)::bigint FROM bodies b WHERE b.id = m.id) AS octets
       FROM messages m WHERE id = $1`,
      [id],
    );
    if (row === undefined) return missing(id);
    if (row.octets !== row.size) return wrongSize(id, row.size, row.octets);
    return envelopeOf({ id, envelope: row.envelope });
  }

  return {
    async ids() {
      const rows = await query<{ id: string }>("SELECT id FROM messages ORDER BY id");
      return rows.map(({ id }) => id);
    },
    read,
    readMany,
    async load(id) {
      const envelope = await read(id);
      return isDamaged(envelope) ? envelope : { envelope };
    },
    async has(id) {
      return (await query("SELECT 1 FROM messages WHERE id = $1", [id])).length > 0;
    },
    body: (id) => Readable.from(piecesOf(database, id), { objectMode: false }),
    bodyStart: (id, octets) => patiently(database, () => startOf(query, id, octets)),
    async history(id) {
      const rows = await query<{ line: string }>("SELECT line FROM history WHERE id = $1 ORDER BY number", [
        id,
      ]);
      return parseHistory(rows.map(({ line }) => `${line}\n`).join(""));
    },
  };
}

const wrongSize = (id: string, size: number, found: number): Damaged => ({
  damaged: `${place(id)}: expected a body of ${String(size)} octets, found ${String(found)}`,
});

/** One after the other, so that one of them is in memory. A message that ends too early is an error of the stream. */
async function* piecesOf(database: Database, id: string): AsyncGenerator<Buffer, void> {
  const [row] = await patiently(database, () =>
    database.query<{ size: number }>("SELECT size FROM messages WHERE id = $1", [id]),
  );
  if (row === undefined) throw Object.assign(new Error(`${place(id)}: not there`), { code: "ENOENT" });
  let sent = 0;
  for (let piece = 0; sent < row.size; piece++) {
    const octets = await patiently(database, () => pieceOf(database.query, id, piece));
    if (octets === undefined || octets.length === 0 || sent + octets.length > row.size) {
      const fault = `${place(id)}: expected a body of ${String(row.size)} octets, found ${String(sent)} and then another piece`;
      throw Object.assign(new Error(fault), { code: "EBADMSG" });
    }
    sent += octets.length;
    yield octets;
  }
}

async function pieceOf(query: Query, id: string, piece: number): Promise<Buffer | undefined> {
  const [row] = await query<{ octets: Buffer }>("SELECT octets FROM bodies WHERE id = $1 AND piece = $2", [
    id,
    piece,
  ]);
  return row?.octets;
}

async function startOf(query: Query, id: string, octets: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for (let piece = 0; length < octets; piece++) {
    const part = await pieceOf(query, id, piece);
    if (part === undefined) break;
    parts.push(part);
    length += part.length;
  }
  if (
    parts.length === 0 &&
    (await query("SELECT 1 FROM messages WHERE id = $1 AND size = 0", [id])).length === 0
  )
    throw Object.assign(new Error(`${place(id)}: its body is not there`), { code: "ENOENT" });
  return Buffer.concat(parts).subarray(0, octets);
}

/** The message for a delivery by the host with this lease; undefined where it is not that host's, or not any more. */
export async function loadOwn(
  query: Query,
  lease: number,
  { id, most, known }: { readonly id: string; readonly most: number; readonly known: Envelope | undefined },
): Promise<LoadedMessage | Damaged | undefined> {
  const [row] = await query<{ envelope: string; size: number; octets: number; body: Buffer | null }>(
    `SELECT m.envelope, m.size, b.octets, b.body
     FROM messages m JOIN leases l ON l.number = m.lease, LATERAL (
       SELECT coalesce(sum(length(octets)), 0)::bigint AS octets,
         CASE WHEN m.size <= $3 THEN string_agg(octets, ''::bytea ORDER BY piece) END AS body
       FROM bodies WHERE id = m.id
     ) b WHERE m.id = $1 AND m.lease = $2 AND NOT l.ended`,
    [id, lease, most],
  );
  if (row === undefined) return undefined;
  if (row.octets !== row.size) return wrongSize(id, row.size, row.octets);
  const envelope = known ?? envelopeOf({ id, envelope: row.envelope });
  if (isDamaged(envelope)) return envelope;
  if (row.size > most) return { envelope };
  return { envelope, body: row.body ?? Buffer.alloc(0) };
}
