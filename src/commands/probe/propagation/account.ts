/** The test account in the directory: who may be one, and how its password is set. */
import type { Config } from "../../../config/settings.ts";
import { exitStatus, Failure } from "../../../failure.ts";
import { readAccess } from "../../../ldap/access.ts";
import { withDirectory } from "../../../ldap/connection.ts";
import { type LdapDirectory, valuesOf } from "../../../ldap/directory.ts";
import { findDn, ownDn, setPassword } from "../../../ldap/password-change.ts";
import { createStored, formatStored } from "../../../passwd/stored.ts";
import { hasBareForm, schemeNamed } from "../../passwd/hash.ts";

/** What userdir-ldap keeps of people only: their OpenPGP and SSH keys. */
const marksOfPeople = ["keyFingerPrint", "sshRSAAuthKey"] as const;

export interface Change {
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
  { login, password, scheme, directoryPassword }: Change,
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
