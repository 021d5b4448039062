/** Whether the service can read what the configuration names, and nobody else change it or read what is secret. */
import { constants, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode } from "../../failure.ts";
import { type CheckContext, type Look, orUndefined, whyClosed } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";
import { hiddenBy } from "./unit.ts";

interface TrustedFile {
  readonly path: string;
  readonly what: string;
  /** Nobody but the relay is to read it. */
  readonly isSecret: boolean;
}

function trustedFiles(
  { spool, tls, passwords, senders, sendmail, ssh, domains, delivery, route, ldap }: Config,
  file: string,
) {
  const plain = (path: string, what: string): TrustedFile => ({ path, what, isSecret: false });
  const secret = (path: string, what: string): TrustedFile => ({ path, what, isSecret: true });
  const named = [
    plain(file, "the settings"),
    secret(passwords.file, "the password file"),
    ...[tls, ...tls.more].flatMap(({ certificate, key }) => [
      secret(key, "the private key"),
      plain(certificate, "the certificate"),
    ]),
    plain(tls["client-ca"], "the CA of clients"),
    plain(senders.aliases, "the file of sender addresses"),
    plain(senders.local, "the file of this host's senders"),
    plain(sendmail.aliases, "the file of aliases"),
    plain(ssh.keys, "the file of SSH keys"),
    ...domains.flatMap((own) => [
      secret(own["password-file"], `the password file of ${own.name}`),
      plain(own["sender-aliases"], `the file of sender addresses of ${own.name}`),
    ]),
    ...[delivery, ...route].flatMap((way) => [
      secret(way["relay-password-file"], "the password for a relay"),
      plain(way["relay-ca"], "the CA of a relay"),
    ]),
    secret(ldap["bind-password-file"], "the password for the directory"),
    secret(ldap["client-key"], "the private key for the directory"),
    plain(ldap["client-certificate"], "the certificate for the directory"),
    plain(ldap.ca, "the CA of the directory"),
    secret(spool.directory, "the spool"),
  ].filter(({ path }) => path !== "");
  return [...new Map(named.map((one) => [one.path, one])).values()];
}

/** What is not there is told of by the check that needs it. */
export const files: Look = async (context) => {
  const owner = (await orUndefined(stat(context.config.spool.directory)))?.uid;
  const trusted = [0, process.geteuid?.(), owner];
  const found: Judgement[] = [];
  for (const file of trustedFiles(context.config, context.file)) {
    found.push(...(await judgeFile(file, trusted, context)));
  }
  return found;
};

async function judgeFile(
  { path, what, isSecret }: TrustedFile,
  owners: readonly (number | undefined)[],
  { user, unit }: CheckContext,
): Promise<readonly Judgement[]> {
  const it = await statOrCode(path);
  if (typeof it === "string" && it !== "EACCES") return [];
  const closed = await whyClosed(path, constants.R_OK);
  if (closed !== undefined) {
    return [fail(path, `${what} cannot be read by the service's user ${user.name}: ${closed}`)];
  }
  if (typeof it === "string") return []; // it was opened to us meanwhile
  const hiding = unit && hiddenBy(unit.sandbox, path);
  if (hiding !== undefined) {
    return [
      fail(
        path,
        `${what} is hidden from the service by ${hiding} of ${unit?.path ?? ""}`,
        "Put it elsewhere.",
      ),
    ];
  }
  return judgeRights({ path, what, isSecret }, it, owners);
}

function judgeRights(
  { path, what, isSecret }: TrustedFile,
  it: Stats,
  owners: readonly (number | undefined)[],
): readonly Judgement[] {
  const mode = `mode 0${(it.mode & 0o7777).toString(8)}`;
  if (it.mode & 0o002) return [fail(path, `${what} can be changed by everybody (${mode}); chmod o-w it`)];
  const warnings = [
    ...(owners.includes(it.uid) ? [] : [`the user ${it.uid}, whose it is, can change it`]),
    ...(it.mode & 0o020 ? [`the group ${it.gid} can change it (${mode})`] : []),
    ...(isSecret && it.mode & 0o004 ? [`everybody can read it (${mode})`] : []),
  ];
  if (warnings.length === 0) return [fine(path, `${what} can be changed by nobody else`)];
  return warnings.map((warning) => warn(path, warning));
}

async function statOrCode(path: string): Promise<Stats | string> {
  try {
    return await stat(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    return code;
  }
}

/** The program itself, which the service's user must be able to read: a clone below /root is none of its business. */
export const program: Look = async ({ program: paths, user }) => {
  const node = fine("", `Node.js ${process.versions.node}`);
  for (const [index, path] of paths.entries()) {
    const mode = index === 0 ? constants.R_OK | constants.X_OK : constants.R_OK;
    const closed = await whyClosed(path, mode);
    if (closed !== undefined) {
      return [node, fail(path, `cannot be run by the service's user ${user.name}: ${closed}`)];
    }
  }
  return [node];
};
