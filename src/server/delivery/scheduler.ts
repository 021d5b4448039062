/**
 * Which message's turn it is. Holds IDs and times, never an envelope or a body longer than a turn takes;
 * everything else is in the spool, so that a start after a crash is a start like any other.
 */
import { setMaxListeners } from "node:events";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { log, logBug } from "../observe/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isDamaged, type Spool } from "../spool/spool.ts";
import { type Item, newAgenda } from "./agenda.ts";
import type { Carrier } from "./carrier.ts";
import { openLedger, type Standing } from "./ledger.ts";
import { newPauses } from "./pauses.ts";
import { newReporter } from "./reporter.ts";
import { inLanes, newSlots } from "./slots.ts";
import { takeTurn } from "./turn.ts";
import type { Patience } from "./verdict.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Between 0 and 1. */
  readonly random: () => number;
  /** Calls `ring` once, after so many milliseconds, unless the function that it gives is called before. */
  readonly alarm: (after: number, ring: () => void) => () => void;
}

export interface Scheduler {
  /** A new message is in the spool. */
  wake(envelope: Envelope): void;
  /** Messages not done with, and when the oldest was accepted, in milliseconds since the epoch. */
  waiting(): { readonly messages: number; readonly oldest: number | null };
  /** The queue IDs of those having their turn. */
  active(): ReadonlySet<string>;
  /**
   * Changes a message while no turn of it is under way: waits for the end of the one that is, reads the envelope
   * afresh and gives it to `work`, which records or removes what it decides in the spool and gives what now stands,
   * undefined where the message is gone. False where there is no such message. One change of a message comes after
   * the other. Rejects with what `work` throws, the message then being tried as the spool has it, or with a Failure
   * where the spool cannot even be told what was delivered before.
   */
  change(id: string, work: (envelope: Envelope) => Promise<Envelope | undefined>): Promise<boolean>;
  /** Forgets that `destination`, or any, could not be reached. */
  forget(destination?: string): void;
  /**
   * Begins no new attempt; those under way have `grace` milliseconds. Resolves when all is recorded,
   * after which the spool may be closed.
   */
  drain(grace: number): Promise<void>;
}

/** An item, with what the spool could not be told about it. */
interface Entry extends Item {
  readonly unrecorded?: Standing;
}

/** Envelopes read at the same time at the start: enough to keep the disk busy. */
const readers = 8;

/** setTimeout's longest is 24.8 days; an hour does no harm. */
const longestSleep = 3_600_000;

/** Our choice: long enough to spare a host that is down, short enough when it was only restarted. */
const longestPause = 60_000;

/** Where mail comes from, how it leaves, and the name that signs reports. */
export interface Office {
  readonly spool: Spool;
  readonly carrier: Carrier;
  readonly hostname: string;
}

