/** `--ldap`: sets a user's hash in the directory and reads it back. */
import { readFile } from "node:fs/promises";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type LdapLogin, readAccess } from "../../ldap/access.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { findDn, ownDn, setPassword } from "../../ldap/password-change.ts";
import { hasBareForm, makeHash, print, schemeNamed, tell } from "./hash.ts";
import type { PasswdOptions } from "./options.ts";
import { askOnce } from "./secret.ts";

export async function setInDirectory(options: PasswdOptions, name: string): Promise<number> {
  const { readConfig } = await import("../../config/config-file.ts");
  const { forLogin } = await import("../../config/domains.ts");
  const whole = await readConfig(options.config);
  const { ldap, domain } = forLogin(whole, name);
  const user = domain === whole.domain ? name : name.slice(0, name.lastIndexOf("@"));
  const dn = ownDn(ldap, user);
  const login: LdapLogin | undefined = options.asAdmin
    ? undefined
    : { kind: "simple", dn, password: await directoryPassword(options, user) };
  const access = await readAccess(ldap, login);
  const prefix = !options.noPrefix && !hasBareForm(schemeNamed(options.scheme)); // as userdir-ldap wants it
  const { text, attempt, generated } = await makeHash(options, `${user}@${domain}`, prefix);
  const attribute = ldap["password-attribute"];
  const changed = await withDirectory(access, new AbortController().signal, async (directory) => {
    const entry = options.asAdmin ? await findDn(directory, ldap, user) : dn;
    await setPassword(directory, { dn: entry, attribute }, text, attempt);
    return entry;
  });
  const made = generated ? { password: attempt.password } : {};
  if (options.json) return print(JSON.stringify({ user, dn: changed, attribute, ...made }));
  if (generated) tell(`the password of ${user}, shown only now: ${attempt.password}`);
  tell(`${attribute} of ${changed} is set, and was read back; it works at the relay after the next sync`);
  return exitStatus.ok;
}

async function directoryPassword({ bindPasswordFile }: PasswdOptions, user: string): Promise<string> {
  if (bindPasswordFile === undefined) return askOnce(`Directory password of ${user}: `);
  try {
    return (await readFile(bindPasswordFile, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `--bind-password-file: cannot read it: ${errorText(error)}`);
  }
}
