/** Who may log in: the verifiers of the password files, and how a session asks them. */
import { hkdfSync, randomBytes } from "node:crypto";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { joinLogins } from "../../passwd/domain-logins.ts";
import { poolSize, startPool } from "../../passwd/pool.ts";
import { type Challenge, type PasswordEvent, startVerifier, type Verifier } from "../../passwd/verifier.ts";
import { log } from "../../server/log/log.ts";
import type { SessionContext } from "../../server/submission/session.ts";

export interface RelayLogins {
  /** What a session needs to check a login. */
  readonly forSessions: Pick<
    SessionContext,
    "verify" | "slowestCheck" | "proofs" | "hashes" | "hashesUnchanged"
  >;
  /** The mechanisms that are offered because some login has keys for them. */
  challenges(): readonly Challenge[];
  /** Why the password file does not know `login`; "" where it does. */
  whyUnknown(login: string): Promise<string>;
  /**
   * Reads the password files of domains that are new, or have a new file, while the old ones stay in use. Throws a Failure
   * where one cannot be used.
   */
  prepare(domains: Config["domains"]): Promise<PreparedDomains>;
  /** Reads the password files again. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** Domains that were read and are not in use yet. Exactly one of the two is called. */
export interface PreparedDomains {
  use(): Promise<void>;
  drop(): Promise<void>;
}

interface OpenDomain {
  readonly file: string;
  readonly verifier: Verifier;
}

/**
 * Starts to read the password files; `loaded` hears of the number of logins of each domain each time. `key` is the private
 * key of the certificate, if there is one.
 */
export async function openLogins(
  { passwords, domain, domains: first }: Config,
  key: string | undefined,
  loaded: (logins: ReadonlyMap<string, number>) => void,
): Promise<RelayLogins> {
  const worker = new URL("../../passwd/worker.js", import.meta.url);
  const fileWorker = new URL("../../passwd/file-worker.js", import.meta.url);
  // Derived from what only this host knows, and keeps.
  const known = key ?? randomBytes(32);
  // Of each domain its own: the salts of two who do not exist must not be alike.
  const secretOf = (name: string): Uint8Array => {
    const purpose = `tpa-submit: logins without keys${name === domain ? "" : ` of ${name}`}`;
    return new Uint8Array(hkdfSync("sha256", known, "", purpose, 32));
  };
  const counts = new Map<string, number>();
  const pool = startPool(poolSize(passwords.workers), passwords.queue, worker);

  function heard(name: string, file: string, event: PasswordEvent): void {
    if (event.kind === "loaded") loaded(counts.set(name, event.logins));
    logPasswords(file, event);
  }

  const open = (name: string, file: string, report: (event: PasswordEvent) => void): Promise<Verifier> =>
    startVerifier(
      { ...passwords, file, domain: name, worker, fileWorker, secret: secretOf(name), pool },
      report,
    );

  const main = await open(domain, passwords.file, (event) => heard(domain, passwords.file, event));
  const challenges = main.challenges();
  let others: ReadonlyMap<string, OpenDomain> = new Map();
  let verifiers: ReadonlyMap<string, Verifier> = new Map();
  const all = (): readonly Verifier[] => [main, ...verifiers.values()];

  function put(next: ReadonlyMap<string, OpenDomain>): void {
    others = next;
    verifiers = new Map([...next].map(([name, { verifier }]) => [name, verifier]));
    for (const name of counts.keys()) if (name !== domain && !next.has(name)) counts.delete(name);
    loaded(counts);
  }

  const opened = await Promise.all(
    first.map(async ({ name, "password-file": file }) => {
      const verifier = await open(name, file, (event) => heard(name, file, event));
      return [name, { file, verifier }] as const;
    }),
  );
  if (opened.length > 0) put(new Map(opened));
  const joined = joinLogins(main, () => verifiers);

  /** One that must be read before it is used. What happens with the file is told once `use` is called. */
  async function trial(name: string, file: string) {
    let told: PasswordEvent[] | undefined = [];
    const verifier = await open(name, file, (event) => {
      if (told) told.push(event);
      else heard(name, file, event);
    });
    const fault = told.findLast((event) => event.kind === "refused")?.reason;
    const use = (): void => {
      const events = told ?? [];
      told = undefined;
      for (const event of events) heard(name, file, event);
    };
    return {
      name,
      file,
      verifier,
      use,
      fault: verifier.size() === undefined ? (fault ?? "cannot be read") : "",
    };
  }

  return {
    forSessions: {
      verify: (login, password) => joined.verify(login, password),
      slowestCheck: () => joined.slowestCheck(),
      proofs: joined.sasl,
      hashes: (login) => joined.hashes(login),
      hashesUnchanged: (login, hashes) => joined.stillValid(login, hashes),
    },
    challenges() {
      if (!passwords["challenge-response"]) return [];
      return verifiers.size === 0 ? challenges : joined.challenges();
    },
    async whyUnknown(login) {
      const found = await joined.sasl.external(login);
      return found.kind === "rejected" ? found.reason : "";
    },
    async prepare(domains) {
      const fresh = domains.filter(({ name, "password-file": file }) => others.get(name)?.file !== file);
      const trials = await Promise.all(fresh.map(({ name, "password-file": file }) => trial(name, file)));
      const drop = async (): Promise<void> => {
        await Promise.all(trials.map(({ verifier }) => verifier.close()));
      };
      const faults = trials.filter(({ fault }) => fault !== "");
      if (faults.length > 0) {
        await drop();
        const lines = faults.map(({ name, fault }) => `${name}: ${fault}`);
        throw new Failure(exitStatus.config, lines.join("\n"));
      }
      return {
        drop,
        async use() {
          const before = others;
          const read = new Map(trials.map((one) => [one.name, one]));
          const next = domains.flatMap(({ name }) => {
            const found = read.get(name) ?? before.get(name);
            return found ? [[name, { file: found.file, verifier: found.verifier }] as const] : [];
          });
          put(new Map(next));
          for (const { use } of trials) use();
          const gone = [...before.values()].filter(({ verifier }) => !all().includes(verifier));
          await Promise.all(gone.map(({ verifier }) => verifier.close()));
        },
      };
    },
    async reload() {
      await Promise.all(all().map((verifier) => verifier.reload()));
    },
    async close() {
      await Promise.all(all().map((verifier) => verifier.close()));
      await pool.close();
    },
  };
}

/** The password file's news as events of the log: src/passwd knows no log. */
function logPasswords(file: string, event: PasswordEvent): void {
  switch (event.kind) {
    case "loaded":
      log("passwords-loaded", { file, ...event });
      break;
    case "refused":
      log("passwords-refused", { file, ...event });
      break;
    case "line":
      log("password-line", { file, ...event });
      break;
  }
}
