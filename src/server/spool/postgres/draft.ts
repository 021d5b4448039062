/**
 * One message on its way into the database. A small one is in memory until its promise; a larger one goes there in pieces as
 * it comes, beside a row that says that nothing is promised yet: what is abandoned is swept.
 */
import type { Database } from "../../../postgres/database.ts";
import type { Draft, NewEnvelope } from "../draft.ts";
import type { Envelope } from "../envelope.ts";
import { formatEnvelopeLine } from "../envelope-file.ts";
import type { Spend, SpendRefusal } from "../spend.ts";
import { bodyInsert, draftRemoval, pieceSize } from "./bodies.ts";
import type { Committer } from "./committer.ts";
import type { Lease } from "./lease.ts";

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
      if (!isLarge) {
        isLarge = true;
        open.add(id);
        await database.query("INSERT INTO drafts (id, lease) VALUES ($1, $2)", [id, lease.number()]);
      }
      const rows = takePieces(all);
      if (rows.length > 0)
        await database.query(...bodyInsert(rows.map((octets, at) => ({ id, piece: pieces + at, octets }))));
      pieces += rows.length;
    } catch (error) {
      failed = { error }; // some of it may be there: such a body is never accepted
      throw error;
    }
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
