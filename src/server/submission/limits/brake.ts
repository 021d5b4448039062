/**
 * Against guessing passwords: wrong ones are answered later and later, and after some no more are looked at for a
 * while. They count for the login together with the network they came from, and for the network (an IPv4 address, the
 * /64 of an IPv6 address). They never shut a login as a whole, or a stranger elsewhere could lock its owner out. Where
 * a login has come from before it is at home: there only wrong passwords for itself count, or a neighbour could.
 * Guesses from many networks at one login make the answers later, but not those at home.
 */
import { createHmac } from "node:crypto";
import { network } from "./crowd.ts";
import { newForgetful } from "./forgetful.ts";
import { day, hour } from "./recent.ts";

/** A login that is tried. */
export interface Attempt {
  /** In the one form that all its spellings come to. */
  readonly login: string;
  /** The client's IP address. */
  readonly address: string;
}

export interface Brake {
  /** Until when no password is looked at (milliseconds since the epoch); undefined where it may be now. */
  shut(attempt: Attempt): number | undefined;
  /** The password was wrong; gives how many times longer than for a first mistake the answer should wait. */
  failed(attempt: Attempt, password: string): number;
  succeeded(attempt: Attempt): void;
}

/** Wrong passwords of late, and when the last one came. */
interface Count {
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
const memory = hour;

/**
 * Milliseconds in which the same wrong password counts once: a forgotten telephone tries the old one for days, and
 * guesses nothing.
 */
const sameFor = day;

/** Milliseconds for which a network counts as a login's own after it last logged in from there. */
const homeFor = 30 * day;
const mostHomes = 32;

/** An answer never waits longer than so many times the first: clients give up after a minute or so. */
const longestWait = 15;

/** Counts of each kind: a botnet fills some ten megabytes and no more. */
const mostCounts = 40_000;

/**
 * A brake that knows of nothing yet. `now` is in milliseconds since the epoch; what clients say is kept as digests with
 * the secret `key` only.
 */
export function newBrake(now: () => number, key: Uint8Array): Brake {
  const pairs = newCounts(forLogin, now);
  const networks = newCounts(forNetwork, now);
  /** Of a login where it is not at home: for the wait alone. */
  const strangers = newCounts(Number.POSITIVE_INFINITY, now);
  /** When a wrong password, as a digest, was counted. */
  const guesses = newForgetful<number>(mostCounts);
  /** When a login came from each network last. Logins that exist only. */
  const homes = new Map<string, Map<string, number>>();

  /** Ten characters that stand for `parts`. */
  function digest(...parts: readonly string[]): string {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64").slice(0, 10);
  }

  function read({ login, address }: Attempt) {
    const place = network(address);
    const person = digest(login);
    const lastHere = homes.get(person)?.get(place) ?? Number.NEGATIVE_INFINITY;
    return { place, person, pair: `${person} ${place}`, isHome: lastHere > now() - homeFor };
  }

  return {
    shut(attempt) {
      const { place, pair, isHome } = read(attempt);
      const until = Math.max(pairs.shutUntil(pair), isHome ? 0 : networks.shutUntil(place));
      return until > now() ? until : undefined;
    },
    failed(attempt, password) {
      const { place, person, pair, isHome } = read(attempt);
      const guess = digest(attempt.login, place, password);
      const one = (guesses.get(guess) ?? Number.NEGATIVE_INFINITY) > now() - sameFor ? 0 : 1;
      if (one === 1) guesses.set(guess, now());
      const wrong = pairs.add(pair, one);
      const elsewhere = isHome ? 0 : Math.max(networks.add(place, one), strangers.add(person, one));
      return Math.min(longestWait, 2 ** Math.max(0, wrong - 1) + Math.floor(elsewhere / forLogin));
    },
    succeeded(attempt) {
      const { pair, person, place } = read(attempt);
      pairs.forget(pair);
      const places = homes.get(person) ?? new Map<string, number>();
      homes.set(person, places);
      places.delete(place);
      places.set(place, now());
      for (const [oldest, last] of places) {
        if (places.size <= mostHomes && last > now() - homeFor) break;
        places.delete(oldest);
      }
    },
  };
}

/** From `borne` wrong ones on the door is shut for a while. */
function newCounts(borne: number, now: () => number) {
  const counts = newForgetful<Count>(mostCounts);

  const shutUntil = ({ wrong, last }: Count): number =>
    wrong < borne ? 0 : last + Math.min(longestPause, firstPause * 2 ** (wrong - borne));

  /** What is still remembered. */
  function current(of: string): Count {
    const count = counts.get(of);
    const isOver = !count || Math.max(count.last, shutUntil(count)) + memory < now();
    return isOver ? { wrong: 0, last: 0 } : count;
  }

  return {
    shutUntil: (of: string): number => shutUntil(current(of)),
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
