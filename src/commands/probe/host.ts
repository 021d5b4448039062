/**
 * What the probe's subcommands take from this host: the clock, chance, trusted certificates, files that options name.
 */
import { randomBytes } from "node:crypto";
import { getServers } from "node:dns";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
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

/** The same, as octets. */
export async function octetsIn(file: string, named: string): Promise<Buffer> {
  try {
    return await readFile(file);
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

/** The longest wait for an explanation: our choice. */
const patience = { timeout: 2000, tries: 1 };

/**
 * What TLSA records say about a server, by the relay's own resolver and rules. `server`, else the system's first name
 * server, is asked; its word on signatures counts only where it runs on this host.
 */
export const daneBy =
  (server?: string): NonNullable<ProbeDependencies["dane"]> =>
  async (host, port, chain) => {
    const place = placeOf(server ?? getServers()[0] ?? "");
    if (place === undefined) return undefined;
    const { nameServer } = await import("../../server/delivery/dns/query.ts");
    const { validatingResolver } = await import("../../server/delivery/dns/resolver.ts");
    const { matchesTlsa } = await import("../../server/delivery/tls/dane.ts");
    const resolver = validatingResolver(nameServer(place, patience));
    const answer = await resolver.signed?.tlsa(`_${port}._tcp.${host}`);
    if (answer?.kind !== "found") return undefined;
    return {
      records: answer.values.length,
      authentic: answer.authentic === true && /^(?:127\.|::1$)/.test(place.host),
      matches: matchesTlsa(chain, answer.values, [host], Date.now()),
    };
  };

/** As node:dns writes servers: `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53`; undefined for "". */
function placeOf(server: string): { readonly host: string; readonly port: number } | undefined {
  if (server === "") return undefined;
  if (isIP(server) !== 0) return { host: server, port: 53 };
  const colon = server.lastIndexOf(":");
  return { host: server.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(server.slice(colon + 1)) };
}
