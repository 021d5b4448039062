/**
 * What is not done with, in memory: all messages by ID, and the timer queue of those that are neither held, nor being
 * delivered, nor being changed. Filled from the spool at the start, while others come and go already.
 */
import { errorCode, errorText, Failure } from "../../failure.ts";
import { workOnEach } from "../log/event-loop.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { type Arrival, isDamaged, type Spool, type StoredMessage } from "../spool/spool.ts";
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
  /** Enters what comes, and leaves what is lost, until `stop` is raised. */
  load(follower: ArrivalFollower, stop: AbortSignal): Loading;
}

/** Who is to know what comes and goes. */
export interface ArrivalFollower {
  /** Called from time to time, when there may be something to begin. */
  readonly entered: () => void;
  /** Called with what another host may deliver from now on, before it leaves the queue. */
  readonly lost: (id: string) => void;
  /** Resolves when a message that was lost, and came back, is not being delivered any more; undefined where it is not. */
  readonly busy: (id: string) => Promise<void> | undefined;
}

export interface Loading {
  /** Resolves when all is known that was there at the start. */
  readonly read: Promise<void>;
  /** Resolves when nothing more comes. */
  readonly ended: Promise<void>;
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
  const shared = newSharedTexts();
  let held = 0;
  /** When the oldest that is not held was accepted; undefined where that is to be looked for. */
  let oldest: number | undefined = Number.POSITIVE_INFINITY;

  function count(entry: QueueItem, before: QueueItem | undefined): void {
    if (before?.held === entry.held && before.accepted === entry.accepted) return;
    if (before !== undefined) uncount(before);
    if (entry.held) held += 1;
    else if (oldest !== undefined) oldest = Math.min(oldest, entry.accepted);
  }

  function uncount(entry: QueueItem): void {
    if (entry.held) held -= 1;
    else if (entry.accepted === oldest) oldest = undefined;
  }

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
    count(entry, known.get(entry.id));
    known.set(entry.id, entry);
    if (!entry.held) timers.put(entry);
  }

  function enter(envelope: Envelope): void {
    const { id, login, accepted, attempts } = envelope;
    if (attempts === 0) keepEnvelope(envelope); // those with attempts behind them wait for hours
    put({
      id,
      login: shared.text(login ?? ""),
      accepted,
      due: dueOf(envelope),
      destinations: shared.list(destinationsOf(envelope)),
      suspended: false,
      held: envelope.held !== undefined,
    });
  }

  /** Enters what was read, unless its turn came meanwhile. */
  function enterRead({ id, envelope }: StoredMessage): void {
    if (known.has(id) || gone.has(id)) return;
    if (isDamaged(envelope)) log("damaged", { id, reason: envelope.damaged });
    else enter(envelope);
  }

  function leave(id: string): void {
    const entry = known.get(id);
    if (entry !== undefined) uncount(entry);
    known.delete(id);
    takeEnvelope(id);
    if (!loaded) gone.add(id);
  }

  /** Enters a message that came back, once it is known what became of the delivery that was under way when it was lost. */
  async function enterAfter(end: Promise<void>, message: StoredMessage, entered: () => void): Promise<void> {
    const { id } = message;
    await end;
    try {
      if (!(await spool.owns(id))) return;
      enterRead({ id, envelope: await spool.read(id) });
    } catch (error) {
      if (errorCode(error) === "") logBug(`reading ${id}`, error);
      else log("spool-trouble", { id, reason: errorText(error) });
      enterRead(message); // as it came: its delivery will look again whose it is
      takeEnvelope(id); // and at what was recorded since
    }
    entered();
  }

  function take(arrival: Arrival, { entered, lost, busy }: ArrivalFollower): void {
    if (arrival.kind === "read") {
      loaded = true;
      gone.clear();
    } else if (arrival.kind === "hosts") {
      entered();
    } else if (arrival.kind === "lost") {
      for (const id of arrival.ids === "all" ? [...known.keys()] : arrival.ids) {
        lost(id);
        leave(id);
      }
    } else {
      const enterOne = (message: StoredMessage): void => {
        const end = busy(message.id);
        if (end) void enterAfter(end, message, entered);
        else enterRead(message);
      };
      workOnEach(arrival.messages, enterOne, (error, { id }) => logBug(`reading ${id}`, error));
      entered();
    }
  }

  return {
    timers: timers,
    get: (id) => known.get(id),
    put,
    takeEnvelope,
    enter,
    leave,
    waiting() {
      if (oldest === undefined) {
        oldest = Number.POSITIVE_INFINITY;
        for (const entry of known.values()) if (!entry.held) oldest = Math.min(oldest, entry.accepted);
      }
      return { messages: known.size, held, oldest: oldest === Number.POSITIVE_INFINITY ? null : oldest };
    },
    load(follower, stop) {
      let tellRead = (): void => undefined;
      const read = new Promise<void>((resolve) => {
        tellRead = resolve;
      });
      const all = async (): Promise<void> => {
        try {
          for await (const arrival of spool.arrivals(stop)) {
            take(arrival, follower);
            if (arrival.kind === "read") tellRead();
          }
        } catch (error) {
          if (!(error instanceof Failure)) logBug("reading the spool", error); // else whoever opened it is told
        } finally {
          tellRead();
        }
      };
      return { read, ended: all() };
    },
  };
}

/** Texts that are kept so at the most. Our choice. */
const mostShared = 10_000;

/** Of equal texts one is kept, and of equal lists: most lists have one text, and what is read of an envelope is a part of it. */
function newSharedTexts() {
  const lists = new Map<string, readonly [string]>();

  function one(text: string): readonly [string] {
    const known = lists.get(text);
    if (known !== undefined) return known;
    if (lists.size >= mostShared) lists.clear();
    const made = [text] as const;
    lists.set(text, made);
    return made;
  }

  return {
    text: (text: string): string => one(text)[0],
    list(texts: readonly string[]): readonly string[] {
      const [only, ...others] = texts;
      return only === undefined || others.length > 0 ? texts : one(only);
    },
  };
}
