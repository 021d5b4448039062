/** How to reach a directory and log in: the settings of `[ldap]`, with the certificates and the password they name. */
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";

/** As whom to log in. EXTERNAL is who the Unix socket or the client certificate says one is (RFC 4422 appendix A). */
export type LdapLogin =
  | { readonly kind: "simple"; readonly dn: string; readonly password: string }
  | { readonly kind: "external" }
  | { readonly kind: "anonymous" };

/** Where the directory is and as whom to log in. {@link readAccess} makes it from the settings. */
export interface LdapAccess {
  /** Tried in this order until one can be reached. */
  readonly urls: readonly string[];
  /** Whether ldap:// becomes TLS before anything else is sent. */
  readonly starttls: boolean;
  /** Whom to trust, and our own certificate, if any. */
  readonly context: SecureContext;
  readonly login: LdapLogin;
  /** Milliseconds: for one step, and for everything from the first to the last. */
  readonly timeout: number;
  readonly deadline: number;
}

/** The settings that matter here, as `[ldap]` names them; "" is none, times are milliseconds. */
export interface AccessSettings {
  readonly url: readonly string[];
  readonly starttls: boolean;
  readonly ca: string;
  readonly "client-certificate": string;
  readonly "client-key": string;
  readonly "bind-dn": string;
  readonly "bind-password-file": string;
  readonly timeout: number;
  readonly deadline: number;
}

/**
 * Reads the files. `login` is somebody else to log in as than the settings say, such as the person whose password
 * is changed. Throws a Failure (78, 66 or 77) that names the setting.
 */
export async function readAccess(settings: AccessSettings, login?: LdapLogin): Promise<LdapAccess> {
  if (settings.url.length === 0) {
    throw new Failure(
      exitStatus.config,
      'ldap.url: expected a directory such as "ldaps://db.example.org", found none',
    );
  }
  return {
    urls: settings.url,
    starttls: settings.starttls,
    context: await readContext(settings),
    login: login ?? (await readLogin(settings)),
    timeout: settings.timeout,
    deadline: settings.deadline,
  };
}

/** With a DN: its password. Without: EXTERNAL where the connection itself says who we are, else anonymous. */
async function readLogin(settings: AccessSettings): Promise<LdapLogin> {
  const dn = settings["bind-dn"];
  if (dn !== "") return { kind: "simple", dn, password: await readPassword(settings["bind-password-file"]) };
  const known =
    settings["client-certificate"] !== "" || settings.url.every((url) => url.startsWith("ldapi:"));
  return { kind: known ? "external" : "anonymous" };
}

async function readPassword(path: string): Promise<string> {
  if (path === "") {
    throw new Failure(
      exitStatus.config,
      "ldap.bind-password-file: expected a file with the password of ldap.bind-dn",
    );
  }
  const password = (await read("ldap.bind-password-file", path)).replace(/\r?\n$/, "");
  if (password === "") {
    throw new Failure(
      exitStatus.config,
      `ldap.bind-password-file: ${path} is empty: expected one line, the password`,
    );
  }
  return password;
}

async function readContext(settings: AccessSettings): Promise<SecureContext> {
  const files = { ca: settings.ca, cert: settings["client-certificate"], key: settings["client-key"] };
  const names = { ca: "ldap.ca", cert: "ldap.client-certificate", key: "ldap.client-key" } as const;
  const named = (["ca", "cert", "key"] as const).filter((part) => files[part] !== "");
  const parts = await Promise.all(
    named.map(async (part) => [part, await read(names[part], files[part])] as const),
  );
  try {
    return createSecureContext({ minVersion: "TLSv1.2", ...Object.fromEntries(parts) });
  } catch (error) {
    const which = named.map((part) => names[part]).join(", ");
    throw new Failure(exitStatus.config, `${which}: not usable as PEM: ${errorText(error)}`);
  }
}

async function read(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    const status = code === "ENOENT" ? exitStatus.noInput : exitStatus.noPermission;
    throw new Failure(status, `${setting}: cannot read ${path}: ${code}`);
  }
}
