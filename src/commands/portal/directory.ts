/** The directory as the portal uses it: to check who somebody is, and to change the e-mail passwords as that person. */
import { createHash } from "node:crypto";
import type { Config } from "../../config/settings.ts";
import { Failure } from "../../failure.ts";
import { readAccess } from "../../ldap/access.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { type LdapDirectory, LdapResultError, resultCode } from "../../ldap/directory.ts";
import {
  addPassword,
  ownDn,
  type PasswordPlace,
  passwordsIn,
  removePassword,
  setPassword,
} from "../../ldap/password-change.ts";
import { isSingleValued } from "../../ldap/schema.ts";
import { entriesOf } from "../../ldap/search.ts";
import { longestPassword, type PasswordAttempt } from "../../passwd/scheme.ts";
import { createStored, formatStored, type SchemeName } from "../../passwd/stored.ts";

/** `away`: the directory cannot be asked now. `why` is for the log. */
type Refusal = { readonly kind: "wrong" } | { readonly kind: "away"; readonly why: string };

export type SignIn = { readonly kind: "accepted" } | Refusal;

/** `digest` is SHA-256 of the hash as it stands in the password file. */
export type PasswordChangeResult =
  | { readonly kind: "set"; readonly digest: string }
  | { readonly kind: "refused"; readonly why: string }
  /** The scheme does not keep it whole. */
  | { readonly kind: "too-long" }
  /** Of several: there is one of this name, there are as many as may be, or the directory has room for one alone. */
  | { readonly kind: "name-taken" | "too-many" | "one-only" }
  | Refusal;

/** `left` is how many there are now. */
export type PasswordRemoval =
  | { readonly kind: "removed"; readonly digest: string; readonly left: number }
  | { readonly kind: "absent" }
  | { readonly kind: "refused"; readonly why: string }
  | Refusal;

export interface PortalDirectory {
  signIn(login: string, password: string): Promise<SignIn>;
  /** Whether a person may have several passwords: by the settings, and by the directory's schema as far as it was seen. */
  hasSeveral(): boolean;
  /**
   * `password` is the one that the person signs in with, `mailPassword` the new one: with a name it is put beside those that
   * there are, else it takes their place.
   */
  setMailPassword(
    login: string,
    password: string,
    mailPassword: string,
    name?: string,
  ): Promise<PasswordChangeResult>;
  /** Removes the one whose hash has the `digest` of hashDigest(). */
  removeMailPassword(login: string, password: string, digest: string): Promise<PasswordRemoval>;
}

/** Conversations with the directory at a time: what comes on top is told to try again. Our choice. */
const mostAtOnce = 16;

