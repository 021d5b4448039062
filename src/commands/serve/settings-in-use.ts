/** The settings that the running relay goes by, and what of a new configuration it can take over. */
import type { Config } from "../../config/settings.ts";
import type { SessionPool } from "../../server/delivery/session-pool.ts";
import type { Transport } from "../../server/delivery/transport.ts";
import { retryPolicyOf, transportFor } from "./delivery.ts";
import { type SessionRules, sessionRules } from "./session-rules.ts";

/** What a reload replaces as one. */
export interface SettingsInUse {
  readonly config: Config;
  readonly rules: SessionRules;
  readonly transport: Transport;
}

export interface ReloadableSettings {
  current(): SettingsInUse;
  /**
   * Takes over what of `read` a running relay can; gives the names of what a restart alone changes. Throws a Failure, with
   * the old in use, where a file that `read` names cannot be used.
   */
  replace(read: Config): Promise<readonly string[]>;
}

/** The settings of `first`; mail leaves by the sessions of `pool`. Throws a Failure as `replace` does. */
export async function openSettings(first: Config, pool: SessionPool): Promise<ReloadableSettings> {
  const put = async (config: Config): Promise<SettingsInUse> => ({
    config,
    rules: await sessionRules(config),
    transport: await transportFor(config, pool),
  });
  let inUse = await put(first);
  return {
    current: () => inUse,
    async replace(read) {
      inUse = await put(keeping(first, read));
      return changedForRestart(first, read);
    },
  };
}

/** What a running relay cannot change, by the words for it. */
const restartOnly: readonly (readonly [string, (config: Config) => unknown])[] = [
  ["hostname", ({ hostname }) => hostname],
  ["domain", ({ domain }) => domain],
  ["user", ({ user, group }) => [user, group]],
  ["listen", ({ listen }) => listen],
  ["passwords", ({ passwords }) => ({ ...passwords, "wrong-text": "" })], // the words go with the session's rules
  ["spool", ({ spool }) => spool],
  ["control", ({ control }) => control],
  ["portal.socket", ({ portal }) => [portal.socket, portal["socket-group"]]],
  ["history.directory", ({ history }) => history.directory],
  ["log", ({ log: target }) => target],
  ["retries and concurrency of delivery", retryPolicyOf],
];

function changedForRestart(first: Config, next: Config): readonly string[] {
  return restartOnly
    .filter(([, part]) => JSON.stringify(part(first)) !== JSON.stringify(part(next)))
    .map(([words]) => words);
}

/** `next`, but for what stays as the relay was started with. */
function keeping(first: Config, next: Config): Config {
  const { hostname, domain, user, group, listen, spool, control, log: target } = first;
  const passwords = { ...first.passwords, "wrong-text": next.passwords["wrong-text"] };
  const history = { ...next.history, directory: first.history.directory };
  return { ...next, hostname, domain, user, group, listen, passwords, spool, control, history, log: target };
}
