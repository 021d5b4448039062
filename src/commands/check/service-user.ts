/**
 * Who the service runs as: only as that user are permissions seen as the service meets them, groups, ACLs and read-only
 * mounts included.
 */
import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { currentUser, findUser, groupNamed, inGroup, type SystemUser, userNamed } from "../system-user.ts";
import { orUndefined, type ServiceUser } from "./context.ts";
import type { ServiceUnit } from "./unit.ts";

/**
 * The unit's user, the one that the configuration names, the owner of the spool, or else whoever asks. Throws a Failure
 * where a user or group that is named does not exist.
 */
export async function serviceUser(config: Config, unit: ServiceUnit | undefined): Promise<ServiceUser> {
  if (unit && unit.user !== "") return unitUser(unit);
  if (config.user !== "") return { ...(await configuredUser(config)), because: "user in the configuration" };
  const { directory } = config.spool;
  const owner = await orUndefined(stat(directory));
  if (owner === undefined) return { ...(await currentUser()), because: "who runs this check" };
  const user = (await findUser(String(owner.uid))) ?? {
    name: String(owner.uid),
    uid: owner.uid,
    gids: [owner.gid],
  };
  return { ...user, because: `it has ${directory}` };
}

async function unitUser({ path, user, group, supplementaryGroups }: ServiceUnit): Promise<ServiceUser> {
  const because = `User= of ${path}`;
  const found = await userNamed(user, because);
  const own = group === "" ? found : inGroup(found, await groupNamed(group, `Group= of ${path}`));
  const others: number[] = [];
  for (const name of supplementaryGroups) {
    others.push(await groupNamed(name, `SupplementaryGroups= of ${path}`));
  }
  return { ...own, gids: [...new Set([...own.gids, ...others])], because };
}

/** The user that `user` names, which is not "", with the group that `group` names. */
export async function configuredUser({ user, group }: Pick<Config, "user" | "group">): Promise<SystemUser> {
  const found = await userNamed(user, "user in the configuration");
  return group === "" ? found : inGroup(found, await groupNamed(group, "group in the configuration"));
}
