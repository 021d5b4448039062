/**
 * Root's rights, which the relay needs for one thing only, the ports below 1024: it binds, then becomes the user that the
 * configuration names, before it opens anything else and before any client is listened to.
 */

import { bindEarly, type ListenAddress } from "../../bound-socket.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { configuredUser } from "../check/service-user.ts";
import { become, currentUser } from "../system-user.ts";
import type { ListenAddresses } from "./systemd.ts";

/**
 * The addresses, bound where that had to be done before. Throws a Failure where this process is root and shall not be told
 * so, or is somebody else than it shall be.
 */
export async function dropPrivileges(
  config: Pick<Config, "user" | "group">,
  addresses: ListenAddresses,
): Promise<ListenAddresses> {
  const { user } = config;
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && user === "") {
    throw new Failure(
      exitStatus.config,
      'the relay does not run as root: name a user for it to become, as in user = "tpa-submit"; user = "root" lets it stay',
    );
  }
  if (user === "" || user === "root") return addresses;
  const wanted = await configuredUser(config);
  if (wanted.uid === process.geteuid?.()) return addresses;
  if (!isRoot) {
    const { name } = await currentUser();
    throw new Failure(
      exitStatus.noPermission,
      `user names ${wanted.name}, but the relay was started as ${name}; start it as root or as ${wanted.name}`,
    );
  }
  const bound = {
    submission: await bindAll("listen.submission", addresses.submission),
    submissions: await bindAll("listen.submissions", addresses.submissions),
    http: addresses.http && (await bindEarly("listen.http", addresses.http, { ipv6Only: false })),
  };
  become(wanted);
  return bound;
}

async function bindAll(
  setting: string,
  addresses: readonly ListenAddress[],
): Promise<readonly ListenAddress[]> {
  const bound: ListenAddress[] = [];
  for (const address of addresses) bound.push(await bindEarly(setting, address, { ipv6Only: true }));
  return bound;
}
