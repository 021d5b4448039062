/**
 * The authentication rate limiter, against guessing of passwords. Wrong passwords are answered later and later. After
 * some of them no password is checked for a while.
 * - They count for a login from one network (an IPv4 address, the /64 of an IPv6 address), and for the network.
 * - They never block a login everywhere: anybody could then lock its owner out.
 * - A network from which a login has authenticated before is familiar to it. There only wrong passwords for that login
 *   count for it: otherwise a neighbour could lock it out.
 * - Guesses at one login from many networks delay the answers, but not in its familiar networks.
 * - All clients of an onion service have one address. It may have more wrong passwords, and its blocks are short: a
 *   stranger must not lock out those who come by tor. Those who have come that way before are not blocked at all.
 * - The same wrong password again is no further guess. A network has a budget for repeats; without budget only repeats
 *   are blocked.
 */
import { createHmac } from "node:crypto";
import { subscriberNetwork } from "./admission.ts";
import { day, hour } from "./sliding-window.ts";

/** An attempt to authenticate. */
export interface LoginAttempt {
  /** In its canonical spelling. */
  readonly login: string;
  /** The client's IP address. */
  readonly address: string;
}

export interface AuthRateLimiter {
  /**
   * Until when no password is checked, or not this one, which was wrong before. In milliseconds since the epoch;
   * undefined where it may be checked now.
   */
  blockedUntil(attempt: LoginAttempt, password?: string): number | undefined;
  /**
   * Wait for this before a check. No more checks run at a time than may still turn out wrong within the limits. Call
   * the function that it resolves with once the result is known.
   */
  acquire(attempt: LoginAttempt, password?: string): Promise<() => void>;
  /** The password was wrong. Gives the factor by which the answer waits longer than for a first mistake. */
  failed(attempt: LoginAttempt, password: string): number;
  succeeded(attempt: LoginAttempt, password?: string): void;
  /** From where no password of `login` is checked at the moment. */
  blocksOf(login: string): readonly NetworkBlock[];
  /** How many networks, and logins from networks, are blocked at the moment. */
  blocks(): number;
  /** Forgets the wrong passwords for a login, or from the network of an address. Gives how many blocks that ended. */
  unblock(what: { readonly login: string } | { readonly address: string }): number;
}

/**
 * What a limiter counts, for those of other hosts that have the same key. Logins and passwords are keyed digests; a network is
 * as {@link subscriberNetwork} has it.
 */
export type LimiterNews =
  | (LimiterAttempt & { readonly kind: "failed" | "succeeded" })
  /** Wrong passwords were forgotten. */
  | { readonly kind: "login-unblocked"; readonly person: string }
  | { readonly kind: "network-unblocked"; readonly network: string };

interface LimiterAttempt {
  readonly person: string;
  readonly network: string;
  /** Stands for the login, the network and the password; "" where the password is not known. */
  readonly guess: string;
}

/** A limiter that hears from those of other hosts. */
export interface SharingRateLimiter extends AuthRateLimiter {
  /** Counts what another one told, which happened at the time `at` of this host's clock. */
  learn(news: LimiterNews, at: number): void;
}

/** Wrong passwords from one network, an IPv4 address or the /64 of an IPv6 address, have led to a block. */
export interface NetworkBlock {
  readonly network: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly wrong: number;
}

/** From `allowed` wrong passwords on there is a block. */
interface FailureLimit {
  readonly allowed: number;
  /** Milliseconds. */
  readonly longest: number;
}

/** Wrong passwords, and when the last one came. */
interface FailureCount {
  readonly wrong: number;
  readonly last: number;
}

// Wrong passwords before a block. Our choice, as all numbers here: no person tries ten different passwords, and a
// network may be a whole office.
const forLogin = 10;
const forNetwork = 40;

/** And from the one network that all clients of an onion service share. */
const sharedNetwork = "onion";
const forShared = 400;

/** The first block lasts a minute. Each further wrong password doubles that, up to an hour. */
const firstPause = 60_000;
const longestPause = hour;

/** How many wrong passwords a network may have, and how long it is blocked at most. */
const networkLimit = (network: string): FailureLimit =>
  network === sharedNetwork
    ? { allowed: forShared, longest: firstPause }
    : { allowed: forNetwork, longest: longestPause };

