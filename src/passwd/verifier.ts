/**
 * Whether a login and its password belong together, by the password file: what `serve` asks. It says yes and no from
 * memory where it can and asks the worker threads where it must. A check that fails takes a thread for as long as the
 * slowest check of the file, and so does a check for a login that does not exist.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { newCheckTimes, newStopwatch } from "./check-times.ts";
import { newFileReader } from "./file-reader.ts";
import type { Challenge } from "./login-table.ts";
import { type AuthenticationResult, type Logins, neverRead, unfitPassword, whyDisabled } from "./logins.ts";
import { canonicalLogin, type EntryLine, loginKey } from "./password-file.ts";
import { hashDigest } from "./password-names.ts";
import { openPasswordSource, type PasswordEvent } from "./password-source.ts";
import { type CheckOutcome, type Pool, realClock, type SteadyClock, startPool } from "./pool.ts";
import { newSaslLogins, type SaslLogins } from "./sasl-logins.ts";

export type { Challenge } from "./login-table.ts";
export type { AuthenticationResult } from "./logins.ts";
export type { PasswordEvent } from "./password-source.ts";
export type { CramLogin, SaslLogins, ScramLogin } from "./sasl-logins.ts";
export type { ScramDigest } from "./scheme.ts";

export interface Verifier {
  /** `login` is what the client said: `user1` or `user1@domain`, in any case. */
  verify(login: string, password: string): Promise<AuthenticationResult>;
  readonly sasl: SaslLogins;
  /** Milliseconds that a failed check takes a thread for, by the file as it was read last. */
  slowestCheck(): Promise<number>;
  /** Digests of what the file holds for a login now; none where it lets nobody in. */
  hashes(login: string): Promise<readonly string[]>;
  /** Whether it still holds all of these for the login, by the file as it was read last. */
  stillValid(login: string, hashes: readonly string[]): boolean;
  /** Those that some login has keys for, by the file as it was read last. */
  challenges(): readonly Challenge[];
  /** Logins that the file lets in, by the file as it was read last; undefined where none could be used. */
  size(): number | undefined;
  /** Reads the file now, whether it changed or not. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

export interface VerifierOptions {
  /** The password file. */
  readonly file: string;
  readonly domain: string;
  /** Threads, and checks that may wait for one. */
  readonly workers: number;
  readonly queue: number;
  /** worker.js in its built form. */
  readonly worker: URL;
  /** file-worker.js in its built form. */
  readonly fileWorker: URL;
  /** Known to nobody else, and the same after a restart: gives logins that do not exist a salt for SCRAM. */
  readonly secret: Uint8Array;
  readonly clock?: SteadyClock;
  /** Threads that another verifier has started, and ends. */
  readonly pool?: Pool;
}

/** Milliseconds between two looks at the file when nobody logs in, and while there is none that lets anybody in. */
const poll = 5000;
const impatientPoll = 500;

