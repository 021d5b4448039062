/** The test account: which entry of the directory may be one, how its password is set, and the files that keep it. */

import { readFile, unlink } from "node:fs/promises";
import type { Config } from "../../../config/settings.ts";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import { readAccess } from "../../../ldap/access.ts";
import { withDirectory } from "../../../ldap/connection.ts";
import { type LdapDirectory, valuesOf } from "../../../ldap/directory.ts";
import { findDn, ownDn, setPassword } from "../../../ldap/password-change.ts";
import { createStored, formatStored } from "../../../passwd/stored.ts";
import { hasBareForm, schemeNamed } from "../../passwd/hash.ts";

/** What userdir-ldap keeps of people only: their OpenPGP and SSH keys. */
const marksOfPeople = ["keyFingerPrint", "sshRSAAuthKey"] as const;

export interface PasswordChange {
  readonly login: string;
  readonly password: string;
  /** Name of the scheme. */
  readonly scheme: string;
  /** The account's own directory password, to log in as itself; absent: the login of `[ldap]`. */
  readonly directoryPassword?: string;
}

/**
 * Sets the password; `ready` is called in between, when the account has been looked at and nothing is changed yet.
 * Throws a Failure where the account looks like a person's, or the directory says no.
 */
export async function changePassword(
  { ldap, domain }: Config,
  { login, password, scheme, directoryPassword }: PasswordChange,
  ready: () => Promise<void>,
): Promise<void> {
  const name = schemeNamed(scheme);
  const attempt = { password, names: [`${login}@${domain}`] };
  const stored = await createStored(name.scheme, 0, attempt);
  const text = formatStored(name, stored.value, !hasBareForm(name)); // as userdir-ldap wants it
  const own = ownDn(ldap, login);
  const access = await readAccess(
    ldap,
    directoryPassword === undefined ? undefined : { kind: "simple", dn: own, password: directoryPassword },
  );
  await withDirectory(access, new AbortController().signal, async (directory) => {
    const dn = directoryPassword === undefined ? await findDn(directory, ldap, login) : own;
    await refusePeople(directory, dn);
    await ready();
    await setPassword(directory, { dn, attribute: ldap["password-attribute"] }, text, attempt);
  });
}

async function refusePeople(directory: LdapDirectory, dn: string): Promise<void> {
  const entry = await directory.read(dn, marksOfPeople);
  const mark = marksOfPeople.find((attribute) => entry && valuesOf(entry, attribute).length > 0);
  if (mark === undefined) return;
  throw new Failure(
    exitStatus.noPermission,
    `${dn} has ${mark}, so it is a person's; make an account for this test alone`,
  );
}

/**
 * The files with the test account's password: FILE has the one that works, FILE.next the one that the directory has and
 * the server may not know yet. Each is a line, for its owner alone. A crash at any moment leaves the right one in one.
 */
export interface PasswordFiles {
  /** Those that may work, the likelier first. */
  known(): Promise<readonly string[]>;
  /** Called before the directory gets it. */
  prepare(password: string): Promise<void>;
  /** Called when it has worked: FILE has it from now on. */
  adopt(password: string): Promise<void>;
}

/** All calls throw a Failure where a file cannot be read or written. */
export function passwordsIn(file: string): PasswordFiles {
  const next = `${file}.next`;
  return {
    async known() {
      const found = [await lineIn(next), await lineIn(file)];
      return [...new Set(found.filter((password) => password !== ""))];
    },
    prepare: (password) => write(next, password),
    async adopt(password) {
      await write(file, password); // from here on FILE has the new one
      await unlink(next).catch((error: unknown) => {
        if (errorCode(error) !== "ENOENT") throw asFailure(error, next, exitStatus.cannotCreate);
      });
    },
  };
}

async function lineIn(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).split(/\r?\n/)[0] ?? "";
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw asFailure(error, file, exitStatus.noInput);
  }
}

async function write(file: string, password: string): Promise<void> {
  try {
    await replaceFile(file, `${password}\n`, { mode: 0o600 });
  } catch (error) {
    throw asFailure(error, file, exitStatus.cannotCreate);
  }
}

function asFailure(error: unknown, file: string, status: number): unknown {
  if (errorCode(error) === "") return error;
  return new Failure(status, `--password-file: ${file}: ${errorText(error)}`);
}