/** A block of a login from the shared network: a stranger's guesses must not keep its owner out for an hour. */
const longestShared = 600_000;

/** The same for a login from one network; `pair` ends in the network. */
const loginLimit = (pair: string): FailureLimit => ({
  allowed: forLogin,
  longest: pair.endsWith(` ${sharedNetwork}`) ? longestShared : longestPause,
});

/** Milliseconds after which wrong passwords are forgotten, once a block is over. */
const rememberedFor = hour;

/** Milliseconds in which the same wrong password counts once: a forgotten phone tries the old one for days. */
const sameFor = day;

/** A network's budget for repeats: so many at once, and one more each `repeatEvery` milliseconds. A phone needs fewer. */
const forRepeats = 40;
const repeatEvery = 20_000;

/** Milliseconds for which a network stays familiar to a login after it last authenticated from there. */
const familiarFor = 30 * day;
const mostFamiliar = 32;

/** The largest factor of the wait: clients give up after a minute or so. */
const longestWait = 15;

/** Milliseconds after which others hear again that a login authenticates from a network that they know of. */
const tellAgainAfter = day / 2;

/** Most counts of each kind: a botnet fills some ten megabytes and no more. */
const mostCounts = 40_000;

/**
 * A limiter that has counted nothing yet. `now` is in milliseconds since the epoch. What clients send is kept only as
 * digests with the secret `key`. `tell` hears what others should learn.
 */
