/** `--set`, `--delete` and `--verify`: one user's lines of the password file. */
import { readFile } from "node:fs/promises";
import { visible } from "../../cli/output.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { authenticate, whyNone } from "../../passwd/logins.ts";
import {
  decodePasswordFile,
  isEntry,
  loginKey,
  type PasswordLine,
  parsePasswordFile,
} from "../../passwd/password-file.ts";
import {
  deleteLines,
  deleteNamedLine,
  type Edit,
  editNamedPassword,
  lockNamedLine,
  readNames,
  setLine,
  setNamedLine,
  withNamesLeft,
} from "../../passwd/password-file-edit.ts";
import { hashDigest, nameOf } from "../../passwd/password-names.ts";
import type { FrozenLogin } from "../../server/control/protocol.ts";
import { makeHash, print, tell, warn } from "./hash.ts";
import type { PasswdOptions } from "./options.ts";
import { knownPassword } from "./secret.ts";

export interface TargetFile {
  readonly path: string;
  /** Of the logins; "" where only the file is known. */
  readonly domain: string;
  /** The main domain of the relay, whose logins are called by their local names. */
  readonly main: string;
  /** Whether `sync` writes the file, too. */
  readonly synced: boolean;
  /** Of the relay that reads it; undefined where only the file is known. */
  readonly relay: Pick<Config, "spool" | "hostname"> | undefined;
}

/** The file that is meant: the option's, or the configuration's for `user`, which is that of the user's domain. */
export async function passwordFile({ file, config }: PasswdOptions, user: string): Promise<TargetFile> {
  if (file !== undefined) return { path: file, domain: "", main: "", synced: false, relay: undefined };
  const { readConfig } = await import("../../config/config-file.ts");
  const { forLogin } = await import("../../config/domains.ts");
  const whole = await readConfig(config);
  const { passwords, domain, ldap } = forLogin(whole, user);
  const synced = ldap.url.length > 0;
  return { path: passwords.file, domain, main: whole.domain, synced, relay: whole };
}

/** The files that are meant where no user is: the option's, or the configuration's for each domain. */
export async function passwordFiles({ file, config }: PasswdOptions): Promise<readonly string[]> {
  if (file !== undefined) return [file];
  const { readConfig } = await import("../../config/config-file.ts");
  const { perDomain } = await import("../../config/domains.ts");
  return perDomain(await readConfig(config)).map(({ passwords }) => passwords.file);
}

export async function setUser(options: PasswdOptions, user: string): Promise<number> {
  refuseUnfitName(user);
  const { path, domain, synced, relay } = await passwordFile(options, user);
  const { text, stored, attempt, generated } = await makeHash(
    options,
    qualified(user, domain),
    !options.noPrefix,
  );
  const [line] = parsePasswordFile(`${user}:${text}`);
  if (!line || !isEntry(line) || line.text !== text) {
    throw new Failure(
      exitStatus.temporary,
      `a line of the file cannot hold this; use -s ${stored.scheme.name}.B64`,
    );
  }
  const { name } = options;
  const owner = { login: user, name: name ?? "", domain };
  const edit = await editNamedPassword(
    path,
    (before, names) =>
      name === undefined
        ? withNamesLeft(setLine(before, user, text, domain), names, domain)
        : setNamedLine(before, names, owner, { stored: text, made: Date.now() }),
    Date.now,
  );
  if (synced) warn(`${path} comes from the directory: the next sync undoes this; --ldap sets it there`);
  const shut = whyNone(parsePasswordFile(edit.text), user, domain) || (await whyFrozen(user, domain, relay));
  if (shut !== "") warn(visible(`${user} is still not let in: ${shut}`));
  const made = generated ? { password: attempt.password } : {};
  if (options.json) {
    return print(
      JSON.stringify({ user, ...named(options), file: path, replaced: edit.lines.length, ...made }),
    );
  }
  if (generated) tell(`the password of ${user}, shown only now: ${attempt.password}`);
  const where = edit.lines.length === 0 ? "added" : `replaced (line ${edit.lines.join(", ")})`;
  tell(`${user}: ${name === undefined ? "" : `${name} `}${where} in ${path}; the relay takes it from now on`);
  return exitStatus.ok;
}

export async function deleteUser(options: PasswdOptions, user: string): Promise<number> {
  const { path, domain, synced } = await passwordFile(options, user);
  const { name } = options;
  const edit = await editNamedPassword(
    path,
    (before, names) => {
      const next =
        name === undefined
          ? withNamesLeft(deleteLines(before, user, domain), names, domain)
          : deleteNamedLine(before, names, { login: user, name, domain });
      return ofSomebody(next, options, user);
    },
    Date.now,
  );
  if (synced) warn(`${path} comes from the directory: the next sync undoes this`);
  if (!parsePasswordFile(edit.text).some(isEntry))
    warn(`nobody is left in ${path}: the relay goes on with the file that it has, until it is started again`);
  if (options.json)
    return print(JSON.stringify({ user, ...named(options), file: path, removed: edit.lines.length }));
  tell(
    `${user}: ${name === undefined ? "" : `${name} `}removed from ${path} (line ${edit.lines.join(", ")})`,
  );
  return exitStatus.ok;
}

