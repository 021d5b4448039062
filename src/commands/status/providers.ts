/** How mail fares with each provider, out of the history. The table of domains is large, so it is loaded only here. */
import { newProviderTally, type OrganisationOf, type ProviderTally } from "../../server/history/providers.ts";

/** A tally that groups hosts of no known provider by the domain under which they are registered. */
export async function openProviderTally(): Promise<ProviderTally> {
  return newProviderTally(await organisations());
}

/** By the public suffix list. */
export async function organisations(): Promise<OrganisationOf> {
  const { getDomain } = await import("tldts");
  return (host) => getDomain(host) ?? undefined;
}
