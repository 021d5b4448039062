/** `--ldap`: sets a user's hash in the directory and reads it back. With `--name`, one of several. */
import { readFile } from "node:fs/promises";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type LdapLogin, readAccess } from "../../ldap/access.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { changeNamed, findDn, ownDn, setPassword } from "../../ldap/password-change.ts";
import type { PasswordValue } from "../../passwd/named-value.ts";
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

/** What becomes of one password of several. */
export type NamedDeed = "set" | "delete" | "freeze" | "thaw";

/** Changes the password of a name as ldap.bind-dn; the others stay. Status 75 where there is none, or it is so already. */
export async function changeInDirectory(
  options: PasswdOptions,
  login: string,
  deed: NamedDeed,
): Promise<number> {
  const { readConfig } = await import("../../config/config-file.ts");
  const { forLogin } = await import("../../config/domains.ts");
  const whole = await readConfig(options.config);
  const { ldap, domain } = forLogin(whole, login);
  const user = domain === whole.domain ? login : login.slice(0, login.lastIndexOf("@"));
  const access = await readAccess(ldap);
  const prefix = !options.noPrefix && !hasBareForm(schemeNamed(options.scheme)); // as userdir-ldap wants it
  const made = deed === "set" ? await makeHash(options, `${user}@${domain}`, prefix) : undefined;
  const attribute = ldap["password-attribute"];
  const { name = "" } = options;
  const dn = await withDirectory(access, new AbortController().signal, async (directory) => {
    const entry = await findDn(directory, ldap, user);
    await changeNamed(directory, { dn: entry, attribute }, name, (before) =>
      made === undefined
        ? changed(before, deed, `${name} of ${user}`)
        : { hash: made.text, name, made: Math.floor(Date.now() / 1_000) * 1_000 },
    );
    return entry;
  });
  const shown = made?.generated === true ? { password: made.attempt.password } : {};
  if (options.json) return print(JSON.stringify({ user, name, dn, attribute, done: deed, ...shown }));
  if (made?.generated === true) tell(`the password of ${user}, shown only now: ${made.attempt.password}`);
  tell(`${user}: ${name} ${done[deed]} in ${attribute} of ${dn}; the relay hears of it with the next sync`);
  return exitStatus.ok;
}

const done = { set: "is set", delete: "is removed", freeze: "is frozen", thaw: "is thawed" } as const;

/** The password as it is to be; undefined where it is to go. Throws a Failure where nothing would change. */
function changed(
  [first]: readonly PasswordValue[],
  deed: NamedDeed,
  which: string,
): PasswordValue | undefined {
  if (first === undefined) throw new Failure(exitStatus.temporary, `there is no password ${which}`);
  if (deed === "delete") return undefined;
  const isFrozen = first.hash.startsWith("!");
  if (isFrozen === (deed === "freeze"))
    throw new Failure(exitStatus.temporary, `${which} is ${isFrozen ? "frozen already" : "not frozen"}`);
  return { ...first, hash: isFrozen ? first.hash.slice(1) : `!${first.hash}` };
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
