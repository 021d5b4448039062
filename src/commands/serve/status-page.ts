/** The status page of the relay: what `tpa-submit status` tells, from what the relay knows itself. */
import type { Config } from "../../config/settings.ts";
import type { QueueHost, RelayState } from "../../server/control/protocol.ts";
import type { HtmlPage } from "../../server/log/http.ts";
import { cachedBriefly } from "../../server/spool/cached.ts";
import { domainFacts, mostShown, passwordFile, type StatusFacts } from "../status/facts.ts";
import { findings } from "../status/judge.ts";
import { statusPage, withoutNames } from "../status/page.ts";
import { organisations } from "../status/providers.ts";
import type { OpenHistory } from "./history.ts";
import type { SelfCheck } from "./self-check.ts";

export interface StatusSources {
  readonly state: () => Promise<RelayState>;
  readonly frozen: () => readonly string[];
  /** Those that share a database; none where there is none, or it is away. */
  readonly hosts: () => Promise<readonly QueueHost[]>;
  readonly history: Pick<OpenHistory, "recent" | "destinations" | "providers">;
  readonly checks: SelfCheck["latest"];
  readonly now: () => number;
}

/** The page as things stand, at most a second old. `current` is asked each time. */
export function newStatusPage(current: () => Config, sources: StatusSources): () => Promise<HtmlPage> {
  return cachedBriefly(async () => {
    const config = current();
    const facts = await factsOf(config, sources);
    return statusPage(config.listen["http-personal"] ? facts : withoutNames(facts), findings(facts));
  }, sources.now);
}

async function factsOf(
  config: Config,
  { state, frozen, hosts: hostsNow, history, checks, now }: StatusSources,
): Promise<StatusFacts> {
  const at = now();
  const relay = await state();
  const hosts = await hostsNow();
  const { messages, held, oldest } = relay;
  const recent = history.recent(at);
  const domains = await domainFacts(config);
  return {
    at,
    hostname: config.hostname,
    relay,
    passwords: await passwordFile(config),
    ...(domains && { domains }),
    queue: { messages, held, oldest: oldest ?? undefined, destinations: history.destinations(mostShown) },
    ...(hosts.length > 0 && { hosts }),
    warnAfter: config.spool["warn-after"],
    frozen: frozen(),
    blocked: [],
    activity: recent,
    top: recent?.top ?? [],
    providers: history.providers(at, await organisations()).slice(0, mostShown),
    checks: checks(),
  };
}
