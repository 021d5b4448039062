/**
 * What the probe's subcommands take from this host: the clock, chance, trusted certificates, files that options name.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { ProbeDependencies } from "../../probe/transaction/session.ts";

/** The servers of the subcommands are named, so no MX is looked up. */
export const probeDependencies: ProbeDependencies = {
  clock: () => performance.now(),
  now: Date.now,
  random: randomBytes,
  systemCa,
  route: async (domain) => [domain],
  save: () => undefined,
};

/** The CAs that this system trusts: those of $SSL_CERT_FILE or Debian's; else those that Node brings. */
export function systemCa(): string {
  for (const path of [process.env["SSL_CERT_FILE"] ?? "", "/etc/ssl/certs/ca-certificates.crt"]) {
    try {
      if (path !== "") return readFileSync(path, "utf8");
    } catch (error) {
      if (errorCode(error) === "") throw error;
    }
  }
  return rootCertificates.join("\n");
}

/** The text of `file`. Throws a Failure that begins with `named`: an option, the file, or both. */
export async function textIn(file: string, named: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${named}: ${errorText(error)}`);
  }
}

/** The line on which a secret stands. */
export const firstLine = (text: string): string => text.split(/\r?\n/)[0] ?? "";

/** Replaces the file that `option` names, for all to read. Throws a Failure. */
export async function publish(file: string, text: string, option: string): Promise<void> {
  try {
    await replaceFile(file, text, { mode: 0o644 });
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.cannotCreate, `${option}: cannot write ${file}: ${errorText(error)}`);
  }
}
