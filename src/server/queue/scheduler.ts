/**
 * Which message is delivered next. Holds IDs, times and destinations, and no body longer than a delivery round takes, nor an
 * envelope, but for the few that queue.ts keeps; everything else is in the spool, so that a start after a crash is a start
 * like any other. Nothing waits here for a
 * free slot: what cannot begin yet stays in the timer queue.
 */
import { setMaxListeners } from "node:events";
import { attempted, type Soon, whenThere } from "../../at-once.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { ProviderTerms } from "../delivery/provider-terms.ts";
import type { ReportActivity } from "../delivery/transaction.ts";
import type { Transport } from "../delivery/transport.ts";
import { type ContactOf, newReporter } from "../dsn/report.ts";
import { workOnMessage } from "../log/event-loop.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isDamaged, type LoadedMessage, type Spool } from "../spool/spool.ts";
import { longestPause, waitUntil } from "./backoff.ts";
import { type DeliveryRound, destinationsOf, openRound } from "./delivery-round.ts";
import { newDestinations, type Suspension, shareOf } from "./destinations.ts";
import { newProviderGroups, type ProviderPause, type ProviderVisit } from "./provider-groups.ts";
import { newQueue, type QueueCounts, type QueueItem } from "./queue.ts";
import { type DeliveryState, openRecorder } from "./recorder.ts";
import { type DeliverySlot, newSlots } from "./slots.ts";
import type { DueDelivery } from "./timer-queue.ts";
import type { RetryPolicy } from "./verdict.ts";

export interface Clock {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets: pauses and alarms are kept in it. */
  readonly steady: () => number;
  /** Between 0 and 1. */
  readonly random: () => number;
  /** Calls `ring` once, after so many milliseconds, unless the function that it gives is called before. */
  readonly alarm: (after: number, ring: () => void) => () => void;
}

export interface Scheduler {
  /** A new message is in the spool. */
  wake(envelope: Envelope): void;
  waiting(): QueueCounts;
  /** The queue IDs of those in flight. */
  active(): ReadonlySet<string>;
  /**
   * Changes a message while no delivery round of it is under way: waits for the end of the one that is, reads the envelope
   * afresh and gives it to `work`, which records or removes what it decides in the spool and gives what now stands,
   * undefined where the message is gone. False where there is no such message. One change of a message comes after
   * the other. Rejects with what `work` throws, the message then being tried as the spool has it, or with a Failure
   * where the spool cannot even be told what was delivered before.
   */
  change(id: string, work: (envelope: Envelope) => Promise<Envelope | undefined>): Promise<boolean>;
  /** Forgets that `destination`, or any, could not be reached: what waits for it is tried at once. */
  forget(destination?: string): void;
  /** The providers to which nothing is delivered for a while; times are in milliseconds since the epoch. */
  pauses(): readonly ProviderPause[];
  /**
   * Begins no new attempt; those under way have `grace` milliseconds. Resolves when all is recorded,
   * after which the spool may be closed.
   */
  drain(grace: number): Promise<void>;
}

/** A message that is being delivered. */
interface InFlight {
  round: Soon<DeliveryRound | undefined>;
  /** Octets of its body in memory. */
  octets: number;
  /** Visits begun, and of those, not ended. */
  deliveries: number;
  underWay: number;
  /** Whether anything came of it that the spool does not know. */
  isNews: boolean;
  /** Whether somebody else puts the message back, after a change of it. */
  brokenOff: boolean;
  /** Whether it is another host's meanwhile, or may be. */
  isLost: boolean;
  /** Called at its end. */
  readonly waiting: (() => void)[];
}

const endOf = ({ waiting }: InFlight): Promise<void> => new Promise((resolve) => void waiting.push(resolve));

/** setTimeout's longest is 24.8 days; an hour does no harm. */
const longestSleep = 3_600_000;

/** Our choice: short enough when a host was only restarted, long enough to spare one that stays down. */
const firstPause = 60_000;

