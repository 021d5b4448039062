/** `tpa-submit serve --check`: says of each file that the relay needs whether it can be used, and starts nothing. */
import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { print } from "../../cli/output.ts";
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
import { carrierFor } from "./carrier.ts";
import { daysLeft, each } from "./certificates.ts";
import { controlSocket } from "./control.ts";
import { permissions } from "./permissions.ts";
import { rulesFor } from "./rules.ts";
import { describeWays } from "./ways.ts";

/** Prints a line for each thing that was looked at; the status is 78 where one is wrong. */
export async function checkConfig(config: Config, file: string): Promise<number> {
  print(`${file}: every setting is understood\n`);
  const looks = [
    () => certificate(config),
    () => passwords(config),
    () => spool(config),
    () => permissions(config, file),
    () => resolver(config),
    async () => void (await rulesFor(config)),
    () => ways(config),
    () => control(config),
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

async function certificate({ tls }: Config): Promise<string> {
  const now = Date.now();
  const all = each(await readCertificate(tls));
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

async function passwords({ passwords: { file }, domain }: Config): Promise<string> {
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

async function spool({ spool: { directory } }: Config): Promise<string> {
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
async function ways(config: Config): Promise<string> {
  await carrierFor(config, newSessionPool(Date.now));
  return describeWays(config);
}

async function control(config: Config): Promise<string> {
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
async function resolver({ delivery }: Config): Promise<string | undefined> {
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