/** Starts to deliver what is in the spool, while still reading it. */
export function startScheduler(office: Office, patience: Patience, clock: Clock): Scheduler {
  const { spool, carrier, hostname } = office;
  const { now, random, alarm } = clock;
  const agenda = newAgenda<Entry>();
  /** Everything not done with: on the agenda or having its turn. */
  const known = new Map<string, Entry>();
  /** What was done with while the spool was still being read: it is in the list, but not there any more. */
  const gone = new Set<string>();
  let loaded = false;
  const turns = new Map<string, Promise<void>>();
  /** By ID, the last of the changes that wait for each other. */
  const changes = new Map<string, Promise<unknown>>();
  const stop = new AbortController();
  const abort = new AbortController();
  setMaxListeners(0, abort.signal); // every delivery under way listens
  let silence = (): void => undefined;

  const means = {
    books: { spool, report: newReporter(spool, hostname, now), lifetime: patience.lifetime, wake },
    carrier,
    patience,
    slots: newSlots(patience.concurrency),
    pauses: newPauses(Math.min(longestPause, patience.first), now),
    now,
    random,
    stop: stop.signal,
    abort: abort.signal,
  };

  function put(entry: Entry): void {
    known.set(entry.id, entry);
    agenda.put(entry);
  }

  function wake(envelope: Envelope): void {
    if (known.has(envelope.id)) return;
    enter(envelope);
    pump();
  }

  /** Held messages are known and nothing more. */
  function enter({ id, login, accepted, due, held }: Envelope): void {
    const entry = { id, login: login ?? "", accepted, due };
    if (held) known.set(id, entry);
    else put(entry);
  }

  /** Begins as many turns as there are places, and sets the alarm for the next. */
  function pump(): void {
    silence();
    if (stop.signal.aborted) return;
    while (turns.size < patience.concurrency) {
      const entry = agenda.take(now());
      if (!entry) break;
      const turn = serve(entry).finally(() => {
        turns.delete(entry.id);
        pump();
      });
      turns.set(entry.id, turn);
    }
    const next = agenda.next();
    if (next === undefined || turns.size >= patience.concurrency) return; // a turn that ends pumps
    silence = alarm(Math.min(Math.max(next - now(), 0), longestSleep), pump);
  }

  async function serve(entry: Entry): Promise<void> {
    const { id, login, accepted } = entry;
    try {
      const standing = entry.unrecorded ?? (await read(id));
      const next = standing && (await takeTurn(standing, means));
      if (next) return put({ id, login, accepted, ...next });
      known.delete(id);
      if (!loaded) gone.add(id);
    } catch (error) {
      if (errorCode(error) === "") logBug(`the turn of ${id}`, error);
      else log("spool-trouble", { id, reason: errorText(error) });
      put({ ...entry, due: now() + patience.first });
    }
  }

  async function read(id: string): Promise<Standing | undefined> {
    const envelope = await spool.read(id);
    if (!isDamaged(envelope)) return { envelope, owed: [] };
    log("damaged", { id, reason: envelope.damaged });
    return undefined;
  }

  async function changed(
    id: string,
    work: (envelope: Envelope) => Promise<Envelope | undefined>,
  ): Promise<boolean> {
    if (!known.has(id)) await loading;
    await turns.get(id);
    const entry = known.get(id);
    if (!entry) return false;
    agenda.remove(entry);
    let now: Envelope | undefined;
    try {
      if (entry.unrecorded && !(await openLedger(entry.unrecorded, means.books).save())) {
        throw new Failure(exitStatus.temporary, `${id}: the spool cannot be written; try again later`);
      }
      now = (await read(id))?.envelope;
      if (now) now = await work(now);
      if (now) enter(now);
      else known.delete(id);
      return true;
    } catch (error) {
      put(entry);
      throw error;
    } finally {
      pump();
    }
  }

  async function load(): Promise<void> {
    await inLanes(await spool.ids(), readers, async (id) => {
      if (known.has(id) || gone.has(id) || stop.signal.aborted) return;
      const envelope = await spool.read(id);
      if (known.has(id) || gone.has(id)) return; // its turn came meanwhile
      if (isDamaged(envelope)) log("damaged", { id, reason: envelope.damaged });
      else wake(envelope);
    });
    loaded = true;
    gone.clear();
  }

  const loading = load().catch((error: unknown) => logBug("reading the spool", error));

  return {
    wake,
    waiting() {
      let oldest: number | null = null;
      for (const { accepted } of known.values()) oldest = Math.min(oldest ?? accepted, accepted);
      return { messages: known.size, oldest };
    },
    active: () => new Set(turns.keys()),
    async change(id, work) {
      const mine = (changes.get(id) ?? Promise.resolve()).then(() => changed(id, work));
      const settled = mine.then(
        () => undefined,
        () => undefined,
      );
      changes.set(id, settled);
      await settled;
      if (changes.get(id) === settled) changes.delete(id);
      return mine;
    },
    forget(destination) {
      means.pauses.forget(destination);
      pump();
    },
    async drain(grace) {
      stop.abort();
      silence();
      const enough = alarm(grace, () => abort.abort());
      await loading;
      await Promise.all([...turns.values(), ...changes.values()]);
      enough();
    },
  };
}