/** Locks one password of a user, or opens it again; the others go on. */
export async function lockPassword(options: PasswdOptions, user: string, isLocked: boolean): Promise<number> {
  const { path, domain, synced } = await passwordFile(options, user);
  const owner = { login: user, name: options.name ?? "", domain };
  const edit = await editNamedPassword(
    path,
    (before, names) => {
      ofSomebody(deleteNamedLine(before, names, owner), options, user); // whether there is one
      const next = lockNamedLine(before, names, owner, isLocked);
      if (next.lines.length > 0) return next;
      const state = isLocked ? "frozen already" : "not frozen";
      throw new Failure(exitStatus.temporary, `${owner.name} of ${user} is ${state}`);
    },
    Date.now,
  );
  if (synced) warn(`${path} comes from the directory: the next sync undoes this`);
  const done = isLocked ? "frozen" : "thawed";
  if (options.json) {
    return print(JSON.stringify({ user, name: owner.name, file: path, [done]: edit.lines.length }));
  }
  const effect = isLocked ? "lets nobody in from now on" : "lets in from now on";
  tell(`${user}: ${owner.name} ${done} in ${path} (line ${edit.lines.join(", ")}): it ${effect}`);
  return exitStatus.ok;
}

const named = ({ name }: PasswdOptions) => (name === undefined ? {} : { name });

/** Throws a Failure where the edit found nothing to change. */
function ofSomebody<Change extends Edit>(edit: Change, { name }: PasswdOptions, user: string): Change {
  if (edit.lines.length > 0) return edit;
  const what = name === undefined ? `no line for ${user}` : `no password ${name} of ${user}`;
  throw new Failure(exitStatus.temporary, `there is ${what}`);
}

/** Prints whether the relay would let the user in; the status says it, too. */
export async function verifyUser(options: PasswdOptions, user: string): Promise<number> {
  const { path, domain, main, relay } = await passwordFile(options, user);
  const lines = await readLines(path);
  const found =
    whyNone(lines, user, domain) ||
    (await authenticate(lines, user, await knownPassword(options, `Password of ${user}: `), domain));
  // As the relay does: only somebody who knows the password is told of a freeze.
  const frozen = typeof found === "string" ? "" : await whyFrozen(user, main, relay);
  const verdict = frozen || found;
  const admitted = typeof verdict !== "string";
  if (!admitted) {
    print(
      options.json
        ? JSON.stringify({ user, file: path, admitted, reason: verdict })
        : visible(`${user}: not let in: ${verdict}`),
    );
    return exitStatus.temporary;
  }
  const { algorithm, cost, weakness } = verdict.stored.inspection;
  const name = nameOf(await readNames(path), loginKey(user, domain), hashDigest(verdict.text))?.name;
  if (options.json) {
    const { number: line } = verdict;
    print(JSON.stringify({ user, name, file: path, admitted, line, algorithm, cost, weakness }));
  } else {
    const called = name === undefined ? "" : `${name}, `;
    print(
      `${user}: let in (line ${verdict.number}, ${called}${cost === "" ? algorithm : `${algorithm}, ${cost}`})`,
    );
  }
  return exitStatus.ok;
}

/** Since when and why the login is frozen; "" where it is not. Warns and gives "" where that cannot be read. */
async function whyFrozen(user: string, main: string, relay: TargetFile["relay"]): Promise<string> {
  if (relay === undefined) return "";
  try {
    const found = await frozenIn(relay, loginKey(user, main));
    if (found === undefined) return "";
    const reason = found.reason === "" ? "" : `: ${found.reason}`;
    return `frozen since ${new Date(found.at).toISOString()} by ${found.by}${reason}`;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    warn(`nobody can tell whether ${user} is frozen: ${error.message}`);
    return "";
  }
}

/** Throws a Failure where that cannot be known. */
async function frozenIn(
  { spool, hostname }: NonNullable<TargetFile["relay"]>,
  login: string,
): Promise<FrozenLogin | undefined> {
  if (spool.store === "") {
    const { openFrozenLogins } = await import("../../server/control/frozen-logins.ts");
    const { frozenFile } = await import("../serve/spool.ts");
    return (await openFrozenLogins(frozenFile(spool.directory))).of(login);
  }
  const { openStoreDatabase } = await import("../serve/store.ts");
  const { openSharedFrozenLogins } = await import("../../server/shared/frozen-logins.ts");
  const { untoldFile } = await import("../serve/several-hosts.ts");
  const database = await openStoreDatabase({ spool, hostname });
  try {
    return (await openSharedFrozenLogins(database, untoldFile(spool.directory))).of(login);
  } finally {
    await database.close();
  }
}

/** With the domain, as DIGEST-MD5 and the verifier have it. */
function qualified(user: string, domain: string): string {
  return domain === "" || user.includes("@") ? user : `${user}@${domain}`;
}

function refuseUnfitName(user: string): void {
  const [line] = parsePasswordFile(`${user}:{PLAIN}x`);
  if (line?.login === user && isEntry(line)) return;
  throw new Failure(
    exitStatus.usage,
    `${JSON.stringify(user)} cannot be a login: no blanks, colons or # at its start`,
  );
}

/** The lines of a password file. Throws a Failure (75) where it cannot be read. */
export async function readLines(path: string): Promise<readonly PasswordLine[]> {
  return parsePasswordFile(await readText(path));
}

/** Its text. Throws a Failure (75) where it cannot be read. */
export async function readText(path: string): Promise<string> {
  try {
    return decodePasswordFile(await readFile(path));
  } catch (error) {
    const code = errorCode(error);
    if (code === "" && !(error instanceof Failure)) throw error;
    const what = error instanceof Failure ? error.message : `cannot be read: ${code}`;
    throw new Failure(exitStatus.temporary, `password file ${path}: ${what}`, { cause: error });
  }
}
