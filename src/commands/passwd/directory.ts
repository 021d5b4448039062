/** `--ldap`: sets a user's hash in the directory and reads it back. */
import { readFile } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { readAccess } from "../../ldap/access.ts";
import { withDirectory } from "../../ldap/connection.ts";
import type { Directory, Login } from "../../ldap/directory.ts";
import { textsOf } from "../../ldap/entry.ts";
import { entriesOf } from "../../ldap/search.ts";
import type { Attempt } from "../../passwd/scheme.ts";
import { readStored, verifyStored } from "../../passwd/stored.ts";
import { hasBareForm, makeHash, print, schemeNamed, tell } from "./hash.ts";
import type { Options } from "./options.ts";
import { askOnce } from "./secret.ts";

export async function setInDirectory(options: Options, user: string): Promise<number> {
  const { readConfig } = await import("../../config/read.ts");
  const { ldap, domain } = await readConfig(options.config);
  const dn = ownDn(ldap, user);
  const login: Login | undefined = options.asAdmin
    ? undefined
    : { kind: "simple", dn, password: await directoryPassword(options, user) };
  const access = await readAccess(ldap, login);
  const prefix = !options.noPrefix && !hasBareForm(schemeNamed(options.scheme)); // as userdir-ldap wants it
  const { text, attempt, generated } = await makeHash(options, `${user}@${domain}`, prefix);
  const attribute = ldap["password-attribute"];
  const changed = await withDirectory(access, new AbortController().signal, async (directory) => {
    const entry = options.asAdmin ? await findDn(directory, ldap, user) : dn;
    await directory.replace(entry, attribute, [text]);
    await readBack(directory, entry, attribute, attempt);
    return entry;
  });
  const made = generated ? { password: attempt.password } : {};
  if (options.json) return print(JSON.stringify({ user, dn: changed, attribute, ...made }));
  if (generated) tell(`the password of ${user}, shown only now: ${attempt.password}`);
  tell(`${attribute} of ${changed} is set, and was read back; it works at the relay after the next sync`);
  return exitStatus.ok;
}

async function directoryPassword({ bindPasswordFile }: Options, user: string): Promise<string> {
  if (bindPasswordFile === undefined) return askOnce(`Directory password of ${user}: `);
  try {
    return (await readFile(bindPasswordFile, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `--bind-password-file: cannot read it: ${errorText(error)}`);
  }
}

/** The entry of a user in a flat tree, as userdir-ldap has it. */
function ownDn({ base, "login-attribute": attribute }: Config["ldap"], user: string): string {
  return `${attribute}=${escapeDn(user)},${base}`;
}

/** RFC 4514 section 2.4. */
export function escapeDn(value: string): string {
  return value
    .replace(/[\\"+,;<=>]/g, "\\$&")
    .replace(/^[ #]| $/g, "\\$&")
    .replaceAll("\0", "\\00");
}

async function findDn(directory: Directory, ldap: Config["ldap"], user: string): Promise<string> {
  const attribute = ldap["login-attribute"];
  const found = await entriesOf(directory, ldap, { attribute, login: user, filter: ldap.filter }, [
    attribute,
  ]);
  const [entry] = found;
  if (entry && found.length === 1) return entry.dn;
  const number = found.length === 0 ? "no entry" : `${found.length} entries`;
  throw new Failure(
    exitStatus.temporary,
    `the directory has ${number} with ${attribute} ${user}, expected one`,
  );
}

/** What a directory has taken it may have changed or put beside other values. */
async function readBack(
  directory: Directory,
  dn: string,
  attribute: string,
  attempt: Attempt,
): Promise<void> {
  const entry = await directory.read(dn, [attribute]);
  const values = entry ? textsOf(entry, attribute) : [];
  const stored = values.length === 1 ? readStored(values[0] ?? "") : undefined;
  if (stored && !("problem" in stored) && (await verifyStored(stored, attempt))) return;
  throw new Failure(
    exitStatus.temporary,
    `${attribute} of ${dn} was set, but ${values.length === 0 ? "cannot be read back" : "reads back as something else"}`,
  );
}
