/**
 * What is not done with, in memory: all messages by ID, and the timer queue of those that are neither held, nor being
 * delivered, nor being changed. Filled from the spool at the start, while others come and go already.
 */
import { workOnEach } from "../log/event-loop.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isDamaged, type Spool, type StoredMessage } from "../spool/spool.ts";
import { newTimerQueue, type TimedMessage, type TimerQueue } from "./timer-queue.ts";

/** A message not done with. */
export interface QueueItem extends TimedMessage {
  /** When it was accepted, in milliseconds since the epoch. */
  readonly accepted: number;
  /** Held by an operator: not in the timer queue. */
  readonly held: boolean;
}

export interface QueueCounts {
  readonly messages: number;
  /** How many of them are held. */
  readonly held: number;
  /** When the oldest that is not held was accepted, in milliseconds since the epoch. */
  readonly oldest: number | null;
}

export interface Queue {
  readonly timers: TimerQueue<QueueItem>;
  get(id: string): QueueItem | undefined;
  /** Puts `entry` in place of the one of the same ID, which is not in the timer queue, and into the timer queue unless it is held. */
  put(entry: QueueItem): void;
  /** The same with what is known from `envelope`. */
  enter(envelope: Envelope): void;
  /**
   * Gives out the envelope of `id`, which somebody is about to change, where it is still in memory. Nobody gets it a second
   * time: from here on the spool alone knows.
   */
  takeEnvelope(id: string): Envelope | undefined;
  /** It is done with. */
  leave(id: string): void;
  waiting(): QueueCounts;
  /**
   * Reads the spool and enters what is not known yet, until `stop` is raised; `entered` is called from time to time, when
   * there may be something to begin.
   */
  load(entered: () => void, stop: AbortSignal): Promise<void>;
}

/**
 * Recipients of the envelopes that are kept until their first delivery, so that they are not read from the disk where
 * they have just been written, or read. Our choice: some hundred KiB.
 */
const mostRecipients = 2_000;

/** `destinationsOf` says where a message is to go, `dueOf` when it is due, by the clock of the timer queue. */
export function newQueue(
  spool: Spool,
  destinationsOf: (envelope: Envelope) => readonly string[],
  dueOf: (envelope: Envelope) => number,
): Queue {
  const timers = newTimerQueue<QueueItem>();
  const known = new Map<string, QueueItem>();
  /** Each as the spool has it: whatever changes one takes it out of here. */
  const envelopes = new Map<string, Envelope>();
  let recipients = 0; // of these
  /** What was done with while the spool was still being read: it is in the list, but not there any more. */
  const gone = new Set<string>();
  let loaded = false;

  function takeEnvelope(id: string): Envelope | undefined {
    const envelope = envelopes.get(id);
    if (!envelopes.delete(id)) return undefined;
    recipients -= envelope?.recipients.length ?? 0;
    return envelope;
  }

  function keepEnvelope(envelope: Envelope): void {
    takeEnvelope(envelope.id);
    if (envelope.held !== undefined || recipients + envelope.recipients.length > mostRecipients) return;
    envelopes.set(envelope.id, envelope);
    recipients += envelope.recipients.length;
  }

  function put(entry: QueueItem): void {
    known.set(entry.id, entry);
    if (!entry.held) timers.put(entry);
  }

  function enter(envelope: Envelope): void {
    const { id, login, accepted, held, attempts } = envelope;
    const destinations = destinationsOf(envelope);
    if (attempts === 0) keepEnvelope(envelope); // those with attempts behind them wait for hours
    put({
      id,
      login: login ?? "",
      accepted,
      due: dueOf(envelope),
      destinations,
      suspended: false,
      held: held !== undefined,
    });
  }

  /** Enters what was read, unless its turn came meanwhile. */
  function enterRead({ id, envelope }: StoredMessage): void {
    if (known.has(id) || gone.has(id)) return;
    if (isDamaged(envelope)) log("damaged", { id, reason: envelope.damaged });
    else enter(envelope);
  }

  async function enterAll(
    batches: AsyncIterable<readonly StoredMessage[]>,
    entered: () => void,
    stop: AbortSignal,
  ): Promise<void> {
    for await (const batch of batches) {
      if (stop.aborted) return;
      workOnEach(batch, enterRead, (error, { id }) => logBug(`reading ${id}`, error));
      entered();
    }
  }

  return {
    timers: timers,
    get: (id) => known.get(id),
    put,
    takeEnvelope,
    enter,
    leave(id) {
      known.delete(id);
      takeEnvelope(id);
      if (!loaded) gone.add(id);
    },
    waiting() {
      let held = 0;
      let oldest: number | null = null;
      for (const entry of known.values()) {
        if (entry.held) held += 1;
        else oldest = Math.min(oldest ?? entry.accepted, entry.accepted);
      }
      return { messages: known.size, held, oldest };
    },
    async load(entered, stop) {
      await enterAll(spool.early(), entered, stop);
      const unknown = stop.aborted ? [] : (await spool.ids()).filter((id) => !known.has(id) && !gone.has(id));
      await enterAll(spool.readMany(unknown), entered, stop);
      loaded = true;
      gone.clear();
    },
  };
}
