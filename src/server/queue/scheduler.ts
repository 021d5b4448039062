/**
 * Which message's turn it is. Holds IDs, times and destinations, never an envelope or a body longer than a turn takes;
 * everything else is in the spool, so that a start after a crash is a start like any other. Nothing waits here for a
 * free place: what cannot begin yet stays on the agenda.
 */
import { setMaxListeners } from "node:events";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { Carrier } from "../delivery/route/carrier.ts";
import { newReporter } from "../dsn/reporter.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isDamaged, type Spool } from "../spool/spool.ts";
import type { Visit } from "./agenda.ts";
import { longestPause, waitUntil } from "./backoff.ts";
import { newDestinations, type Pause } from "./destinations.ts";
import { openLedger, type Standing } from "./ledger.ts";
import { newPlaces, type Place } from "./places.ts";
import { type Entry, newQueue, type Waiting } from "./queue.ts";
import { destinationsOf, openTurn, type Turn } from "./turn.ts";
import type { Patience } from "./verdict.ts";

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
  waiting(): Waiting;
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
  /** Forgets that `destination`, or any, could not be reached: what waits for it is tried at once. */
  forget(destination?: string): void;
  /**
   * Begins no new attempt; those under way have `grace` milliseconds. Resolves when all is recorded,
   * after which the spool may be closed.
   */
  drain(grace: number): Promise<void>;
}

/** A message having its turn. */
interface Presence {
  readonly turn: Promise<Turn | undefined>;
  /** Visits begun, and of those, not ended. */
  visits: number;
  underWay: number;
  /** Whether somebody else puts the message back, after a change of it. */
  brokenOff: boolean;
  readonly over: Promise<void>;
  readonly leave: () => void;
}

/** setTimeout's longest is 24.8 days; an hour does no harm. */
const longestSleep = 3_600_000;

/** Our choice: short enough when a host was only restarted, long enough to spare one that stays down. */
const firstPause = 60_000;

/** Where mail comes from, how it leaves, and the name that signs reports. */
export interface Office {
  readonly spool: Spool;
  readonly carrier: Carrier;
  readonly hostname: string;
}

