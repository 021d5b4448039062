/** A user's passwords in the directory: finds the entry, sets the hash or one of several, and reads it back. */
import { exitStatus, Failure } from "../failure.ts";
import { formatPasswordValue, type PasswordValue, readPasswordValue } from "../passwd/named-value.ts";
import { hashDigest } from "../passwd/password-names.ts";
import type { PasswordAttempt } from "../passwd/scheme.ts";
import { readStored, verifyStored } from "../passwd/stored.ts";
import { type LdapDirectory, textsOf } from "./directory.ts";
import { entriesOf, type SearchSettings } from "./search.ts";

/** The settings of `[ldap]` that matter here. */
export interface AccountSettings extends SearchSettings {
  readonly "login-attribute": string;
  readonly "password-attribute": string;
}

/** The entry of a user in a flat tree, as userdir-ldap has it. */
export function ownDn(
  { base, "login-attribute": attribute }: Pick<AccountSettings, "base" | "login-attribute">,
  user: string,
): string {
  return `${attribute}=${escapeDn(user)},${base}`;
}

/** RFC 4514 section 2.4. */
function escapeDn(value: string): string {
  return value
    .replace(/[\\"+,;<=>]/g, "\\$&")
    .replace(/^[ #]| $/g, "\\$&")
    .replaceAll("\0", "\\00");
}

/** The DN of the one entry that `user` has. Throws a Failure where there is another number of them. */
export async function findDn(
  directory: LdapDirectory,
  accounts: AccountSettings,
  user: string,
): Promise<string> {
  const attribute = accounts["login-attribute"];
  const { filter } = accounts;
  const found = await entriesOf(directory, accounts, { attribute, login: user, filter }, [attribute]);
  const [entry] = found;
  if (entry && found.length === 1) return entry.dn;
  const number = found.length === 0 ? "no entry" : `${found.length} entries`;
  throw new Failure(
    exitStatus.temporary,
    `the directory has ${number} with ${attribute} ${user}, expected one`,
  );
}

/** Whose passwords are meant. */
export interface PasswordPlace {
  readonly dn: string;
  readonly attribute: string;
}

/** The passwords of an entry, as far as they are text; what is locked is among them. */
export async function passwordsIn(
  directory: LdapDirectory,
  { dn, attribute }: PasswordPlace,
): Promise<readonly PasswordValue[]> {
  const entry = await directory.read(dn, [attribute]);
  return entry ? textsOf(entry, attribute).map(readPasswordValue) : [];
}

/** Puts a password beside those that are there. Throws as {@link setPassword} does. */
export async function addPassword(
  directory: LdapDirectory,
  place: PasswordPlace,
  value: PasswordValue,
  attempt: PasswordAttempt,
): Promise<void> {
  const text = formatPasswordValue(value);
  await directory.change(place.dn, place.attribute, { add: [text] }); // from here on it counts, too
  const found = (await passwordsIn(directory, place)).find((one) => formatPasswordValue(one) === text);
  const stored = readStored(found?.hash ?? "");
  if (!("problem" in stored) && (await verifyStored(stored, attempt))) return;
  throw new Failure(
    exitStatus.temporary,
    `${place.attribute} of ${place.dn} was added to, but the new value cannot be read back`,
  );
}

/**
 * Puts `next` in the place of all passwords of the name that it has, or of none; `next` undefined removes them. Gives those
 * that were there. Throws a Failure where the directory says no, or reads back as something else.
 */
export async function changeNamed(
  directory: LdapDirectory,
  place: PasswordPlace,
  name: string,
  next: (before: readonly PasswordValue[]) => PasswordValue | undefined,
): Promise<readonly PasswordValue[]> {
  const before = (await passwordsIn(directory, place)).filter((one) => one.name === name);
  const value = next(before);
  const [remove, add] = [before, value === undefined ? [] : [value]].map((all) =>
    all.map(formatPasswordValue),
  );
  await directory.change(place.dn, place.attribute, { remove: remove ?? [], add: add ?? [] });
  const after = (await passwordsIn(directory, place)).filter((one) => one.name === name);
  if (after.map(formatPasswordValue).join("\n") === (add ?? []).join("\n")) return before;
  throw new Failure(exitStatus.temporary, `${place.attribute} of ${place.dn} reads back as something else`);
}

/** Removes the password whose hash has this digest, and gives what it was; undefined where there is none. */
export async function removePassword(
  directory: LdapDirectory,
  place: PasswordPlace,
  digest: string,
): Promise<PasswordValue | undefined> {
  const values = (await passwordsIn(directory, place)).filter(({ hash }) => hashDigest(hash) === digest);
  const [first] = values;
  if (first === undefined) return undefined;
  await directory.change(place.dn, place.attribute, { remove: values.map(formatPasswordValue) });
  const left = await passwordsIn(directory, place);
  if (!left.some(({ hash }) => hashDigest(hash) === digest)) return first;
  throw new Failure(exitStatus.temporary, `${place.attribute} of ${place.dn} still has what was removed`);
}

/**
 * Makes `text` the only value of `attribute`. Throws a Failure where the directory says no, or has made something else
 * of it: what it has taken it may have changed, or put beside other values. `attempt` is what must open it.
 */
export async function setPassword(
  directory: LdapDirectory,
  { dn, attribute }: PasswordPlace,
  text: string,
  attempt: PasswordAttempt,
): Promise<void> {
  await directory.replace(dn, attribute, [text]); // from here on the new one counts
  const entry = await directory.read(dn, [attribute]);
  const values = entry ? textsOf(entry, attribute) : [];
  const stored = values.length === 1 ? readStored(values[0] ?? "") : undefined;
  if (stored && !("problem" in stored) && (await verifyStored(stored, attempt))) return;
  throw new Failure(
    exitStatus.temporary,
    `${attribute} of ${dn} was set, but ${values.length === 0 ? "cannot be read back" : "reads back as something else"}`,
  );
}
