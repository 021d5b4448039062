/** The service itself: who it runs as, and what systemd needs before it can start it. */
import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { type Look, orUndefined, type ServiceUser } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";

export const service: Look = async ({ config, user, unit }) => {
  const runsAs = fine("", `runs as ${user.name} (${user.because})`);
  const own = process.geteuid?.();
  const found: Judgement[] = [runsAs];
  if (own !== undefined && own !== 0 && own !== user.uid) {
    found.push(
      warn(
        "",
        `looked at as the user ${own}: only root can look as ${user.name}`,
        "Run this check as root, or as that user.",
      ),
    );
  }
  const fault = userFault(config, user);
  if (fault) found.push(fault);
  for (const folder of unit?.neededFolders ?? []) {
    if ((await orUndefined(stat(folder))) === undefined) {
      found.push(
        fail(
          folder,
          `is not there, and systemd does not start the service without it: ReadWritePaths= of ${unit?.path ?? ""}`,
          "Make the folder: systemd-tmpfiles --create makes the package's own.",
        ),
      );
    }
  }
  return found;
};

/** The relay says the same when it is started. */
function userFault({ user: wanted }: Config, user: ServiceUser): Judgement | undefined {
  if (user.uid === 0 && wanted === "") {
    return fail("user", "names nobody, and the relay does not run as root", 'Set user = "tpa-submit".');
  }
  if (user.uid === 0 || ["", "root", user.name, String(user.uid)].includes(wanted)) return undefined;
  return fail(
    "user",
    `names ${wanted}, whom ${user.name} cannot become`,
    'Set user to "", as the unit has one.',
  );
}
