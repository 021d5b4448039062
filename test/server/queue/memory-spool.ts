/** A spool that is nothing but memory, for tests with thousands of messages; what they say is always the same. */
import { Readable } from "node:stream";
import { arrivalsIn } from "../../../src/server/spool/arrivals.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { type History, isDamaged, type Spool } from "../../../src/server/spool/spool.ts";
import { envelope, message } from "../delivery/fixtures.ts";

export interface Paper {
  readonly spool: Spool;
  /** What is still there, by ID. */
  readonly envelopes: Map<string, Envelope>;
  /** Puts a message there; IDs ascend. */
  put(more?: Partial<Envelope>): Envelope;
}

export function paperSpool(): Paper {
  const envelopes = new Map<string, Envelope>();
  const noted = new Map<string, History>();
  const read: Spool["read"] = async (id) => envelopes.get(id) ?? { damaged: `${id} is not there` };
  const spool: Partial<Spool> = {
    ids: async () => [...envelopes.keys()],
    read,
    async *readMany(ids) {
      for (const id of ids) yield [{ id, envelope: await read(id) }];
    },
    async load(id) {
      const envelope = await read(id);
      return isDamaged(envelope) ? envelope : { envelope };
    },
    async record(next) {
      envelopes.set(next.id, next);
      return "kept";
    },
    async remove(id) {
      envelopes.delete(id);
      return "kept";
    },
    owns: async () => true,
    mayDeliver: () => true,
    liveHosts: () => 1,
    arrivals: (stop) => arrivalsIn(spool as Spool, stop),
    note: async (id, entries) => void noted.set(id, [...(noted.get(id) ?? []), ...entries]),
    history: async (id) => noted.get(id) ?? [],
    body: () => Readable.from([Buffer.from(message)]),
    bodyStart: async () => Buffer.from(message),
  };
  return {
    spool: spool as Spool,
    envelopes,
    put(more) {
      const id = (0x4f2a9c000000 + envelopes.size).toString(16).toUpperCase();
      const made = envelope({ ...more, id });
      envelopes.set(id, made);
      return made;
    },
  };
}
