/** How mail leaves, as the configuration has it. */
import { lookup, Resolver as SystemResolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { writeAddress } from "../../config/kinds.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { type Carrier, folderCarrier, mxCarrier, relayCarrier } from "../../server/delivery/carrier.ts";
import { asking } from "../../server/delivery/dns-query.ts";
import { type Resolver, remembering, unsigned } from "../../server/delivery/resolver.ts";
import { type Credentials, type Terms, timeouts } from "../../server/delivery/terms.ts";
import { validating } from "../../server/delivery/validating.ts";

/** Throws a Failure where the files for the relay's login cannot be read. */
export async function carrierFor({ delivery, hostname }: Config): Promise<Carrier> {
  const { relay } = delivery;
  if (relay.kind === "file") return folderCarrier(relay.directory, Date.now);
  const credentials = await credentialsOf(delivery);
  const terms: Terms = {
    protocol: relay.kind === "lmtp" ? "lmtp" : "smtp",
    hostname,
    tls: tlsOf(delivery),
    ...(delivery["relay-ca"] !== "" && { ca: await read(delivery["relay-ca"], "delivery.relay-ca") }),
    timeouts,
    ...(credentials && { credentials }),
    now: Date.now,
  };
  if (relay.kind !== "mx") {
    return relayCarrier({ ...relay, implicit: relay.kind === "smtps" }, addressesOf, terms, Date.now);
  }
  const routing = {
    resolver: remembering(resolverFor(delivery), Date.now),
    hostname,
    port: delivery.port,
    privateAddresses: delivery["private-addresses"],
    random: Math.random,
  };
  return mxCarrier(routing, terms, Date.now);
}

async function credentialsOf(delivery: Config["delivery"]): Promise<Credentials | undefined> {
  const user = delivery["relay-user"];
  if (user === "") return undefined;
  const file = delivery["relay-password-file"];
  const [password = ""] = (await read(file, "delivery.relay-password-file")).split(/\r?\n/);
  if (password !== "") {
    return { user, password, setIn: "delivery.relay-user and delivery.relay-password-file" };
  }
  throw new Failure(
    exitStatus.config,
    `${file}: expected the password on its first line, found nothing there`,
  );
}

function tlsOf({ relay, tls, ...delivery }: Config["delivery"]): Terms["tls"] {
  if (tls !== "auto") return tls;
  // A password is shown to nobody whose name is not proven, and smtps promises as much.
  return relay.kind === "smtps" || delivery["relay-user"] !== "" ? "verified" : "opportunistic";
}

async function read(file: string, setting: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      exitStatus.config,
      `${file}: cannot be read (${errorText(error)}); ${setting} names it`,
    );
  }
}

/** Where a validating resolver is named, it answers everything: what it proves is of no use beside what it does not. */
function resolverFor({ nameservers, ...delivery }: Config["delivery"]): Resolver {
  const validator = delivery["dnssec-resolver"];
  if (validator !== null) return validating(asking(validator));
  const system = new SystemResolver({ timeout: 5000, tries: 3 });
  if (nameservers.length > 0) system.setServers(nameservers.map(writeAddress));
  return unsigned(system);
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
