/**
 * Whether a login and its password belong together, by the password file: what `serve` asks. It says yes and no from
 * memory where it can and asks the worker threads where it must. A check that fails takes a thread for as long as the
 * dearest one of the file would, and one for somebody who does not exist does, too.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { newCosts, newStopwatch } from "./costs.ts";
import { type Challenge, type Logins, neverRead, unfitPassword, type Verdict, whyShut } from "./logins.ts";
import { canonicalLogin, type EntryLine, loginKey } from "./password-file.ts";
import { openPasswordSource, type PasswordEvent } from "./password-source.ts";
import { type Clock, type Outcome, realClock, startPool } from "./pool.ts";
import { newProofs, type Proofs } from "./sasl-logins.ts";

export type { Challenge, Verdict } from "./logins.ts";
export type { PasswordEvent } from "./password-source.ts";
export type { Cram, Proofs, Scram } from "./sasl-logins.ts";
export type { ScramDigest } from "./scheme.ts";

export interface Verifier {
  /** `login` is what the client said: `user1` or `user1@domain`, in any case. */
  verify(login: string, password: string): Promise<Verdict>;
  readonly proofs: Proofs;
  /** Milliseconds that a failed check takes a thread for, by the file as it was read last. */
  dearest(): Promise<number>;
  /** Digests of what the file holds for a login now; none where it lets nobody in. */
  hashes(login: string): Promise<readonly string[]>;
  /** Whether it still holds all of these for the login, by the file as it was read last. */
  stands(login: string, hashes: readonly string[]): boolean;
  /** Those that some login has keys for, by the file as it was read last. */
  challenges(): readonly Challenge[];
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
  /** Known to nobody else, and the same after a restart; makes what SCRAM tells of logins that there are not. */
  readonly secret: Uint8Array;
  readonly clock?: Clock;
}

/** Milliseconds between two looks at the file when nobody logs in. */
const poll = 5000;

/** Reads the file and starts the threads. A file that cannot be used is reported; logins then are unavailable. */
export async function startVerifier(
  options: VerifierOptions,
  report: (event: PasswordEvent) => void,
): Promise<Verifier> {
  const { file, domain, workers, queue, worker, secret, clock = realClock } = options;
  const source = openPasswordSource(file, domain, report);
  const pool = startPool(workers, queue, worker, clock);
  const stopwatch = newStopwatch(worker, clock);
  const costs = newCosts((stored) => stopwatch.time(stored));
  const digest = newDigest();
  const successes = newMemory(clock.steady);
  const failures = newMemory(clock.steady);
  const underWay = new Map<string, Promise<Outcome>>();

  /** Reads the file where it changed, and finds out what it costs before somebody waits for that. */
  async function look(): Promise<Logins | undefined> {
    const logins = await source.current();
    if (logins) void costs.dearest(logins);
    return logins;
  }
  await look();
  const polling = setInterval(() => void look(), poll).unref();

  /** One check of a login, or of one that there is not against a decoy: then nothing that matches is of use. */
  interface Question {
    readonly login: string;
    readonly password: string;
    readonly lines: readonly EntryLine[];
    readonly isDecoy: boolean;
  }

  /** Clients that retry at once, or open several connections, share one check. A failure seen before costs none. */
  function check({ login, password, lines, isDecoy }: Question, logins: Logins): Promise<Outcome> {
    const key = lines.map(({ text }) => digest([login, password, text])).join(" ");
    if (failures.has(key)) return Promise.resolve(mismatch);
    const shared = underWay.get(key);
    if (shared) return shared;
    const started = pool
      .check(
        { password, names: [`${login}@${domain}`, login], hashes: lines.map(({ text }) => text) },
        (match) => (match >= 0 && !isDecoy ? 0 : costs.dearest(logins)),
      )
      .then((outcome) => (outcome.kind === "answer" && isDecoy ? mismatch : outcome))
      .finally(() => underWay.delete(key));
    underWay.set(key, started);
    void started.then((outcome) => {
      if (outcome.kind === "answer" && outcome.match < 0) failures.add(key);
    });
    return started;
  }

  async function verdict(
    login: string,
    password: string,
    lines: readonly EntryLine[],
    logins: Logins,
  ): Promise<Verdict> {
    const known = lines.some(({ text }) => successes.has(digest([login, password, text])));
    if (known) return { kind: "accepted", login };
    const outcome = await check({ login, password, lines, isDecoy: false }, logins);
    if (outcome.kind === "unavailable") return outcome;
    const matched = lines[outcome.match];
    if (!matched) return { kind: "rejected", reason: "wrong password" };
    successes.add(digest([login, password, matched.text]));
    return { kind: "accepted", login };
  }

  return {
    async verify(name, password) {
      const unfit = unfitPassword(password);
      if (unfit !== "") return { kind: "rejected", reason: unfit };
      const logins = await look();
      const decoy = logins?.decoy;
      if (!logins || !decoy) return neverRead;
      const login = canonicalLogin(name, domain);
      const lines = login === undefined ? undefined : logins.entries.get(login);
      if (login !== undefined && lines) return verdict(login, password, lines, logins);
      const nobody = loginKey(name, domain); // all spellings are one, as they are for those who exist
      const outcome = await check({ login: nobody, password, lines: [decoy], isDecoy: true }, logins);
      return outcome.kind === "unavailable" ? outcome : { kind: "rejected", reason: whyShut(logins, login) };
    },
    async dearest() {
      const logins = source.latest();
      return logins ? costs.dearest(logins) : 0;
    },
    proofs: newProofs(() => source.current(), domain, secret),
    hashes: async (name) => hashesIn(await source.current(), canonicalLogin(name, domain)),
    stands(name, hashes) {
      const now = hashesIn(source.latest(), canonicalLogin(name, domain));
      return now.length > 0 && hashes.every((one) => now.includes(one));
    },
    challenges: () => source.latest()?.challenges ?? [],
    reload: () => source.reload(),
    async close() {
      clearInterval(polling);
      await Promise.all([pool.close(), stopwatch.close()]);
    },
  };
}

/** What the worker says where nothing matches. */
const mismatch: Outcome = { kind: "answer", match: -1 };

/** Digests, so that a session keeps no hash, and no old file with it. */
function hashesIn(logins: Logins | undefined, login: string | undefined): readonly string[] {
  const lines = (login === undefined ? undefined : logins?.entries.get(login)) ?? [];
  return lines.map(({ text }) => createHash("sha256").update(text).digest("base64"));
}

/**
 * Which passwords were right, or wrong, a short time ago, so that the next login with one costs no hash. Kept are keyed
 * digests of login, password and what is stored for the login: of no use outside this process, and a changed hash has
 * another one.
 */
interface Memory {
  has(digest: string): boolean;
  add(digest: string): void;
}

/** As many logins as a large site has in a day; a hundred octets each. */
const mostRemembered = 10_000;

/** Milliseconds after which the password is checked in full again. */
const longestRemembered = 12 * 3_600_000;

/** Gives the digest that stands for its parts. */
function newDigest(): (parts: readonly string[]) => string {
  const key = randomBytes(32);
  return (parts) => {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64");
  };
}

/** Holds at least half of `mostRemembered` of those added last. `now` gives milliseconds of a clock that never goes back. */
function newMemory(now: () => number): Memory {
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
