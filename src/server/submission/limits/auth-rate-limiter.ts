/**
 * Against guessing passwords: wrong ones are answered later and later, and after some no more are looked at for a
 * while. They count for the login together with the network they came from, and for the network (an IPv4 address, the
 * /64 of an IPv6 address). They never shut a login as a whole, or a stranger elsewhere could lock its owner out. Where
 * a login has come from before it is at home: there only wrong passwords for itself count, or a neighbour could.
 * Guesses from many networks at one login make the answers later, but not those at home. The same wrong password again
 * and again is no further guess; a network has a budget for those, and one that has used it up waits with them alone.
 */
import { createHmac } from "node:crypto";
import { subscriberNetwork } from "./admission.ts";
import { day, hour } from "./sliding-window.ts";

/** A login that is tried. */
export interface LoginAttempt {
  /** In the one form that all its spellings come to. */
  readonly login: string;
  /** The client's IP address. */
  readonly address: string;
}

export interface AuthRateLimiter {
  /**
   * Until when no password is looked at (milliseconds since the epoch), or not this one, which was wrong before;
   * undefined where it may be now.
   */
  blockedUntil(attempt: LoginAttempt, password?: string): number | undefined;
  /**
   * To be waited for before a password is looked at: no more are under way at a time than could be wrong without going
   * beyond what is borne. What it gives is called once it is known how this one was.
   */
  acquire(attempt: LoginAttempt, password?: string): Promise<() => void>;
  /** The password was wrong; gives how many times longer than for a first mistake the answer should wait. */
  failed(attempt: LoginAttempt, password: string): number;
  succeeded(attempt: LoginAttempt, password?: string): void;
}

/** Wrong passwords of late, and when the last one came. */
interface FailureCount {
  readonly wrong: number;
  readonly last: number;
}

// How many are borne before the door is shut. Our choice, as all numbers here: no person tries ten different ones,
// and a network is a whole office at times.
const forLogin = 10;
const forNetwork = 40;

/** The first shut door stays so for a minute, each further wrong password doubles that up to an hour. */
const firstPause = 60_000;
const longestPause = hour;

/** Milliseconds after which wrong passwords are forgotten, once the door is open again. */
const rememberedFor = hour;

/**
 * Milliseconds in which the same wrong password counts once: a forgotten telephone tries the old one for days, and
 * guesses nothing.
 */
const sameFor = day;

/** What a network has for those: so many at once, and one more each so many milliseconds. A telephone needs fewer. */
const forRepeats = 40;
const repeatEvery = 20_000;

/** Milliseconds for which a network counts as a login's own after it last logged in from there. */
const familiarFor = 30 * day;
const mostFamiliar = 32;

/** An answer never waits longer than so many times the first: clients give up after a minute or so. */
const longestWait = 15;

/** Counts of each kind: a botnet fills some ten megabytes and no more. */
const mostCounts = 40_000;

/**
 * A brake that knows of nothing yet. `now` is in milliseconds since the epoch; what clients say is kept as digests with
 * the secret `key` only.
 */
export function newAuthRateLimiter(now: () => number, key: Uint8Array): AuthRateLimiter {
  const byPair = newFailureCounts(forLogin, now);
  const networks = newFailureCounts(forNetwork, now);
  /** Of a login where it is not at home: for the wait alone. */
  const unfamiliar = newFailureCounts(Number.POSITIVE_INFINITY, now);
  /** When a wrong password, as a digest, was counted. */
  const guesses = newBoundedMap<number>(mostCounts);
  const repeats = newRepeatBudget(now);
  const limits = newAttemptGate();
  /** When a login came from each network last. Logins that exist only. */
  const familiarNetworks = new Map<string, Map<string, number>>();

  /** Ten characters that stand for `parts`. */
  function digest(...parts: readonly string[]): string {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64").slice(0, 10);
  }

  function read({ login, address }: LoginAttempt) {
    const place = subscriberNetwork(address);
    const person = digest(login);
    const lastHere = familiarNetworks.get(person)?.get(place) ?? Number.NEGATIVE_INFINITY;
    return { place, person, pair: `${person} ${place}`, isFamiliar: lastHere > now() - familiarFor };
  }

  const guessOf = ({ login, address }: LoginAttempt, password: string): string =>
    digest(login, subscriberNetwork(address), password);

  const wasWrong = (digest: string): boolean =>
    (guesses.get(digest) ?? Number.NEGATIVE_INFINITY) > now() - sameFor;

  function blockedUntil(attempt: LoginAttempt, password?: string): number | undefined {
    const { place, pair, isFamiliar } = read(attempt);
    const isRepeat = password !== undefined && wasWrong(guessOf(attempt, password));
    const until = Math.max(
      byPair.shutUntil(pair),
      isFamiliar ? 0 : networks.shutUntil(place),
      isRepeat ? repeats.emptyUntil(place) : 0,
    );
    return until > now() ? until : undefined;
  }

  /** In which lanes an attempt goes, and how many each has room for. None where it is refused anyway. */
  function limitsFor(attempt: LoginAttempt, password?: string): readonly ConcurrencyLimit[] {
    if (blockedUntil(attempt, password) !== undefined) return [];
    const { place, pair, isFamiliar } = read(attempt);
    if (password !== undefined && wasWrong(guessOf(attempt, password)))
      return [{ name: "repeats", room: repeats.left(place) }];
    const own = { name: pair, room: forLogin - byPair.wrong(pair) };
    return isFamiliar ? [own] : [own, { name: "network", room: forNetwork - networks.wrong(place) }];
  }

  return {
    blockedUntil,
    acquire: (attempt, password) =>
      limits.acquire(subscriberNetwork(attempt.address), () => limitsFor(attempt, password)),
    failed(attempt, password) {
      const { place, person, pair, isFamiliar } = read(attempt);
      const digest = guessOf(attempt, password);
      const added = wasWrong(digest) ? 0 : 1;
      if (added === 1) guesses.set(digest, now());
      else repeats.draw(place);
      const wrong = byPair.add(pair, added);
      const elsewhere = isFamiliar ? 0 : Math.max(networks.add(place, added), unfamiliar.add(person, added));
      return Math.min(longestWait, 2 ** Math.max(0, wrong - 1) + Math.floor(elsewhere / forLogin));
    },
    succeeded(attempt, password) {
      if (password !== undefined) guesses.delete(guessOf(attempt, password));
      const { pair, person, place } = read(attempt);
      byPair.forget(pair);
      const places = familiarNetworks.get(person) ?? new Map<string, number>();
      familiarNetworks.set(person, places);
      places.delete(place);
      places.set(place, now());
      for (const [oldest, last] of places) {
        if (places.size <= mostFamiliar && last > now() - familiarFor) break;
        places.delete(oldest);
      }
    },
  };
}