/** Reads the file and starts the threads. A file that cannot be used is reported; logins then are unavailable. */
export async function startVerifier(
  options: VerifierOptions,
  report: (event: PasswordEvent) => void,
): Promise<Verifier> {
  const { file, domain, workers, queue, worker, fileWorker, secret, clock = realClock } = options;
  const source = openPasswordSource(file, domain, newFileReader(fileWorker), report);
  const pool = options.pool ?? startPool(workers, queue, worker, clock);
  const stopwatch = newStopwatch(worker, clock);
  const checkTimes = newCheckTimes((stored) => stopwatch.time(stored));
  const digest = newKeyedDigest();
  const storedDigests = newStoredDigests();
  const successes = newResultCache(clock.steady);
  const failures = newResultCache(clock.steady);
  const underWay = new Map<string, Promise<CheckOutcome>>();

  /** Reads the file where it changed, and finds out what it costs before somebody waits for that. */
  async function currentLogins(): Promise<Logins | undefined> {
    const logins = await source.current();
    if (logins) void checkTimes.slowest(logins);
    return logins;
  }
  await currentLogins();
  let looked = clock.steady();
  const polling = setInterval(() => {
    if (source.latest() && clock.steady() - looked < poll) return;
    looked = clock.steady();
    void currentLogins();
  }, impatientPoll).unref();

  /** One check of a login. One that does not exist is checked against a decoy, where a match counts for nothing. */
  interface LoginCheck {
    readonly login: string;
    readonly password: string;
    readonly lines: readonly EntryLine[];
    readonly isDecoy: boolean;
  }

  /** Clients that retry at once, or open several connections, share one check. A failure seen before costs none. */
  function check({ login, password, lines, isDecoy }: LoginCheck, logins: Logins): Promise<CheckOutcome> {
    const key = lines.map(({ text }) => digest([login, password, text])).join(" ");
    if (failures.has(key)) return Promise.resolve(mismatch);
    const shared = underWay.get(key);
    if (shared) return shared;
    const started = pool
      .check(
        { password, names: [`${login}@${domain}`, login], hashes: lines.map(({ text }) => text) },
        (match) => (match >= 0 && !isDecoy ? 0 : checkTimes.slowest(logins)),
      )
      .then((outcome) => (outcome.kind === "answer" && isDecoy ? mismatch : outcome))
      .finally(() => underWay.delete(key));
    underWay.set(key, started);
    void started.then((outcome) => {
      if (outcome.kind === "answer" && outcome.match < 0) failures.add(key);
    });
    return started;
  }

  async function checkAgainst(
    login: string,
    password: string,
    lines: readonly EntryLine[],
    logins: Logins,
  ): Promise<AuthenticationResult> {
    const known = lines.find(({ text }) => successes.has(digest([login, password, text])));
    if (known) return { kind: "accepted", login, stored: hashDigest(known.text) };
    const outcome = await check({ login, password, lines, isDecoy: false }, logins);
    if (outcome.kind === "unavailable") return outcome;
    const matched = lines[outcome.match];
    if (!matched) return { kind: "rejected", reason: "wrong password" };
    successes.add(digest([login, password, matched.text]));
    return { kind: "accepted", login, stored: hashDigest(matched.text) };
  }

  return {
    async verify(name, password) {
      const unfit = unfitPassword(password);
      if (unfit !== "") return { kind: "rejected", reason: unfit };
      const logins = await currentLogins();
      const decoy = logins?.decoy;
      if (!logins || !decoy) return neverRead;
      const login = canonicalLogin(name, domain);
      const lines = login === undefined ? undefined : logins.entries.get(login);
      if (login !== undefined && lines) return checkAgainst(login, password, lines, logins);
      const nobody = loginKey(name, domain); // all spellings are one, as they are for those who exist
      const outcome = await check({ login: nobody, password, lines: [decoy], isDecoy: true }, logins);
      return outcome.kind === "unavailable"
        ? outcome
        : { kind: "rejected", reason: whyDisabled(logins, login) };
    },
    async slowestCheck() {
      const logins = source.latest();
      return logins ? checkTimes.slowest(logins) : 0;
    },
    sasl: newSaslLogins(() => source.current(), domain, secret),
    hashes: async (name) => storedDigests(await source.current(), canonicalLogin(name, domain)),
    stillValid(name, hashes) {
      const now = storedDigests(source.latest(), canonicalLogin(name, domain));
      return now.length > 0 && hashes.every((one) => now.includes(one));
    },
    challenges: () => source.latest()?.challenges ?? [],
    size: () => source.latest()?.entries.size,
    reload: () => source.reload(),
    async close() {
      clearInterval(polling);
      await Promise.all([source.close(), ...(options.pool ? [] : [pool.close()]), stopwatch.close()]);
    },
  };
}

/** What the worker says where nothing matches. */
const mismatch: CheckOutcome = { kind: "answer", match: -1 };

/** As many logins as have a session at once on a large site. */
const mostKnown = 10_000;

/** Gives digests of what stands for a login, so that a session keeps no hash, and no old file with it. */
function newStoredDigests(): (logins: Logins | undefined, login: string | undefined) => readonly string[] {
  let version: Logins | undefined;
  const known = new Map<string, readonly string[]>(); // each command of a session asks again

  return (logins, login) => {
    if (!logins || login === undefined) return [];
    if (version !== logins || known.size >= mostKnown) known.clear();
    version = logins;
    const before = known.get(login);
    if (before) return before;
    const lines = logins.entries.get(login);
    if (!lines) return []; // strangers take no room
    const digests = lines.map(({ text }) => createHash("sha256").update(text).digest("base64"));
    known.set(login, digests);
    return digests;
  };
}

/**
 * Which passwords were right, or wrong, a short time ago, so that the next login with one costs no hash. Kept are keyed
 * digests of login, password and what is stored for the login: of no use outside this process, and a changed hash has
 * another one.
 */
interface ResultCache {
  has(digest: string): boolean;
  add(digest: string): void;
}

/** As many logins as a large site has in a day; a hundred octets each. */
const mostRemembered = 10_000;

/** Milliseconds after which the password is checked in full again. */
const longestRemembered = 12 * 3_600_000;

/** Gives the digest that stands for its parts. */
function newKeyedDigest(): (parts: readonly string[]) => string {
  const key = randomBytes(32);
  return (parts) => {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64");
  };
}

/**
 * Holds at least half of `mostRemembered` of those added last. `now` gives milliseconds of a clock that never goes
 * back.
 */
function newResultCache(now: () => number): ResultCache {
  // Two generations: strangers fill this, and dropping the first key of a Map costs V8 more and more.
  let young = new Map<string, number>();
  let old = new Map<string, number>();

  return {
    has: (digest) => (young.get(digest) ?? old.get(digest) ?? Number.NEGATIVE_INFINITY) > now(),
    add(digest) {
      old.delete(digest);
      young.set(digest, now() + longestRemembered);
      if (young.size < mostRemembered / 2) return;
      old = young;
      young = new Map();
    },
  };
}
