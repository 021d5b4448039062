/** Who may log in: the verifier of the password file, and how a session asks it. */
import { hkdfSync, randomBytes } from "node:crypto";
import type { Config } from "../../config/settings.ts";
import { poolSize } from "../../passwd/pool.ts";
import { type PasswordEvent, startVerifier, type Verifier } from "../../passwd/verifier.ts";
import { log } from "../../server/log/log.ts";
import type { SessionContext } from "../../server/submission/session.ts";

export interface RelayLogins {
  /** What a session needs to check a login. */
  readonly forSessions: Pick<
    SessionContext,
    "verify" | "slowestCheck" | "proofs" | "hashes" | "hashesUnchanged" | "challenges"
  >;
  /** Why the password file does not know `login`; "" where it does. */
  whyUnknown(login: string): Promise<string>;
  /** Reads the password file again. */
  readonly reload: Verifier["reload"];
  close(): Promise<void>;
}

/**
 * Starts to read the password file; `loaded` hears of the number of logins each time. `key` is the private key of the
 * certificate, if there is one.
 */
export async function openLogins(
  { passwords, domain }: Config,
  key: string | undefined,
  loaded: (logins: number) => void,
): Promise<RelayLogins> {
  const worker = new URL("../../passwd/worker.js", import.meta.url);
  const fileWorker = new URL("../../passwd/file-worker.js", import.meta.url);
  // Derived from what only this host knows, and keeps.
  const known = key ?? randomBytes(32);
  const secret = new Uint8Array(hkdfSync("sha256", known, "", "tpa-submit: logins without keys", 32));
  const workers = poolSize(passwords.workers);
  const options = { ...passwords, workers, domain, worker, fileWorker, secret };
  const verifier = await startVerifier(options, (event) => {
    if (event.kind === "loaded") loaded(event.logins);
    logPasswords(passwords.file, event);
  });
  return {
    forSessions: {
      verify: (login, password) => verifier.verify(login, password),
      slowestCheck: () => verifier.slowestCheck(),
      proofs: verifier.sasl,
      hashes: (login) => verifier.hashes(login),
      hashesUnchanged: (login, hashes) => verifier.stillValid(login, hashes),
      challenges: passwords["challenge-response"] ? verifier.challenges() : [],
    },
    async whyUnknown(login) {
      const found = await verifier.sasl.external(login);
      return found.kind === "rejected" ? found.reason : "";
    },
    reload: () => verifier.reload(),
    close: () => verifier.close(),
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
