/**
 * Messages on their way into the journal, and out of it into the files of the spool. docs/spool.md, "The front journal",
 * tells the states.
 */
import { join } from "node:path";
import { commit, draftEnvelope, type Folders, unlinkIfThere, writeDraft } from "./commit.ts";
import type { Draft, NewEnvelope, Promised } from "./draft.ts";
import type { Envelope } from "./envelope.ts";
import { formatEnvelopeLine } from "./envelope-file.ts";
import type { Journal } from "./journal.ts";
import { recordLength } from "./journal-record.ts";

/** Octets that are gathered in one buffer, and in the first one. Our choice: what one read of a socket gives, and a short message. */
const gathered = 64 * 1024;
const gatheredFirst = 8 * 1024;

/** Octets of all drafts that may be in memory. Our choice: with more, further ones are files from the start. */
const mostInMemory = 64 * 1024 * 1024;

/** How much is in memory. */
export interface DraftMemory {
  octets: number;
}

/** What a draft in memory needs. */
export interface JournalDraftOptions {
  readonly journal: Journal;
  /** Octets of a message from which on it is a file. */
  readonly largest: number;
  /** What all drafts have in memory together. */
  readonly memory: DraftMemory;
  /** Begins the message as a file. Throws the system's error. */
  readonly spill: (id: string) => Promise<Draft>;
  readonly promised: Promised;
}

/** The draft `id`, in memory until it is accepted, or too large for that. */
export function newJournalDraft(
  id: string,
  { journal, largest, memory, spill, promised: tell }: JournalDraftOptions,
): Draft {
  let parts: Buffer[] = [];
  let filled = 0;
  let size = 0;
  let spilled: Promise<Draft> | undefined;
  let over = false;

  function keep(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      let last = parts.at(-1);
      if (last === undefined || filled === last.length) {
        last = Buffer.allocUnsafeSlow(parts.length === 0 ? gatheredFirst : gathered);
        parts.push(last);
        filled = 0;
      }
      const some = chunk.subarray(at, at + last.length - filled);
      last.set(some, filled);
      filled += some.length;
      at += some.length;
    }
    size += chunk.length;
    memory.octets += chunk.length;
  }

  /** A whole message is kept as it comes. */
  function take(chunk: Uint8Array): void {
    parts = [Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)];
    filled = chunk.length;
    size = chunk.length;
    memory.octets += chunk.length;
  }

  function letGo(): void {
    if (parts.length > 0) memory.octets -= size;
    parts = [];
  }

  function kept(): readonly Buffer[] {
    const last = parts.length - 1;
    return parts.map((part, index) => (index === last ? part.subarray(0, filled) : part));
  }

  /** From here on it is a file, or cannot be one. */
  async function toFile(): Promise<Draft> {
    const draft = await spill(id);
    try {
      for (const part of kept()) await draft.write(part);
    } catch (error) {
      await draft.discard().catch(() => undefined); // swept by the next start
      throw error;
    }
    letGo();
    return draft;
  }

  function mustBeOpen(): void {
    if (over) throw new Error(`draft ${id} was accepted or discarded before`);
  }

  async function accepted(fields: NewEnvelope): Promise<Envelope> {
    if (spilled !== undefined) return (await spilled).accept(fields);
    const promised: Envelope = { ...fields, id, size };
    const envelope = formatEnvelopeLine(promised);
    if (recordLength(Buffer.byteLength(envelope), size) > journal.longest)
      return (await toFile()).accept(fields);
    try {
      await journal.add({ id, envelope, body: kept() });
    } catch (error) {
      if (!journal.isForSegment(error)) throw error;
      return (await toFile()).accept(fields); // it may take less than a segment
    }
    tell(id, envelope);
    return promised;
  }

  return {
    id,

    async write(chunk, isGiven = false) {
      mustBeOpen();
      const fits = size + chunk.length <= largest && memory.octets + chunk.length <= mostInMemory;
      if (spilled === undefined && fits) return isGiven && size === 0 ? take(chunk) : keep(chunk);
      spilled ??= toFile();
      await (await spilled).write(chunk);
    },

    async accept(fields) {
      mustBeOpen();
      over = true;
      try {
        return await accepted(fields);
      } finally {
        letGo();
      }
    },

    async discard() {
      if (over) return;
      over = true;
      letGo();
      const draft = await spilled?.catch(() => undefined); // what could not become a file is none
      await draft?.discard();
    },
  };
}

/** What becomes of messages of the journal that are not done with at once. */
export interface Mover {
  /**
   * Gives `envelope`, and the message that the journal has, their files, and ends the record. Durable when it resolves, to what
   * the envelope's file says.
   */
  move(envelope: Envelope): Promise<string>;
  /** Whether files of the message may be there, although the journal has it. */
  hasBegun(id: string): boolean;
}

export function newMover(folders: Folders, journal: Journal): Mover {
  const { disk, messages, drafts } = folders;
  /** Their body is durable, and their envelope may be: the body is not written again under it. */
  const begun = new Set<string>();

  async function writeBody(id: string): Promise<void> {
    if (begun.has(id)) return;
    const copy = await journal.read(id);
    if (copy === undefined) throw new Error(`${id} is not in the journal`);
    if ("damaged" in copy) throw Object.assign(new Error(copy.damaged), { code: "EBADMSG" });
    await writeDraft(disk, join(messages.path, id), copy.body);
    await messages.sync();
    begun.add(id);
  }

  return {
    hasBegun: (id) => begun.has(id),
    async move(envelope) {
      const { id } = envelope;
      const body = writeBody(id);
      const drafting = draftEnvelope(folders, envelope);
      try {
        const steps = await Promise.allSettled([body, drafting]);
        for (const step of steps) if (step.status === "rejected") throw step.reason;
        await commit(folders, id); // the promise is the files' from here on
      } catch (error) {
        // What cannot be removed is swept at the next start; the body as well, where no envelope has it.
        await unlinkIfThere(disk, join(drafts, id)).catch(() => undefined);
        if (!begun.has(id)) await unlinkIfThere(disk, join(messages.path, id)).catch(() => undefined);
        throw error;
      }
      await journal.end(id, true);
      begun.delete(id);
      return drafting;
    },
  };
}
