/** The settings that the running relay goes by, and what of a new configuration it can take over. */
import type { Config } from "../../config/settings.ts";
import { errorText, Failure } from "../../failure.ts";
import type { SigningKeys } from "../../server/delivery/dkim/keys.ts";
import type { SessionPool } from "../../server/delivery/session-pool.ts";
import type { StsCache } from "../../server/delivery/tls/mta-sts.ts";
import type { ObserveTls } from "../../server/delivery/tls/observation.ts";
import type { Transport } from "../../server/delivery/transport.ts";
import { log } from "../../server/log/log.ts";
import { keysOf, retryPolicyOf, signedTransport, unsignedTransport } from "./delivery.ts";
import { reportContacts, type SessionRules, sessionRules } from "./session-rules.ts";

/** What a reload replaces as one. */
export interface SettingsInUse {
  readonly config: Config;
  readonly rules: SessionRules;
  readonly transport: Transport;
  readonly contactOf: ReturnType<typeof reportContacts>;
  /** The transport without its signatures, and the keys that make them. */
  readonly unsigned: Transport;
  readonly keys: SigningKeys;
}

export interface ReloadableSettings {
  current(): SettingsInUse;
  /**
   * Takes over what of `read` a running relay can; gives the names of what a restart alone changes. Throws a Failure, with
   * the old in use, where a file that `read` names cannot be used.
   */
  replace(read: Config): Promise<readonly string[]>;
  /** Reads the DKIM keys anew, and signs with them from the next attempt on; what is wrong is logged, and the old stay. */
  renewKeys(): Promise<void>;
}

/**
 * The settings of `first`; mail leaves by the sessions of `pool`, and `observe` hears how TLS went. MTA-STS policies are kept in
 * `policyCache`, if not in the spool's folder. Throws a Failure as `replace` does.
 */
export async function openSettings(
  first: Config,
  pool: SessionPool,
  observe?: ObserveTls,
  policyCache?: StsCache,
): Promise<ReloadableSettings> {
  const put = async (config: Config): Promise<SettingsInUse> => {
    const rules = await sessionRules(config);
    const unsigned = await unsignedTransport(config, pool, observe, policyCache);
    const keys = await keysOf(config);
    const transport = await signedTransport(unsigned, config, keys);
    return { config, rules, unsigned, keys, transport, contactOf: reportContacts(config) };
  };
  let inUse = await put(first);
  let told = "";
  const tellKeys = (): void => {
    const text = keyText(inUse.keys);
    if (text !== told) logKeys(inUse.keys);
    told = text;
  };
  tellKeys();
  return {
    current: () => inUse,
    async replace(read) {
      inUse = await put(keeping(first, read));
      tellKeys();
      return changedForRestart(first, read);
    },
    async renewKeys() {
      const before = inUse;
      try {
        const keys = await keysOf(before.config);
        const transport = await signedTransport(before.unsigned, before.config, keys);
        if (inUse !== before) return; // a reload was quicker, and has read them as well
        inUse = { ...before, keys, transport };
        tellKeys();
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        log("dkim-refused", { reason: errorText(error).replaceAll("\n", "; ") });
      }
    },
  };
}

const keyText = (keys: SigningKeys): string =>
  [...keys.values()]
    .flat()
    .map(({ domain, selector, made }) => `${domain} ${selector} ${made}`)
    .join("\n");

function logKeys(keys: SigningKeys): void {
  for (const [domain, own] of keys) {
    log("dkim-keys", { domain, selectors: own.map(({ selector }) => selector).join(", ") });
  }
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
  ["tls-reports", (config) => config["tls-reports"]],
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
  const reports = { "tls-reports": first["tls-reports"] };
  const history = { ...next.history, directory: first.history.directory };
  return {
    ...next,
    ...reports,
    hostname,
    domain,
    user,
    group,
    listen,
    passwords,
    spool,
    control,
    history,
    log: target,
  };
}
