/**
 * One message on its way into the database. A small one is in memory until its promise; a larger one goes there in pieces as
 * it comes, beside a row that says that nothing is promised yet: what is abandoned is swept. Pieces wait for a database that is
 * away, as promises do: its client sends nothing more meanwhile, and what was not answered is written again.
 */
import { type Database, DatabaseAway, type Query } from "../../../postgres/database.ts";
import type { Draft, NewEnvelope } from "../draft.ts";
import type { Envelope } from "../envelope.ts";
import { formatEnvelopeLine } from "../envelope-file.ts";
import type { Spend, SpendRefusal } from "../spend.ts";
import { draftRemoval, pieceInsert, pieceSize } from "./bodies.ts";
import { type Committer, draftGone, idTaken } from "./committer.ts";
import type { Lease } from "./lease.ts";
import { patiently, promisePatience } from "./patience.ts";

/** Octets from which on a message goes to the database as it comes, and that are written at once. Our choice. */
const inMemory = 1024 * 1024;

export interface DraftDependencies {
  readonly database: Database;
  readonly lease: Lease;
  readonly committer: Committer;
  /** Those that are not accepted or discarded yet and have rows. */
  readonly open: Set<string>;
}

export function newStoreDraft(id: string, { database, lease, committer, open }: DraftDependencies): Draft {
  let parts: Buffer[] = [];
  let filled = 0; // of these
  let size = 0;
  let pieces = 0; // that are in the database
  let isLarge = false;
  let over = false;
  let failed: { readonly error: unknown } | undefined;
  let patience = promisePatience; // what is left of it for pieces

  /** What is in memory, as rows: all, or whole ones only. */
  function takePieces(all: boolean): readonly Buffer[] {
    const octets = Buffer.concat(parts, filled);
    const whole = all ? octets.length : octets.length - (octets.length % pieceSize);
    const rows: Buffer[] = [];
    for (let at = 0; at < whole; at += pieceSize)
      rows.push(octets.subarray(at, Math.min(at + pieceSize, whole)));
    parts = whole < octets.length ? [octets.subarray(whole)] : [];
    filled = octets.length - whole;
    return rows;
  }

  async function writePieces(all: boolean): Promise<void> {
    try {
      isLarge = true;
      open.add(id);
      const rows = takePieces(all);
      await patientlyPut(rows);
      pieces += rows.length;
    } catch (error) {
      failed = { error }; // some of it may be there: such a body is never accepted
      throw error;
    }
  }

  /** Again, where it is not known to be there. A client waits for all pieces of its message as long as for its promise. */
  async function patientlyPut(rows: readonly Buffer[]): Promise<void> {
    const begun = performance.now();
    let session: string | undefined; // whose commit was not answered: it may stand, now or in a moment
    let isAgain = false;
    async function put(): Promise<void> {
      if (session !== undefined) await database.ended(session);
      try {
        await database.transaction((query) => putPieces(query, rows));
      } catch (error) {
        isAgain = true;
        if (error instanceof DatabaseAway) session = error.session ?? session;
        throw error;
      }
    }
    try {
      await patiently(database, put, patience);
    } finally {
      if (isAgain) patience = Math.max(0, patience - (performance.now() - begun));
    }
  }

  /** Each statement of it may be done twice. Whoever sweeps the draft waits until it is done, or it finds nothing. */
  async function putPieces(query: Query, rows: readonly Buffer[]): Promise<void> {
    if (pieces === 0) {
      await query(
        `INSERT INTO drafts (id, lease) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM messages WHERE id = $1)
         ON CONFLICT DO NOTHING`,
        [id, lease.number()],
      );
    }
    const [row] = await query(
      "SELECT id FROM drafts WHERE id = $1 AND lease = ANY($2::bigint[]) FOR KEY SHARE",
      [id, lease.numbers()],
    );
    if (row === undefined) throw pieces === 0 ? idTaken(id) : draftGone();
    if (rows.length > 0)
      await query(...pieceInsert(rows.map((octets, at) => ({ id, piece: pieces + at, octets }))));
  }

  async function drop(): Promise<void> {
    parts = [];
    if (!isLarge) return;
    open.delete(id); // from here on it is swept, if not now
    await database.query(...draftRemoval([id]));
  }

  function mustBeOpen(): void {
    if (over) throw new Error(`draft ${id} was accepted or discarded before`);
  }

  function accept(fields: NewEnvelope, spend: Spend | undefined): Promise<Envelope | SpendRefusal>;
  function accept(fields: NewEnvelope): Promise<Envelope>;
  async function accept(fields: NewEnvelope, spend?: Spend): Promise<Envelope | SpendRefusal> {
    mustBeOpen();
    over = true;
    try {
      if (failed !== undefined) throw failed.error;
      const promised: Envelope = { ...fields, id, size };
      const envelope = formatEnvelopeLine(promised);
      if (isLarge && filled > 0) await writePieces(true);
      const refusal = await committer.accept({
        id,
        envelope,
        due: promised.due,
        login: promised.login,
        size,
        body: isLarge ? undefined : takePieces(true),
        ...(spend && { spend }),
      });
      if (refusal === undefined) {
        open.delete(id);
        return promised;
      }
      void drop().catch(() => undefined); // swept
      return refusal;
    } catch (error) {
      // Why it failed is what the caller must know, and it may wait for a commit that hangs.
      void drop().catch(() => undefined);
      throw error;
    } finally {
      parts = [];
    }
  }

  return {
    id,
    async write(chunk) {
      mustBeOpen();
      if (failed !== undefined) throw failed.error;
      parts.push(Buffer.from(chunk)); // a copy: it may be part of a buffer that is used again
      filled += chunk.length;
      size += chunk.length;
      if (filled > inMemory) await writePieces(false);
    },
    accept,
    async discard() {
      if (over) return;
      over = true;
      await drop();
    },
  };
}
