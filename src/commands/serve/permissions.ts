/** Whether somebody else could change what the relay trusts, or read what it keeps secret. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode, exitStatus, Failure } from "../../failure.ts";

interface Trusted {
  readonly path: string;
  readonly what: string;
  /** Nobody but the relay is to read it. */
  readonly isSecret: boolean;
}

/**
 * A line for each of the files and for the spool's folder, behind it what is to be warned of. What is not there is
 * told of elsewhere. Throws a Failure that names everything that anybody may write.
 */
export async function permissions({ spool, tls, passwords }: Config, file: string): Promise<string> {
  const trusted: readonly Trusted[] = [
    { path: file, what: "the settings", isSecret: false },
    { path: passwords.file, what: "the password file", isSecret: true },
    ...[tls.key, ...tls.more.map(({ key }) => key)].map((path) => ({
      path,
      what: "the private key",
      isSecret: true,
    })),
    { path: spool.directory, what: "the spool", isSecret: true },
  ];
  const owner = (await found(spool.directory))?.uid;
  const owners = [0, process.geteuid?.(), owner];
  const lines: string[] = [];
  const faults: string[] = [];
  for (const { path, what, isSecret } of trusted) {
    const it = await found(path);
    if (!it) continue;
    const mode = `mode 0${(it.mode & 0o7777).toString(8)}`;
    const warnings = [
      ...(owners.includes(it.uid) ? [] : [`the user ${it.uid}, whose it is, can change it`]),
      ...(it.mode & 0o020 ? [`the group ${it.gid} can change it (${mode})`] : []),
      ...(isSecret && it.mode & 0o004 ? [`everybody can read it (${mode})`] : []),
    ];
    if (it.mode & 0o002) faults.push(`${path}: ${what} can be changed by everybody (${mode}); chmod o-w it`);
    else if (warnings.length === 0) lines.push(`${path}: ${what} can be changed by nobody else`);
    else lines.push(...warnings.map((warning) => `${path}: warning: ${warning}`));
  }
  if (faults.length > 0) throw new Failure(exitStatus.config, faults.join("\n"));
  return lines.join("\n");
}

async function found(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}