/** Octets of a body that is read into memory at once, and of all such bodies at a time; our choice. */
const smallBody = 64 * 1024;
const bodiesInMemory = 32 * 1024 * 1024;

/** Where mail comes from, how it leaves, and the name that signs reports. */
export interface SchedulerDependencies {
  readonly spool: Spool;
  readonly transport: Transport;
  readonly hostname: string;
  /** Whom reports tell their readers to ask. */
  readonly contactOf?: ContactOf;
}

/** Starts to deliver what is in the spool, while still reading it. */
export function startScheduler(from: SchedulerDependencies, patience: RetryPolicy, clock: Clock): Scheduler {
  const { spool, transport, hostname, contactOf } = from;
  const { now, steady, random, alarm } = clock;
  const queue = newQueue(
    spool,
    (envelope) => destinationsOf(envelope, transport),
    ({ due, attempts }) => steady() + waitUntil(due, now(), attempts, patience),
  );
  const { timers } = queue;
  const destinations = newDestinations(
    {
      // One place stays for others, whatever the settings are.
      most: () =>
        Math.min(
          shareOf(patience.destinationConcurrency, spool.liveHosts()),
          Math.max(1, patience.concurrency - 1),
        ),
      unanswered: Math.floor(patience.concurrency / 2),
      firstPause: Math.min(firstPause, patience.first),
      longestPause: Math.min(longestPause, patience.longest),
    },
    steady,
    random,
  );
  const providers = newProviderGroups(steady, random, () => spool.liveHosts());
  const inFlight = new Map<string, InFlight>();
  /** What the spool could not be told, by ID. */
  const unrecorded = new Map<string, DeliveryState>();
  /** By ID, the last of the changes that wait for each other. */
  const changes = new Map<string, Promise<void>>();
  const slots = newSlots({ moving: patience.concurrency, all: patience.underWay }, clock, () => startDue());
  const stop = new AbortController();
  const abort = new AbortController();
  setMaxListeners(0, abort.signal); // every delivery under way listens
  let silence = (): void => undefined;
  /** Octets of bodies in memory. */
  let inMemory = 0;

  const dependencies = {
    recorder: {
      spool,
      report: newReporter(spool, hostname, now, contactOf),
      lifetime: patience.lifetime,
      wake,
    },
    transport,
    patience,
    now,
    steady,
    random,
    stop: stop.signal,
    abort: abort.signal,
  };

  function wake(envelope: Envelope): void {
    if (queue.get(envelope.id)) return;
    // In its name from here on, so that neither where it goes nor that its delivery begins is marked by itself.
    workOnMessage(envelope.id, () => {
      queue.enter(envelope);
      startDue();
    });
  }

  /** Begins as many deliveries as there are free slots, and sets the alarm for the next. */
  function startDue(): void {
    if (stop.signal.aborted || !slots.free()) return; // a slot that becomes free calls this again
    silence();
    for (const destination of destinations.over()) timers.resume(destination, 1);
    for (const destination of providers.over()) timers.resume(destination, 1);
    while (slots.free()) {
      const delivery = timers.take(
        steady(),
        (to) => providers.open(to) && destinations.open(to),
        (login) => slots.hasShareFor(login),
      );
      if (!delivery) break;
      workOnMessage(delivery.entry.id, () => begin(delivery)); // up to where something is waited for
    }
    const next = Math.min(
      timers.next() ?? Number.POSITIVE_INFINITY,
      destinations.next() ?? Number.POSITIVE_INFINITY,
      providers.next() ?? Number.POSITIVE_INFINITY,
    );
    if (next === Number.POSITIVE_INFINITY) return;
    silence(); // what began may have been here meanwhile
    silence = alarm(Math.min(Math.max(next - steady(), 0), longestSleep), startDue);
  }

  function begin({ entry, destination }: DueDelivery<QueueItem>): void {
    const pause = providers.pauseOf(destination) ?? destinations.begin(destination);
    const item = inFlight.get(entry.id) ?? startRound(entry, pause ? 0 : smallBody);
    item.deliveries += 1;
    item.underWay += 1;
    const slot = slots.take(entry.login);
    const set = pause && { ...pause, until: now() + pause.until - steady() };
    void runDelivery(entry, item, destination, slot, set ?? providers.begin(destination));
  }

  /** Begins a round, which has the body in memory where it has no more than `most` octets. */
  function startRound({ id }: QueueItem, most: number): InFlight {
    const item: InFlight = {
      round: undefined,
      octets: 0,
      deliveries: 0,
      underWay: 0,
      isNews: false,
      brokenOff: false,
      isLost: false,
      waiting: [],
    };
    inFlight.set(id, item);
    item.round = attempted(() => roundOf(id, most, item));
    return item;
  }

  function roundOf(id: string, most: number, item: InFlight): Soon<DeliveryRound | undefined> {
    const untold = unrecorded.get(id);
    const known = queue.takeEnvelope(id);
    if (untold) return openRound(untold, dependencies);
    return whenThere(loaded(id, Math.min(most, bodiesInMemory - inMemory), known), (message) => {
      if (!message) return undefined;
      const { envelope, body } = message;
      item.octets = body?.length ?? 0;
      inMemory += item.octets;
      return openRound({ envelope, unreported: [] }, dependencies, body);
    });
  }

  const loaded = (id: string, most: number, known?: Envelope): Soon<LoadedMessage | undefined> =>
    whenThere(spool.load(id, most, known), (message) => {
      if (message === undefined || !isDamaged(message)) return message;
      log("damaged", { id, reason: message.damaged });
      return undefined;
    });

  async function runDelivery(
    entry: QueueItem,
    item: InFlight,
    to: string,
    slot: DeliverySlot,
    how: Suspension | ProviderVisit,
  ): Promise<void> {
    const [pause, visit] = "until" in how ? [how, undefined] : [undefined, how];
    let yielded = false;
    const report: ReportActivity = (activity, decline) => {
      if (activity === "yields" && !yielded) return decline ? yieldIfNeeded(decline) : yieldPlace();
      if (activity === "waits" && yielded) takePlaceAgain();
      slot.report(activity);
    };
    function yieldPlace(): void {
      destinations.yield(to);
      visit?.yield();
      yielded = true;
      slot.report("yields");
      startDue();
    }
    function takePlaceAgain(): void {
      destinations.unyield(to);
      visit?.unyield();
      yielded = false;
    }
    /** It keeps its place where others may begin without it, or nobody is due there. */
    function yieldIfNeeded(decline: () => void): void {
      const isFull = !destinations.open(to);
      if (isFull) yieldPlace();
      else slot.report("waits");
      if (yielded && destinations.open(to)) takePlaceAgain();
      if (!yielded) decline();
    }
    const { round: opened } = item;
    const round = opened instanceof Promise ? await opened.catch(() => undefined) : opened; // `finish` tells why
    const admit = visit && ((provider: ProviderTerms | undefined) => visit.admit(provider));
    const outcomes = (await round?.deliver(to, report, pause, admit)) ?? [];
    slot.report("works");
    if (outcomes.length > 0) item.isNews = true;
    if (visit) {
      const { slowsDown, resumed } = visit.end(outcomes);
      // What a provider says of our speed is nothing about one of its domains.
      if (destinations.end(to, slowsDown ? [] : outcomes, yielded)) timers.resume(to);
      for (const one of resumed) timers.resume(one);
    }
    startDue();
    item.underWay -= 1;
    if (item.underWay === 0) await finish(entry, item);
    else if (outcomes.length > 0) await round?.save();
    slot.release();
    startDue();
  }

  /** After the last of the deliveries under way: the verdict, unless somebody has not been tried yet. */
  async function finish(entry: QueueItem, item: InFlight): Promise<void> {
    const { id } = entry;
    const { deliveries } = item;
    try {
      const round = item.round instanceof Promise ? await item.round : item.round;
      const left = round?.left() ?? [];
      if (round && left.length > 0) {
        if (item.isNews) keep(item, id, await round.save());
        if (item.deliveries > deliveries) return; // another delivery began meanwhile, and its end comes here
        if (!item.brokenOff && !timers.has(entry)) queue.put({ ...entry, destinations: left });
      } else {
        timers.remove(entry);
        const next = await round?.conclude();
        keep(item, id, next?.unrecorded);
        if (!next) queue.leave(id);
        else if (!item.brokenOff) queue.put({ ...entry, ...next });
      }
    } catch (error) {
      if (errorCode(error) === "") logBug(`the delivery of ${id}`, error);
      else log("spool-trouble", { id, reason: errorText(error) });
      timers.remove(entry);
      if (!item.brokenOff) queue.put({ ...entry, due: steady() + patience.first, suspended: false });
    }
    inFlight.delete(id);
    inMemory -= item.octets;
    for (const tell of item.waiting) tell();
  }

  function keep({ isLost }: InFlight, id: string, state: DeliveryState | undefined): void {
    if (state && !isLost) unrecorded.set(id, state);
    else unrecorded.delete(id);
  }

  async function changed(
    id: string,
    work: (envelope: Envelope) => Promise<Envelope | undefined>,
  ): Promise<boolean> {
    if (!queue.get(id)) await loading;
    const before = queue.get(id);
    if (before) timers.remove(before);
    queue.takeEnvelope(id);
    const item = inFlight.get(id);
    if (item) {
      item.brokenOff = true;
      await endOf(item);
    }
    const entry = queue.get(id);
    if (!entry) return false;
    const untold = unrecorded.get(id);
    if (untold && !(await openRecorder(untold, dependencies.recorder).save())) {
      queue.put(entry);
      throw new Failure(exitStatus.temporary, `${id}: the spool cannot be written; try again later`);
    }
    unrecorded.delete(id);
    try {
      const found = await loaded(id, 0);
      const stands = found && (await work(found.envelope));
      if (stands) queue.enter(stands);
      else queue.leave(id);
      return found !== undefined;
    } catch (error) {
      const stands = await Promise.resolve(attempted(() => loaded(id, 0))).catch(() => undefined);
      if (stands) queue.enter(stands.envelope);
      else queue.put(entry);
      throw error;
    }
  }

  /** What is under way comes to its end, and its outcome is recorded where it still can be. */
  function lose(id: string): void {
    const entry = queue.get(id);
    if (entry) timers.remove(entry);
    unrecorded.delete(id);
    const item = inFlight.get(id);
    if (!item) return;
    item.brokenOff = true;
    item.isLost = true;
  }

  const { read: loading, ended: reading } = queue.load(
    {
      entered: startDue,
      lost: lose,
      busy(id) {
        const item = inFlight.get(id);
        return item?.isLost ? endOf(item) : undefined;
      },
    },
    stop.signal,
  );

  return {
    wake,
    waiting: () => queue.waiting(),
    active: () => new Set(inFlight.keys()),
    async change(id, work) {
      const mine = (changes.get(id) ?? Promise.resolve()).then(() => changed(id, work));
      const settled = mine.then(
        () => undefined,
        () => undefined,
      );
      changes.set(id, settled);
      await settled;
      if (changes.get(id) === settled) changes.delete(id);
      startDue();
      return mine;
    },
    pauses: () => providers.pauses().map((pause) => ({ ...pause, until: now() + pause.until - steady() })),
    forget(destination) {
      const ended = [...destinations.forget(destination), ...providers.forget(destination)];
      for (const one of ended) timers.resume(one);
      startDue();
    },
    async drain(grace) {
      stop.abort();
      silence();
      const enough = alarm(grace, () => abort.abort());
      await reading;
      while (inFlight.size + changes.size > 0) {
        await Promise.all([...[...inFlight.values()].map(endOf), ...changes.values()]);
      }
      enough();
    },
  };
}