export function newPortalDirectory(
  { ldap, domain, portal, sync }: Pick<Config, "ldap" | "domain" | "portal" | "sync">,
  scheme: SchemeName,
  now: () => number,
): PortalDirectory {
  let underWay = 0;
  const attribute = ldap["password-attribute"];
  const most = sync.format === "dovecot" ? 1 : portal["most-passwords"]; // which takes one line of each login
  /** Whether the directory takes one value alone; undefined until somebody who is known there has looked. */
  let single: boolean | undefined;

  /** As the person. The DN is the login below the base, or where accounts are anywhere below it, the one found. */
  async function as<Result>(
    login: string,
    password: string,
    use: (directory: LdapDirectory, dn: string) => Promise<Result>,
  ): Promise<Result | Refusal> {
    if (password === "") return { kind: "wrong" };
    if (underWay >= mostAtOnce)
      return { kind: "away", why: "too many conversations with the directory at a time" };
    underWay += 1;
    const { signal } = new AbortController();
    try {
      const dn = ldap.scope === "one" ? ownDn(ldap, login) : await foundDn(login, signal);
      if (dn === undefined) return { kind: "wrong" }; // as for one that is there
      const access = await readAccess(ldap, { kind: "simple", dn, password });
      return await withDirectory(access, signal, async (directory) => {
        if (most > 1) single ??= await isSingleValued(directory, attribute);
        return use(directory, dn);
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error instanceof LdapResultError && wrong.includes(error.code)) return { kind: "wrong" };
      return { kind: "away", why: error.message };
    } finally {
      underWay -= 1;
    }
  }

  /** The entry of a login anywhere below the base; undefined where there is not exactly one. */
  async function foundDn(login: string, signal: AbortSignal): Promise<string | undefined> {
    const wanted = { attribute: ldap["login-attribute"], login, filter: ldap.filter };
    const found = await withDirectory(await readAccess(ldap), signal, (directory) =>
      entriesOf(directory, ldap, wanted, [wanted.attribute]),
    ).catch((error: unknown) => {
      // What the directory says to us is nothing that the person did wrong.
      throw error instanceof LdapResultError ? new Failure(error.status, error.message) : error;
    });
    return found.length === 1 ? found[0]?.dn : undefined;
  }

  return {
    hasSeveral: () => most > 1 && single !== true,
    signIn: (login, password) => as<SignIn>(login, password, async () => ({ kind: "accepted" })),
    setMailPassword: (login, password, mailPassword, name) =>
      as<PasswordChangeResult>(login, password, async (directory, dn) => {
        const attempt = { password: mailPassword, names: [`${login}@${domain}`] };
        if (Buffer.byteLength(mailPassword) > (scheme.scheme.longest ?? longestPassword))
          return { kind: "too-long" };
        const bare = scheme.scheme.bare !== undefined && scheme.suffix === ""; // as userdir-ldap wants it
        const text = formatStored(scheme, (await createStored(scheme.scheme, 0, attempt)).value, !bare);
        const place = { dn, attribute };
        return changing(async () => {
          const done =
            name === undefined ? undefined : await addNamed(directory, place, { text, name }, attempt);
          if (done !== undefined) return done;
          if (name === undefined) await setPassword(directory, place, text, attempt);
          return { kind: "set", digest: wholeDigest(text) };
        });
      }),
    removeMailPassword: (login, password, digest) =>
      as<PasswordRemoval>(login, password, (directory, dn) =>
        changing<PasswordRemoval>(async () => {
          const gone = await removePassword(directory, { dn, attribute }, digest);
          if (gone === undefined) return { kind: "absent" };
          const left = (await passwordsIn(directory, { dn, attribute })).length;
          return { kind: "removed", digest: wholeDigest(gone.hash), left };
        }),
      ),
  };

  /** Puts one beside the others; gives why not, or undefined. */
  async function addNamed(
    directory: LdapDirectory,
    place: PasswordPlace,
    { text, name }: { readonly text: string; readonly name: string },
    attempt: PasswordAttempt,
  ): Promise<PasswordChangeResult | undefined> {
    if (single === true) return { kind: "one-only" };
    const there = await passwordsIn(directory, place);
    if (there.some((one) => one.name === name)) return { kind: "name-taken" };
    if (there.length >= most) return { kind: "too-many" };
    try {
      await addPassword(directory, place, { hash: text, name, made: now() }, attempt);
      return undefined;
    } catch (error) {
      const isSecond = error instanceof LdapResultError && error.code === resultCode.constraintViolation;
      if (!isSecond || there.length === 0 || single === false) throw error;
      single = true; // which its schema did not show us
      return { kind: "one-only" };
    }
  }
}

/** SHA-256 of a hash as it stands in the password file, as the relay compares it. */
const wholeDigest = (hash: string): string => createHash("sha256").update(hash).digest("base64");

/** What the directory says to a change is an answer, but for what another time may be another one. */
async function changing<Result>(
  work: () => Promise<Result>,
): Promise<Result | { readonly kind: "refused"; readonly why: string }> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LdapResultError) || passing.includes(error.code)) throw error;
    return { kind: "refused", why: error.message };
  }
}

/** No such entry and a wrong password look alike (RFC 4513 section 6.3.1); so does what cannot be a DN. */
const wrong: readonly number[] = [resultCode.invalidCredentials, resultCode.noSuchObject, 34, 48];

/** Results that another time may be others: busy, unavailable, and a directory in trouble. */
const passing: readonly number[] = [resultCode.timeLimitExceeded, 51, 52, 80];