/** Starts to deliver what is in the spool, while still reading it. */
export function startScheduler(office: Office, patience: Patience, clock: Clock): Scheduler {
  const { spool, carrier, hostname } = office;
  const { now, steady, random, alarm } = clock;
  const queue = newQueue(
    spool,
    (envelope) => destinationsOf(envelope, carrier),
    ({ due, attempts }) => steady() + waitUntil(due, now(), attempts, patience),
  );
  const { agenda } = queue;
  const destinations = newDestinations(
    {
      // One place stays for others, whatever the settings are.
      most: Math.min(patience.destinationConcurrency, Math.max(1, patience.concurrency - 1)),
      unanswered: Math.floor(patience.concurrency / 2),
      firstPause: Math.min(firstPause, patience.first),
      longestPause: Math.min(longestPause, patience.longest),
    },
    steady,
    random,
  );
  const present = new Map<string, Presence>();
  /** What the spool could not be told, by ID. */
  const unrecorded = new Map<string, Standing>();
  /** By ID, the last of the changes that wait for each other. */
  const changes = new Map<string, Promise<void>>();
  const places = newPlaces({ moving: patience.concurrency, all: patience.underWay }, alarm, () => pump());
  const stop = new AbortController();
  const abort = new AbortController();
  setMaxListeners(0, abort.signal); // every delivery under way listens
  let silence = (): void => undefined;

  const means = {
    books: { spool, report: newReporter(spool, hostname, now), lifetime: patience.lifetime, wake },
    carrier,
    patience,
    now,
    random,
    stop: stop.signal,
    abort: abort.signal,
  };

  function wake(envelope: Envelope): void {
    if (queue.get(envelope.id)) return;
    queue.enter(envelope);
    pump();
  }

  /** Begins as many visits as there are places, and sets the alarm for the next. */
  function pump(): void {
    if (stop.signal.aborted || !places.free()) return; // a place that becomes free pumps
    silence();
    for (const destination of destinations.over()) agenda.unpark(destination, 1);
    while (places.free()) {
      const visit = agenda.take(
        steady(),
        (to) => destinations.open(to),
        (login) => places.welcomes(login),
      );
      if (!visit) break;
      begin(visit);
    }
    const next = Math.min(
      agenda.next() ?? Number.POSITIVE_INFINITY,
      destinations.next() ?? Number.POSITIVE_INFINITY,
    );
    if (next === Number.POSITIVE_INFINITY) return;
    silence = alarm(Math.min(Math.max(next - steady(), 0), longestSleep), pump);
  }

  function begin({ entry, destination }: Visit<Entry>): void {
    const presence = present.get(entry.id) ?? arrive(entry);
    presence.visits += 1;
    presence.underWay += 1;
    const place = places.take(entry.login);
    const pause = destinations.begin(destination);
    const set = pause && { ...pause, until: now() + pause.until - steady() };
    void attend(entry, presence, destination, place, set);
  }

  function arrive({ id }: Entry): Presence {
    let leave = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const presence = { turn: turnOf(id), visits: 0, underWay: 0, brokenOff: false, over, leave };
    present.set(id, presence);
    return presence;
  }

  async function turnOf(id: string): Promise<Turn | undefined> {
    const standing = unrecorded.get(id) ?? (await read(id));
    return standing && openTurn(standing, means);
  }

  async function read(id: string): Promise<Standing | undefined> {
    const envelope = await spool.read(id);
    if (!isDamaged(envelope)) return { envelope, owed: [] };
    log("damaged", { id, reason: envelope.damaged });
    return undefined;
  }

  async function attend(
    entry: Entry,
    presence: Presence,
    to: string,
    place: Place,
    pause?: Pause,
  ): Promise<void> {
    const turn = await presence.turn.catch(() => undefined); // `finish` tells why
    const outcomes = (await turn?.visit(to, place.tell, pause)) ?? [];
    place.tell("works");
    if (!pause && destinations.end(to, outcomes)) agenda.unpark(to);
    pump();
    presence.underWay -= 1;
    if (presence.underWay === 0) await finish(entry, presence);
    else if (outcomes.length > 0) await turn?.save();
    place.leave();
    pump();
  }

  /** After the last of the visits under way: the verdict, unless somebody has not been tried yet. */
  async function finish(entry: Entry, presence: Presence): Promise<void> {
    const { id } = entry;
    const { visits } = presence;
    try {
      const turn = await presence.turn;
      const left = turn?.left() ?? [];
      if (turn && left.length > 0) {
        keep(id, await turn.save());
        if (presence.visits > visits) return; // another visit began meanwhile, and its end comes here
        if (!presence.brokenOff && !agenda.has(entry)) queue.put({ ...entry, destinations: left });
      } else {
        agenda.remove(entry);
        const next = await turn?.conclude();
        keep(id, next?.unrecorded);
        if (!next) queue.leave(id);
        else if (!presence.brokenOff)
          queue.put({ ...entry, ...next, due: steady() + Math.max(next.due - now(), 0) });
      }
    } catch (error) {
      if (errorCode(error) === "") logBug(`the turn of ${id}`, error);
      else log("spool-trouble", { id, reason: errorText(error) });
      agenda.remove(entry);
      if (!presence.brokenOff) queue.put({ ...entry, due: steady() + patience.first, parked: false });
    }
    present.delete(id);
    presence.leave();
  }

  function keep(id: string, standing: Standing | undefined): void {
    if (standing) unrecorded.set(id, standing);
    else unrecorded.delete(id);
  }

  async function changed(
    id: string,
    work: (envelope: Envelope) => Promise<Envelope | undefined>,
  ): Promise<boolean> {
    if (!queue.get(id)) await loading;
    const before = queue.get(id);
    if (before) agenda.remove(before);
    const presence = present.get(id);
    if (presence) {
      presence.brokenOff = true;
      await presence.over;
    }
    const entry = queue.get(id);
    if (!entry) return false;
    const untold = unrecorded.get(id);
    if (untold && !(await openLedger(untold, means.books).save())) {
      queue.put(entry);
      throw new Failure(exitStatus.temporary, `${id}: the spool cannot be written; try again later`);
    }
    unrecorded.delete(id);
    try {
      const found = await read(id);
      const stands = found && (await work(found.envelope));
      if (stands) queue.enter(stands);
      else queue.leave(id);
      return found !== undefined;
    } catch (error) {
      const stands = await read(id).catch(() => undefined);
      if (stands) queue.enter(stands.envelope);
      else queue.put(entry);
      throw error;
    }
  }

  const loading = queue.load(wake, stop.signal).catch((error: unknown) => logBug("reading the spool", error));

  return {
    wake,
    waiting: () => queue.waiting(),
    active: () => new Set(present.keys()),
    async change(id, work) {
      const mine = (changes.get(id) ?? Promise.resolve()).then(() => changed(id, work));
      const settled = mine.then(
        () => undefined,
        () => undefined,
      );
      changes.set(id, settled);
      await settled;
      if (changes.get(id) === settled) changes.delete(id);
      pump();
      return mine;
    },
    forget(destination) {
      for (const ended of destinations.forget(destination)) agenda.unpark(ended);
      pump();
    },
    async drain(grace) {
      stop.abort();
      silence();
      const enough = alarm(grace, () => abort.abort());
      await loading;
      while (present.size + changes.size > 0) {
        await Promise.all([...[...present.values()].map(({ over }) => over), ...changes.values()]);
      }
      enough();
    },
  };
}
