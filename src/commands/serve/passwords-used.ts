/** Which password a client used: its name for the log, and when and whence it was used last, in SPOOL/passwords-used. */
import { readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { forLogin, perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText } from "../../failure.ts";
import { hashIn, loginKey } from "../../passwd/password-file.ts";
import { readNames } from "../../passwd/password-file-edit.ts";
import { hashDigest, type NamedPassword, nameOf, namesFileOf } from "../../passwd/password-names.ts";
import type { PortalPassword } from "../../server/control/portal-door.ts";
import { log, logBug } from "../../server/log/log.ts";
import { shortenAddress } from "../../server/log/privacy.ts";
import type { KeptFile } from "../../server/spool/fsck.ts";
import {
  formatUses,
  newPasswordUses,
  type PasswordUse,
  parseUses,
} from "../../server/submission/auth/passwords-used.ts";
import type { SessionContext } from "../../server/submission/session.ts";

/** The file as `queue verify` looks at it. */
export const usesKept: KeptFile = {
  name: "passwords-used",
  fault: (text) => (parseUses(text) ? undefined : "none of this program's files"),
  repair: "set aside",
};

export interface PasswordsUsed {
  /** Reads the names for `login` again where they changed. Never fails. */
  readonly refresh: (login: string) => Promise<void>;
  /** Notes a use, and gives the password's name where it has one. */
  readonly note: (login: string, digest: string, address: string) => string | undefined;
  /** The passwords of `login` with these digests, and those that only have a name: they are locked. The newest first. */
  readonly passwordsOf: (login: string, digests: readonly string[]) => Promise<readonly PortalPassword[]>;
  /** Resolves when it is written down, or could not be. */
  close(): Promise<void>;
}

/** Milliseconds from a use until it is written, together with all others since. Our choice. */
const writeAfter = 60_000;

/** How often it is looked which of the passwords are still there: at the first use, then daily. */
const pruneEvery = 86_400_000;

/** `current` is the configuration in use; `directory` is a spool that is ours. */
export async function openPasswordsUsed(directory: string, current: () => Config): Promise<PasswordsUsed> {
  const path = join(directory, "passwords-used");
  const uses = newPasswordUses(await load(path));
  const names = newNamesCache();
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();
  let pruned = Number.NEGATIVE_INFINITY;

  async function write(): Promise<void> {
    try {
      if (performance.now() - pruned > pruneEvery) {
        const there = await passwordsOf(current(), new Set(uses.all().map(({ login }) => login)));
        if (there) uses.keepOnly(({ login, digest }) => there.has(`${login}\n${digest}`));
        pruned = performance.now();
      }
      const keeps = current().history.keep > 0;
      await replaceFile(path, formatUses(keeps ? uses.all() : []), { mode: 0o600 });
    } catch (error) {
      if (errorCode(error) === "") logBug("passwords used", error);
      else log("passwords-used-unsaved", { file: path, reason: errorText(error) });
    }
  }

  function begin(): void {
    timer = undefined;
    writing = writing.then(write);
  }

  return {
    async refresh(login) {
      await names.read(forLogin(current(), login).passwords.file);
    },
    note(login, digest, address) {
      const config = current();
      const { domain, passwords } = forLogin(config, login);
      if (config.history.keep > 0) {
        uses.note({
          login,
          digest,
          at: Math.floor(Date.now() / 1_000) * 1_000,
          network: shortenAddress(address),
        });
        timer ??= setTimeout(begin, writeAfter).unref();
      }
      return nameOf(names.of(passwords.file), loginKey(login, domain), digest)?.name;
    },
    async passwordsOf(login, digests) {
      const config = current();
      const { domain, passwords } = forLogin(config, login);
      await names.read(passwords.file);
      const own = names.of(passwords.file).filter((one) => one.login === loginKey(login, domain));
      const all = new Set([...digests, ...own.map(({ digest }) => digest)]);
      const found = [...all].map((digest): PortalPassword => {
        const named = own.findLast((one) => one.digest === digest);
        const use = config.history.keep > 0 ? uses.of(login, digest) : undefined;
        return {
          digest,
          ...(named && { name: named.name, made: named.made }),
          ...(use && { used: use.at, network: use.network }),
          letsIn: digests.includes(digest),
        };
      });
      return found.toSorted((one, other) => (other.made ?? 0) - (one.made ?? 0));
    },
    async close() {
      if (timer === undefined) return writing;
      clearTimeout(timer);
      begin();
      await writing;
    },
  };
}

type Checks = Pick<SessionContext, "verify" | "proofs">;

/** The checks of logins, each with the names of the login's passwords as they are at that time. */
export function withNames<Some extends Checks>(checks: Some, { refresh, note }: PasswordsUsed) {
  const { verify, proofs } = checks;
  return {
    ...checks,
    passwordUsed: note,
    verify: async (login, password) => {
      const result = await verify(login, password);
      if (result.kind === "accepted") await refresh(result.login);
      return result;
    },
    proofs: {
      ...proofs,
      cram: async (name) => {
        await refresh(name);
        return proofs.cram(name);
      },
      scram: async (name, digest) => {
        await refresh(name);
        return proofs.scram(name, digest);
      },
    },
  } satisfies Partial<SessionContext>;
}

/** Lines looked at in one turn, a millisecond or two: mail comes first. */
const linesPerTurn = 2_000;

/** Login and digest of each password that the files have of `logins`; undefined where one cannot be read. */
async function passwordsOf(
  config: Config,
  logins: ReadonlySet<string>,
): Promise<ReadonlySet<string> | undefined> {
  const there = new Set<string>();
  for (const [index, { domain, passwords }] of perDomain(config).entries()) {
    const text = await readFile(passwords.file, "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    for (const [number, line] of text.split("\n").entries()) {
      if (number % linesPerTurn === 0) await nextTurn();
      const local = loginKey(line.split(":", 1)[0] ?? "", domain);
      const login = index === 0 ? local : `${local}@${domain}`;
      if (logins.has(login)) there.add(`${login}\n${hashDigest(hashIn(line))}`);
    }
  }
  return there;
}

/** When and whence passwords were used, by the file in `directory`. Empty where it cannot be read. */
export const usesIn = (directory: string): Promise<readonly PasswordUse[]> =>
  load(join(directory, "passwords-used"));

async function load(path: string): Promise<readonly PasswordUse[]> {
  try {
    return parseUses(await readFile(path, "utf8")) ?? [];
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return []; // what it would tell is of no consequence
  }
}

/** The names of each password file, read again when their file has changed. */
function newNamesCache() {
  const known = new Map<string, { readonly version: string; readonly names: readonly NamedPassword[] }>();
  return {
    of: (path: string): readonly NamedPassword[] => known.get(path)?.names ?? [],
    async read(path: string): Promise<void> {
      const version = await versionOf(path);
      if (known.get(path)?.version === version) return;
      known.set(path, { version, names: version === "" ? [] : await readNames(path) });
    },
  };
}

/** Differs between versions of the file of names; "" where there is none. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(namesFileOf(await realpath(path)), { bigint: true });
    return [ino, size, mtimeNs].join(" ");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return "";
  }
}
