/** The traffic of a relay on this host, where there is one: probes mostly run elsewhere. */
import { readConfig } from "../../config/config-file.ts";
import { Failure } from "../../failure.ts";
import type { Traffic } from "../../probe/history/traffic.ts";
import { eventsIn } from "../../server/history/reader.ts";
import { historyDirectory, readable } from "../serve/history.ts";
import { openProviderTally } from "../status/providers.ts";

const day = 86_400_000;
/** Our choice: as long as the history keeps what came, unless told otherwise. */
const longest = 7;
/** Providers that are shown. Our choice. */
const mostShown = 15;

/**
 * What the history of the relay of `file` tells of the last days; undefined where none is kept. Without `file` it is the
 * usual one, and whatever is wrong with it is no matter: nobody asked for it.
 */
export async function trafficOf(file: string | undefined, now: number): Promise<Traffic | undefined> {
  try {
    return await read(file ?? "/etc/tpa-submit/tpa-submit.toml", now);
  } catch (error) {
    if (file === undefined && error instanceof Failure) return undefined;
    throw error;
  }
}

async function read(file: string, now: number): Promise<Traffic | undefined> {
  const config = await readConfig(file);
  if (config.history.keep === 0) return undefined;
  const days = Math.min(longest, Math.max(1, Math.round(config.history.keep / day)));
  const directory = historyDirectory(config);
  const tally = await openProviderTally();
  await readable(directory, async () => {
    for await (const event of eventsIn(directory, { since: now - days * day, until: now })) tally.add(event);
  });
  return { days, providers: tally.summaries().slice(0, mostShown) };
}
