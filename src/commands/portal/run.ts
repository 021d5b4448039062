/** `tpa-submit portal` in the foreground, until SIGTERM. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { readSchemeName, type SchemeName } from "../../passwd/stored.ts";
import { shortenAddress } from "../../server/log/privacy.ts";
import { newAuthRateLimiter } from "../../server/submission/limits/auth-rate-limiter.ts";
import { inNetworks } from "../../server/submission/proxy-protocol.ts";
import { newPortalDirectory } from "./directory.ts";
import { relayBehind } from "./door-client.ts";
import { listen, type Pair } from "./listener.ts";
import { newSeals, openKey } from "./sealed.ts";
import { openSessions } from "./sessions.ts";
import { serviceFor } from "./visit.ts";
import { portalApp } from "./web.ts";

/** Returns when it was told to stop and has stopped. Throws a Failure where it cannot start. */
export async function runPortal(file: string): Promise<number> {
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  let renew = async (): Promise<void> => undefined;
  process.on("SIGHUP", () => void renew());
  const config = await readConfig(file);
  const { portal } = config;
  if (portal.url === "")
    throw new Failure(
      exitStatus.config,
      `${file}: portal.url: expected a URL such as "https://mail.example.org", found none`,
    );
  serviceFor({ config }); // there is a door for mail
  const scheme = schemeOf(portal.scheme);
  if (portal["sign-in"] === "ldap" && config.ldap.url.length === 0)
    throw new Failure(
      exitStatus.config,
      `${file}: ldap.url: expected a directory, where portal.sign-in is "ldap"`,
    );
  if (!config.ldap.starttls && config.ldap.url.some((url) => url.startsWith("ldap:")))
    throw new Failure(
      exitStatus.config,
      `${file}: ldap.starttls: expected true: people's passwords would go to ${config.ldap.url.join(", ")} in the clear`,
    );
  const pair = await readPair(portal);
  const seals = newSeals(await openKey(portal.state));
  const app = portalApp({
    config,
    seals,
    sessions: await openSessions(portal.state, seals, portal, Date.now),
    directory: newPortalDirectory(config, scheme, Date.now),
    relay: relayBehind(portal.socket, say),
    limiter: newAuthRateLimiter(Date.now, randomBytes(32)),
    isProxy: inNetworks(portal.proxies),
    checks: new Map(),
    now: Date.now,
    pause: (milliseconds) => pause(milliseconds),
    shown: config.log.privacy === "shortened" ? shortenAddress : (client) => client,
    say,
    report: sayFault,
  });
  const listener = await listen(portal.listen, pair, {
    origin: portal.url,
    answer: (request, peer) => app.fetch(request, { peer }),
    report: sayFault,
    isProxy: inNetworks(portal.proxies),
  });
  const { address, port } = listener.address;
  say(
    `listening on ${pair === undefined ? "http" : "https"}://${address.includes(":") ? `[${address}]` : address}:${port} for ${portal.url}`,
  );
  renew = async () => {
    try {
      const next = await readPair(portal);
      if (next) listener.replacePair(next);
      say("certificate read again; other settings wait for a restart");
    } catch (error) {
      say(`the certificate in use stays: ${errorText(error)}`);
    }
  };
  await stopped;
  await listener.close();
  return exitStatus.ok;
}

function sayFault(error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  say(`a fault of the program itself; please report these lines:\n${stack}`);
}

function say(text: string): void {
  for (const line of text.split("\n")) process.stderr.write(`tpa-submit portal: ${line}\n`);
}

function schemeOf(name: string): SchemeName {
  const found = readSchemeName(name);
  if (found && found.scheme.weakness === "") return found;
  throw new Failure(
    exitStatus.config,
    `portal.scheme: expected one that is not weak, such as "BLF-CRYPT" or "ARGON2ID", found ${JSON.stringify(name)}; tpa-submit passwd -l lists them`,
  );
}

/** Undefined behind a proxy. */
async function readPair({ certificate, key }: Config["portal"]): Promise<Pair | undefined> {
  if (certificate === "") return undefined;
  return { cert: await read("portal.certificate", certificate), key: await read("portal.key", key) };
}

async function read(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const status = errorCode(error) === "ENOENT" ? exitStatus.noInput : exitStatus.noPermission;
    throw new Failure(status, `${setting}: ${path}: ${errorText(error)}`);
  }
}
