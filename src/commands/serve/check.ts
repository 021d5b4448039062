/** `tpa-submit serve --check`: says of each file that the relay needs whether it can be used, and starts nothing. */

import { lookup } from "node:dns/promises";
import type { Stats } from "node:fs";
import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { print } from "../../cli/output.ts";
import type { RouteSettings } from "../../config/route-settings.ts";
import { writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { indexLogins } from "../../passwd/logins.ts";
import { decodePasswordFile, parsePasswordFile } from "../../passwd/password-file.ts";
import { requireShortPath } from "../../server/control/server.ts";
import { nameServer } from "../../server/delivery/dns/query.ts";
import { validatingResolver } from "../../server/delivery/dns/resolver.ts";
import { newSessionPool } from "../../server/delivery/session-pool.ts";
import { readCertificate } from "../../server/submission/certificate.ts";
import { allOf, daysLeft } from "./certificates.ts";
import { controlSocket } from "./control.ts";
import { carrierFor, tlsOf } from "./delivery.ts";
import { sessionRules } from "./session-rules.ts";

/** Prints a line for each thing that was looked at; the status is 78 where one is wrong. */
export async function checkConfig(config: Config, file: string): Promise<number> {
  print(`${file}: every setting is understood\n`);
  const looks = [
    () => checkCertificate(config),
    () => checkPasswords(config),
    () => checkSpool(config),
    () => checkPermissions(config, file),
    () => checkResolver(config),
    async () => void (await sessionRules(config)),
    () => checkRoutes(config),
    () => checkControl(config),
  ];
  let status: number = exitStatus.ok;
  for (const look of looks) {
    try {
      const fine = await look();
      if (fine !== undefined) print(`${fine}\n`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      status = exitStatus.config;
      for (const line of error.message.split("\n")) process.stderr.write(`tpa-submit serve: ${line}\n`);
    }
  }
  return status;
}

async function checkCertificate({ tls }: Config): Promise<string> {
  const now = Date.now();
  const all = allOf(await readCertificate(tls));
  const expired = all.filter(({ until }) => until <= now);
  if (expired.length > 0) {
    const complaints = expired.map(
      ({ file, until }) => `${file}: expired on ${new Date(until).toISOString()}; clients would refuse it`,
    );
    throw new Failure(exitStatus.config, complaints.join("\n"));
  }
  const lines = all.map((certificate) => {
    const { file, names, until, gap } = certificate;
    const end = `${new Date(until).toISOString()}, ${daysLeft(certificate, now)} days from now`;
    const warning = gap === undefined ? "" : `\n${file}: warning: ${gap}`;
    return `${file}: certificate for ${names}, valid until ${end}${warning}`;
  });
  return lines.join("\n");
}

async function checkPasswords({ passwords: { file }, domain }: Config): Promise<string> {
  let octets: Buffer;
  try {
    octets = await readFile(file);
  } catch (error) {
    const reason = errorCode(error) === "ENOENT" ? "there is no such file" : errorText(error);
    throw new Failure(exitStatus.config, `${file}: nobody could log in (${reason}); passwords.file names it`);
  }
  const { entries, ignored } = indexLogins(parsePasswordFile(decodePasswordFile(octets)), domain);
  if (entries.size === 0) {
    throw new Failure(
      exitStatus.config,
      `${file}: nobody could log in: no line has a login and a usable hash`,
    );
  }
  const shut = ignored.map(({ number, login, reason }) => `\n${file}:${number}: ${login}: ${reason}`);
  return `${file}: ${entries.size} logins${shut.join("")}`;
}

async function checkSpool({ spool: { directory } }: Config): Promise<string> {
  try {
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return `${directory}: can be used`;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return `${directory}: will be made at the first start`;
    throw new Failure(
      exitStatus.config,
      `${directory}: cannot be used (${errorText(error)}); spool.directory names it`,
    );
  }
}

/** Opened as the relay would, so that every file and address is tried. */
async function checkRoutes(config: Config): Promise<string> {
  await carrierFor(config, newSessionPool(Date.now));
  return describeRoutes(config);
}

async function checkControl(config: Config): Promise<string> {
  const path = controlSocket(config);
  requireShortPath(path);
  const folder = dirname(path);
  const found = await stat(folder).catch((error: unknown) => {
    if (errorCode(error) === "") throw error;
    return undefined;
  });
  // The spool is made at the first start, with its socket.
  if (!found?.isDirectory() && folder !== config.spool.directory) {
    throw new Failure(
      exitStatus.config,
      `${path}: its folder is not there; make it, or name another path in control.socket`,
    );
  }
  return `${path}: will be the control socket`;
}

/** A zone that everybody knows and that is signed, to see whether signatures are checked. */
const signedZone = "org";

/** A resolver that does not validate would mean no DANE, and nobody would notice. */
async function checkResolver({ delivery }: Config): Promise<string | undefined> {
  const address = delivery["dnssec-resolver"];
  if (address === null) return undefined;
  const name = writeAddress(address);
  const answer = await validatingResolver(nameServer(address, { timeout: 5000, tries: 1 })).mx(signedZone);
  if (answer.kind === "trouble") {
    throw new Failure(
      exitStatus.config,
      `${name}: does not tell about the domain ${signedZone} (${answer.reason}); delivery.dnssec-resolver names it`,
    );
  }
  if (answer.authentic === true) return `${name}: resolves and checks signatures`;
  throw new Failure(
    exitStatus.config,
    `${name}: checks no signatures, there would be no DANE: have it validate, or set delivery.dnssec-resolver to ""`,
  );
}

// What `--check` says of how mail leaves: a line for each way, and a warning where a relay's name leads nowhere.

/** The lines, in the order in which ways are chosen. The DNS is asked for the relays' names, and nothing else is. */
export async function describeRoutes({ delivery, route }: Config): Promise<string> {
  const routes = route.map((way, index) => {
    const to = way.to.length > 0 ? ` for ${way.to.join(", ")}` : "";
    const from = way.from.length > 0 ? ` from ${way.from.join(", ")}` : "";
    return describeRoute(`[[route]] number ${index + 1}:${to}${from} goes`, way);
  });
  const rest = route.length > 0 ? "all else" : "mail";
  return (await Promise.all([...routes, describeRoute(`[delivery]: ${rest} goes`, delivery)]))
    .flat()
    .join("\n");
}

async function describeRoute(what: string, way: RouteSettings): Promise<readonly string[]> {
  const relays = way.relay.map((relay) => written(relay, way)).join(", else ");
  const login = way["relay-user"] === "" ? "" : `, logged in as ${way["relay-user"]}`;
  const lost = await Promise.all(way.relay.map(withoutAddress));
  return [`${what} ${relays}${login}`, ...lost.flat()];
}

function written(relay: RouteSettings["relay"][number], way: RouteSettings): string {
  if (relay.kind === "file") return `to the folder ${relay.directory}`;
  const tls = `(TLS ${relay.kind === "smtps" && way.tls === "auto" ? "verified" : tlsOf(way)})`;
  if (relay.kind === "mx") return `to the MX of each domain ${tls}`;
  return `to ${relay.kind}://${writeAddress(relay)} ${tls}`;
}

/** A warning and no more: the DNS may be down for a moment. */
async function withoutAddress(relay: RouteSettings["relay"][number]): Promise<readonly string[]> {
  if (!("host" in relay)) return [];
  try {
    await lookup(relay.host);
    return [];
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [`${relay.host}: warning: it has no address (${errorCode(error)}), mail for it would wait here`];
  }
}

// Whether somebody else could change what the relay trusts, or read what it keeps secret.

interface TrustedFile {
  readonly path: string;
  readonly what: string;
  /** Nobody but the relay is to read it. */
  readonly isSecret: boolean;
}

/**
 * A line for each of the files and for the spool's folder, behind it what is to be warned of. What is not there is
 * told of elsewhere. Throws a Failure that names everything that anybody may write.
 */
export async function checkPermissions({ spool, tls, passwords }: Config, file: string): Promise<string> {
  const trusted: readonly TrustedFile[] = [
    { path: file, what: "the settings", isSecret: false },
    { path: passwords.file, what: "the password file", isSecret: true },
    ...[tls.key, ...tls.more.map(({ key }) => key)].map((path) => ({
      path,
      what: "the private key",
      isSecret: true,
    })),
    { path: spool.directory, what: "the spool", isSecret: true },
  ];
  const owner = (await statOf(spool.directory))?.uid;
  const owners = [0, process.geteuid?.(), owner];
  const lines: string[] = [];
  const faults: string[] = [];
  for (const { path, what, isSecret } of trusted) {
    const it = await statOf(path);
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

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}
