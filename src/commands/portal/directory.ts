/** The directory as the portal uses it: to check who somebody is, and to set the e-mail password as that person. */
import { createHash } from "node:crypto";
import type { Config } from "../../config/settings.ts";
import { Failure } from "../../failure.ts";
import { readAccess } from "../../ldap/access.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { type LdapDirectory, LdapResultError, resultCode } from "../../ldap/directory.ts";
import { ownDn, setPassword } from "../../ldap/password-change.ts";
import { entriesOf } from "../../ldap/search.ts";
import { longestPassword } from "../../passwd/scheme.ts";
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
  | Refusal;

export interface PortalDirectory {
  signIn(login: string, password: string): Promise<SignIn>;
  /** `password` is the one that the person signs in with, `mailPassword` the new one. */
  setMailPassword(login: string, password: string, mailPassword: string): Promise<PasswordChangeResult>;
}

/** Conversations with the directory at a time: what comes on top is told to try again. Our choice. */
const mostAtOnce = 16;

export function newPortalDirectory(
  { ldap, domain }: Pick<Config, "ldap" | "domain">,
  scheme: SchemeName,
): PortalDirectory {
  let underWay = 0;

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
      return await withDirectory(access, signal, (directory) => use(directory, dn));
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
    signIn: (login, password) => as<SignIn>(login, password, async () => ({ kind: "accepted" })),
    setMailPassword: (login, password, mailPassword) =>
      as<PasswordChangeResult>(login, password, async (directory, dn) => {
        const attempt = { password: mailPassword, names: [`${login}@${domain}`] };
        if (Buffer.byteLength(mailPassword) > (scheme.scheme.longest ?? longestPassword))
          return { kind: "too-long" };
        const bare = scheme.scheme.bare !== undefined && scheme.suffix === ""; // as userdir-ldap wants it
        const text = formatStored(scheme, (await createStored(scheme.scheme, 0, attempt)).value, !bare);
        const attribute = ldap["password-attribute"];
        try {
          await setPassword(directory, { dn, attribute }, text, attempt);
        } catch (error) {
          if (!(error instanceof LdapResultError) || passing.includes(error.code)) throw error;
          return { kind: "refused", why: error.message };
        }
        return { kind: "set", digest: createHash("sha256").update(text).digest("base64") };
      }),
  };
}

/** No such entry and a wrong password look alike (RFC 4513 section 6.3.1); so does what cannot be a DN. */
const wrong: readonly number[] = [resultCode.invalidCredentials, resultCode.noSuchObject, 34, 48];

/** Results that another time may be others: busy, unavailable, and a directory in trouble. */
const passing: readonly number[] = [resultCode.timeLimitExceeded, 51, 52, 80];
