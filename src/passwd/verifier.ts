/**
 * Whether a login and its password belong together, by the password file: what `serve` asks. It says yes from memory
 * where it can and asks the worker threads where it must, and takes as long for those who do not exist.
 */
import { createHash } from "node:crypto";
import { unfitPassword } from "./admission.ts";
import { type Challenge, type Logins, whyShut } from "./logins.ts";
import { canonicalLogin, type EntryLine } from "./passwordfile.ts";
import { type Outcome, startPool } from "./pool.ts";
import { newProofs, type Proofs } from "./proofs.ts";
import { openPasswordSource, type PasswordEvent } from "./source.ts";
import { rememberSuccesses } from "./successes.ts";
import { neverRead, type Verdict } from "./verdict.ts";

export type { Challenge } from "./logins.ts";
export type { Cram, Proofs, Scram } from "./proofs.ts";
export type { ScramDigest } from "./scheme.ts";
export type { PasswordEvent } from "./source.ts";
export type { Verdict } from "./verdict.ts";

export interface Verifier {
  /** `login` is what the client said: `user1` or `user1@domain`, in any case. */
  verify(login: string, password: string): Promise<Verdict>;
  readonly proofs: Proofs;
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
}

/** Milliseconds between two looks at the file when nobody logs in. */
const poll = 5000;

/** Reads the file and starts the threads. A file that cannot be used is reported; logins then are unavailable. */
export async function startVerifier(
  options: VerifierOptions,
  report: (event: PasswordEvent) => void,
): Promise<Verifier> {
  const { file, domain, workers, queue, worker, secret } = options;
  const source = openPasswordSource(file, domain, report);
  const pool = startPool(workers, queue, worker);
  const successes = rememberSuccesses(() => performance.now());
  const underWay = new Map<string, Promise<Outcome>>();
  await source.current();
  const polling = setInterval(() => void source.current(), poll).unref();

  /** Clients that retry at once, or open several connections, share one check. */
  function check(login: string, password: string, lines: readonly EntryLine[]): Promise<Outcome> {
    const key = lines.map(({ text }) => successes.digest(login, password, text)).join(" ");
    const shared = underWay.get(key);
    if (shared) return shared;
    const started = pool
      .check({ password, names: [`${login}@${domain}`, login], hashes: lines.map(({ text }) => text) })
      .finally(() => underWay.delete(key));
    underWay.set(key, started);
    return started;
  }

  async function verdict(login: string, password: string, lines: readonly EntryLine[]): Promise<Verdict> {
    const known = lines.some(({ text }) => successes.has(successes.digest(login, password, text)));
    if (known) return { kind: "accepted", login };
    const outcome = await check(login, password, lines);
    if (outcome.kind === "unavailable") return outcome;
    const matched = lines[outcome.match];
    if (!matched) return { kind: "rejected", reason: "wrong password" };
    successes.add(successes.digest(login, password, matched.text));
    return { kind: "accepted", login };
  }

  return {
    async verify(name, password) {
      const unfit = unfitPassword(password);
      if (unfit !== "") return { kind: "rejected", reason: unfit };
      const logins = await source.current();
      const decoy = logins?.decoy;
      if (!logins || !decoy) return neverRead;
      const login = canonicalLogin(name, domain);
      const lines = login === undefined ? undefined : logins.entries.get(login);
      if (login !== undefined && lines) return verdict(login, password, lines);
      const outcome = await check(name, password, [decoy]);
      return outcome.kind === "unavailable" ? outcome : { kind: "rejected", reason: whyShut(logins, login) };
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
      await pool.close();
    },
  };
}

/** Digests, so that a session keeps no hash, and no old file with it. */
function hashesIn(logins: Logins | undefined, login: string | undefined): readonly string[] {
  const lines = (login === undefined ? undefined : logins?.entries.get(login)) ?? [];
  return lines.map(({ text }) => createHash("sha256").update(text).digest("base64"));
}
