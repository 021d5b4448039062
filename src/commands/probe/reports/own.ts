/** Which addresses are ours, by what the command line and the relay's configuration say. */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { usageMistake } from "../../../cli/options.ts";
import { readConfig } from "../../../config/config-file.ts";
import { network } from "../../../config/setting-types.ts";
import { errorCode, exitStatus, Failure } from "../../../failure.ts";
import { line } from "./options.ts";

/** Whether an address is one of `own`, which are networks: "192.0.2.10/32". Undefined where there are none. */
export function ownership(own: readonly string[]): ((address: string) => boolean) | undefined {
  if (own.length === 0) return undefined;
  const all = new BlockList();
  for (const { address, prefix } of own.flatMap((text) => network.read(text) ?? []))
    all.addSubnet(address, prefix, familyOf(address));
  return (address) => isIP(address) !== 0 && all.check(address, familyOf(address));
}

/** The networks that were named; undefined where none was. Throws a Failure for what is no address and has none. */
export async function ownAddresses(
  named: readonly string[],
  config: string | undefined,
): Promise<readonly string[] | undefined> {
  const all = [...named, ...(config === undefined ? [] : await addressesIn(config))];
  if (all.length === 0) return undefined;
  const own: string[] = [];
  for (const text of all) {
    const found = network.read(text);
    const networks = found ? [found] : await resolved(text);
    own.push(...networks.map(({ address, prefix }) => `${address}/${prefix}`));
  }
  return own;
}

const familyOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4");

async function addressesIn(file: string): Promise<readonly string[]> {
  const config = await readConfig(file);
  const routes = [config.delivery, ...config.route];
  return [config.hostname, ...routes.flatMap((route) => route["source-addresses"] ?? [])];
}

async function resolved(name: string) {
  if (!/^[a-z0-9](?:[a-z0-9_-]|\.(?=[a-z0-9_]))*$/i.test(name) || /^[\d.]+$/.test(name))
    throw usageMistake(line.name, `--own: "${name}" is no address, network or host name`);
  try {
    const found = await lookup(name, { all: true });
    return found.map(({ address }) => ({ address, prefix: isIP(address) === 6 ? 128 : 32 }));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.unavailable, `--own: ${name} has no address (${errorCode(error)})`);
  }
}