/** From `borne` wrong ones on the door is shut for a while. */
function newFailureCounts(allowed: number, now: () => number) {
  const counts = newBoundedMap<FailureCount>(mostCounts);

  const shutUntil = ({ wrong, last }: FailureCount): number =>
    wrong < allowed ? 0 : last + Math.min(longestPause, firstPause * 2 ** (wrong - allowed));

  /** What is still remembered. */
  function current(of: string): FailureCount {
    const count = counts.get(of);
    const isOver = !count || Math.max(count.last, shutUntil(count)) + rememberedFor < now();
    return isOver ? { wrong: 0, last: 0 } : count;
  }

  return {
    shutUntil: (of: string): number => shutUntil(current(of)),
    wrong: (of: string): number => current(of).wrong,
    /** `more` wrong ones, 0 or 1; gives how many there are. */
    add(of: string, more: number): number {
      const { wrong, last } = current(of);
      counts.set(of, { wrong: wrong + more, last: more === 0 ? last : now() });
      return wrong + more;
    },
    forget(of: string): void {
      counts.delete(of);
    },
  };
}

/** For repeats. Kept is when all of it is there again. */
function newRepeatBudget(now: () => number) {
  const wholeAt = newBoundedMap<number>(mostCounts);
  /** Also right where the clock was set back meanwhile. */
  const missing = (of: string): number =>
    Math.min(forRepeats * repeatEvery, Math.max(0, (wholeAt.get(of) ?? 0) - now()));
  const left = (of: string): number => Math.floor(forRepeats - missing(of) / repeatEvery);
  return {
    left,
    emptyUntil: (of: string): number =>
      left(of) >= 1 ? 0 : now() + missing(of) - (forRepeats - 1) * repeatEvery,
    draw(of: string): void {
      wholeAt.set(of, now() + missing(of) + repeatEvery);
    },
  };
}

/** Attempts that wait for each other: so many of a kind at a time from one network, first come, first served. */

/** One kind of attempts. */
export interface ConcurrencyLimit {
  readonly name: string;
  /** How many there may be at a time; one at least goes on. */
  readonly room: number;
}

export interface AttemptGate {
  /** Waits for room in all that `lanes` gives, which is asked again when others leave. What it gives is to leave by. */
  acquire(network: string, limits: () => readonly ConcurrencyLimit[]): Promise<() => void>;
}

interface NetworkAttempts {
  /** Those under way, by lane. */
  readonly running: Map<string, number>;
  readonly waiting: Set<() => boolean>;
}

export function newAttemptGate(): AttemptGate {
  const places = new Map<string, NetworkAttempts>();

  /** Takes its room and gives how to leave, or undefined where there is none. */
  function tryAcquire(
    network: string,
    place: NetworkAttempts,
    limits: readonly ConcurrencyLimit[],
  ): (() => void) | undefined {
    const { running, waiting } = place;
    if (limits.some(({ name, room }) => (running.get(name) ?? 0) >= Math.max(1, room))) return undefined;
    for (const { name } of limits) running.set(name, (running.get(name) ?? 0) + 1);
    return () => {
      for (const { name } of limits) {
        const others = (running.get(name) ?? 0) - 1;
        if (others > 0) running.set(name, others);
        else running.delete(name);
      }
      // As many as one network may have connections.
      for (const retry of waiting) if (retry()) waiting.delete(retry);
      if (running.size === 0 && waiting.size === 0 && places.get(network) === place) places.delete(network);
    };
  }

  return {
    acquire(network, limits) {
      const place = places.get(network) ?? { running: new Map<string, number>(), waiting: new Set() };
      const release = tryAcquire(network, place, limits());
      if (release) {
        if (place.running.size > 0) places.set(network, place);
        return Promise.resolve(release);
      }
      return new Promise((resolve) => {
        place.waiting.add(() => {
          const freed = tryAcquire(network, place, limits());
          if (freed) resolve(freed);
          return freed !== undefined;
        });
      });
    },
  };
}

/** A map that holds so much and no more, for what strangers fill: what was set longest ago goes first. */

export interface BoundedMap<Value> {
  readonly size: number;
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
}

/** Holds at least half of `most` of those set last, and never more than `most`. */
export function newBoundedMap<Value>(most: number): BoundedMap<Value> {
  // Two generations: dropping the first key of a Map again and again costs V8 more and more.
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();
  return {
    get size() {
      return young.size + old.size;
    },
    get: (key) => young.get(key) ?? old.get(key),
    set(key, value) {
      old.delete(key);
      young.set(key, value);
      if (young.size < most / 2) return;
      old = young;
      young = new Map();
    },
    delete(key) {
      young.delete(key);
      old.delete(key);
    },
  };
}