export function newAuthRateLimiter(
  now: () => number,
  key: Uint8Array,
  tell: (news: LimiterNews) => void = () => undefined,
): SharingRateLimiter {
  const byPair = newFailureCounts(loginLimit, now);
  const byNetwork = newFailureCounts(networkLimit, now);
  /** Of a login in networks that are not familiar to it. They only delay answers. */
  const unfamiliar = newFailureCounts(() => ({ allowed: Number.POSITIVE_INFINITY, longest: 0 }), now);
  /** When a wrong password, as a digest, was counted. */
  const guesses = newBoundedMap<number>(mostCounts);
  const repeats = newRepeatBudget(now);
  const gate = newAttemptGate();
  /** By login: when it last authenticated from each network. Only logins that exist are here. */
  const familiarNetworks = new Map<string, Map<string, number>>();
  /** By login and network: when others were told, or told us, that it authenticated. */
  const toldFamiliar = newBoundedMap<number>(mostCounts);

  /** Ten characters that stand for `parts`. */
  function digest(...parts: readonly string[]): string {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64").slice(0, 10);
  }

  const pairOf = ({ person, network }: Pick<LimiterAttempt, "person" | "network">): string =>
    `${person} ${network}`;

  function isFamiliarTo({ person, network }: Pick<LimiterAttempt, "person" | "network">): boolean {
    const lastHere = familiarNetworks.get(person)?.get(network) ?? Number.NEGATIVE_INFINITY;
    return lastHere > now() - familiarFor;
  }

  function read({ login, address }: LoginAttempt) {
    const where = { network: subscriberNetwork(address), person: digest(login) };
    return { ...where, pair: pairOf(where), isFamiliar: isFamiliarTo(where) };
  }

  function attemptOf(attempt: LoginAttempt, password: string | undefined): LimiterAttempt {
    const { person, network } = read(attempt);
    return { person, network, guess: password === undefined ? "" : guessOf(attempt, password) };
  }

  const guessOf = ({ login, address }: LoginAttempt, password: string): string =>
    digest(login, subscriberNetwork(address), password);

  const wasWrong = (guess: string): boolean =>
    (guesses.get(guess) ?? Number.NEGATIVE_INFINITY) > now() - sameFor;

  function blockedUntil(attempt: LoginAttempt, password?: string): number | undefined {
    const { network, pair, isFamiliar } = read(attempt);
    const isRepeat = password !== undefined && wasWrong(guessOf(attempt, password));
    const until = Math.max(
      byPair.endOfBlock(pair),
      isFamiliar ? 0 : byNetwork.endOfBlock(network),
      isRepeat ? repeats.emptyUntil(network) : 0,
    );
    return until > now() ? until : undefined;
  }

  /** The limits that hold for an attempt. None where it is refused anyway. */
  function limitsFor(attempt: LoginAttempt, password?: string): readonly AttemptLimit[] {
    if (blockedUntil(attempt, password) !== undefined) return [];
    const { network, pair, isFamiliar } = read(attempt);
    if (password !== undefined && wasWrong(guessOf(attempt, password)))
      return [{ name: "repeats", room: repeats.left(network) }];
    const own = { name: pair, room: forLogin - byPair.wrong(pair) };
    return isFamiliar
      ? [own]
      : [own, { name: "network", room: networkLimit(network).allowed - byNetwork.wrong(network) }];
  }

  function countFailure(attempt: LimiterAttempt, at: number): number {
    const { network, person, guess } = attempt;
    const added = wasWrong(guess) ? 0 : 1;
    if (added === 1) guesses.set(guess, at);
    else repeats.draw(network);
    const wrong = byPair.add(pairOf(attempt), added, at);
    const elsewhere = isFamiliarTo(attempt)
      ? 0
      : Math.max(byNetwork.add(network, added, at), unfamiliar.add(person, added, at));
    return Math.min(longestWait, 2 ** Math.max(0, wrong - 1) + Math.floor(elsewhere / forLogin));
  }

  function countSuccess(attempt: LimiterAttempt, at: number): void {
    const { network, person, guess } = attempt;
    guesses.delete(guess);
    byPair.forget(pairOf(attempt));
    const familiar = familiarNetworks.get(person) ?? new Map<string, number>();
    familiarNetworks.set(person, familiar);
    const last = Math.max(familiar.get(network) ?? at, at);
    familiar.delete(network);
    familiar.set(network, last);
    for (const [oldest, before] of familiar) {
      if (familiar.size <= mostFamiliar && before > now() - familiarFor) break;
      familiar.delete(oldest);
    }
  }

  function unblockLogin(person: string): number {
    unfamiliar.forget(person);
    return byPair.forgetAll((pair) => pair.startsWith(`${person} `));
  }

  function unblockNetwork(network: string): number {
    repeats.forget(network);
    const ofLogins = byPair.forgetAll((pair) => pair.endsWith(` ${network}`));
    return ofLogins + byNetwork.forgetAll((one) => one === network);
  }

  return {
    blockedUntil,
    acquire: (attempt, password) =>
      gate.acquire(subscriberNetwork(attempt.address), () => limitsFor(attempt, password)),
    failed(attempt, password) {
      const made = attemptOf(attempt, password);
      const factor = countFailure(made, now());
      tell({ kind: "failed", ...made });
      return factor;
    },
    succeeded(attempt, password) {
      const made = attemptOf(attempt, password);
      const isNews =
        byPair.wrong(pairOf(made)) > 0 ||
        guesses.get(made.guess) !== undefined ||
        (toldFamiliar.get(pairOf(made)) ?? Number.NEGATIVE_INFINITY) <= now() - tellAgainAfter;
      countSuccess(made, now());
      if (!isNews) return;
      toldFamiliar.set(pairOf(made), now());
      tell({ kind: "succeeded", ...made });
    },
    learn(news, at) {
      switch (news.kind) {
        case "failed":
          countFailure(news, at);
          break;
        case "succeeded":
          countSuccess(news, at);
          toldFamiliar.set(pairOf(news), at);
          break;
        case "login-unblocked":
          unblockLogin(news.person);
          break;
        case "network-unblocked":
          unblockNetwork(news.network);
          break;
      }
    },
    blocksOf(login) {
      const person = `${digest(login)} `;
      return byPair
        .blocked((pair) => pair.startsWith(person))
        .map(({ of, ...block }) => ({ ...block, network: of.slice(person.length) }));
    },
    blocks: () => byPair.blocked(() => true).length + byNetwork.blocked(() => true).length,
    unblock(what) {
      if ("login" in what) {
        const person = digest(what.login);
        tell({ kind: "login-unblocked", person });
        return unblockLogin(person);
      }
      const network = subscriberNetwork(what.address);
      tell({ kind: "network-unblocked", network });
      return unblockNetwork(network);
    },
  };
}

