/** What conversations of the probe's words take from this host. Their servers are named, so no way to them is looked up. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import type { World } from "../../probe/transaction/session.ts";

export const surroundings: World = {
  clock: () => performance.now(),
  now: Date.now,
  random: randomBytes,
  systemCa,
  route: async (domain) => [domain],
  save: () => undefined,
};

// The certificates that this system trusts.

/** Where Debian, and OpenSSL by its variable, keep the CAs; else those that Node brings. */
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

// Files that options and settings of the probe name: read and written whole, or told of in one line.

/** The text of `file`. Throws a Failure that begins with `named`: an option, the file, or both. */
export async function textIn(file: string, named: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${named}: ${errorText(error)}`);
  }
}

/** Where a secret stands. */
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