/** Counts of wrong passwords. */
function newFailureCounts(limitOf: (of: string) => FailureLimit, now: () => number) {
  const counts = newBoundedMap<FailureCount>(mostCounts);

  const endOfBlock = (of: string, { wrong, last }: FailureCount): number => {
    const { allowed, longest } = limitOf(of);
    return wrong < allowed ? 0 : last + Math.min(longest, firstPause * 2 ** (wrong - allowed));
  };

  /** What is still remembered. */
  function current(of: string): FailureCount {
    const count = counts.get(of);
    const isOver = !count || Math.max(count.last, endOfBlock(of, count)) + rememberedFor < now();
    return isOver ? { wrong: 0, last: 0 } : count;
  }

  return {
    endOfBlock: (of: string): number => endOfBlock(of, current(of)),
    wrong: (of: string): number => current(of).wrong,
    /** Adds `more`, 0 or 1, at the time `at`, and gives the new count. */
    add(of: string, more: number, at: number): number {
      const { wrong, last } = current(of);
      counts.set(of, { wrong: wrong + more, last: more === 0 ? last : Math.max(last, at) });
      return wrong + more;
    },
    forget(of: string): void {
      counts.delete(of);
    },
    /** Those that are blocked now. */
    blocked(isMeant: (of: string) => boolean) {
      return [...counts.keys()].filter(isMeant).flatMap((of) => {
        const count = current(of);
        const until = endOfBlock(of, count);
        return until > now() ? [{ of, until, wrong: count.wrong }] : [];
      });
    },
    /** Gives how many were blocked. */
    forgetAll(isMeant: (of: string) => boolean): number {
      const meant = [...counts.keys()].filter(isMeant);
      const blocked = meant.filter((of) => endOfBlock(of, current(of)) > now());
      for (const of of meant) counts.delete(of);
      return blocked.length;
    },
  };
}

/** The budget for repeats. What is kept for a network is the time at which its budget is whole again. */
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
    forget: (of: string): void => wholeAt.delete(of),
  };
}

/** How many attempts of one kind may run at a time. */
interface AttemptLimit {
  readonly name: string;
  /** At least one runs, whatever this says. */
  readonly room: number;
}

/** Makes attempts of one network wait for each other, first come, first served. */
interface AttemptGate {
  /** Waits until all of `limits` have room. They are asked again when other attempts end. Resolves with the release. */
  acquire(network: string, limits: () => readonly AttemptLimit[]): Promise<() => void>;
}

interface NetworkAttempts {
  /** How many run, by the name of the limit. */
  readonly running: Map<string, number>;
  readonly waiting: Set<() => boolean>;
}

function newAttemptGate(): AttemptGate {
  const attempts = new Map<string, NetworkAttempts>();

  /** Gives the release, or undefined where there is no room. */
  function tryAcquire(
    network: string,
    own: NetworkAttempts,
    limits: readonly AttemptLimit[],
  ): (() => void) | undefined {
    const { running, waiting } = own;
    if (limits.some(({ name, room }) => (running.get(name) ?? 0) >= Math.max(1, room))) return undefined;
    for (const { name } of limits) running.set(name, (running.get(name) ?? 0) + 1);
    return () => {
      for (const { name } of limits) {
        const others = (running.get(name) ?? 0) - 1;
        if (others > 0) running.set(name, others);
        else running.delete(name);
      }
      // No more wait than one network may have connections.
      for (const retry of waiting) if (retry()) waiting.delete(retry);
      if (running.size === 0 && waiting.size === 0 && attempts.get(network) === own) attempts.delete(network);
    };
  }

  return {
    acquire(network, limits) {
      const own = attempts.get(network) ?? { running: new Map<string, number>(), waiting: new Set() };
      const release = tryAcquire(network, own, limits());
      if (release) {
        if (own.running.size > 0) attempts.set(network, own);
        return Promise.resolve(release);
      }
      return new Promise((resolve) => {
        own.waiting.add(() => {
          const freed = tryAcquire(network, own, limits());
          if (freed) resolve(freed);
          return freed !== undefined;
        });
      });
    },
  };
}

/** A map with a bound, for what anybody can fill. What was set longest ago goes first. */
export interface BoundedMap<Value> {
  readonly size: number;
  keys(): Iterable<string>;
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
  delete(key: string): void;
}

/** Holds at least the last `most / 2` entries, and never more than `most`. */
export function newBoundedMap<Value>(most: number): BoundedMap<Value> {
  // Two generations: dropping the first key of a Map again and again costs V8 more and more.
  let young = new Map<string, Value>();
  let old = new Map<string, Value>();
  return {
    get size() {
      return young.size + old.size;
    },
    *keys() {
      yield* young.keys();
      yield* old.keys();
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
