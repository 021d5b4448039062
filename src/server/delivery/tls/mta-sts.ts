/**
 * The MTA-STS policies of recipients' domains (RFC 8461): found by TXT record, fetched by HTTPS, remembered in memory
 * and on disk, renewed when the record says so and well before they end. What a domain once promised holds until it
 * ends, whoever keeps us from asking again.
 */
import { errorText } from "../../../failure.ts";
import { log, logBug } from "../../log/log.ts";
import type { Resolver } from "../route/resolver.ts";
import type { KeptPolicy, StsCache } from "./sts-cache.ts";
import type { FetchPolicy } from "./sts-fetch.ts";
import { policyId, readPolicy, type StsPolicy } from "./sts-policy.ts";

export interface StsPolicies {
  /** The policy that holds for `domain`, in A-labels; undefined where it has none. Never rejects. */
  of(domain: string): Promise<StsPolicy | undefined>;
}

const day = 86_400_000;
/** RFC 8461 section 3.3 suggests once a day. */
const renewAfter = day;
/** Our choice: a domain that nobody has written to for so long is not asked every day for ever. */
const forgetAfter = 30 * day;
/** Our choice: how long a web server that failed is left alone. */
const pause = 5 * 60_000;

/** Starts with what `cache` has. `now` is in milliseconds since the epoch. */
export async function openPolicies(
  resolver: Pick<Resolver, "txt">,
  fetchPolicy: FetchPolicy,
  cache: StsCache,
  now: () => number,
): Promise<StsPolicies> {
  const kept = new Map<string, KeptPolicy>();
  /** Until when a domain whose policy could not be had is not asked again. */
  const failed = new Map<string, number>();
  const fetching = new Map<string, Promise<void>>();
  let tended = 0;

  const holds = ({ fetched, policy }: KeptPolicy): boolean => now() < fetched + policy.maxAge * 1000;

  /** The disk's trouble costs a fetch after the next start, and no mail. */
  async function onDisk(domain: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      log("sts-unsaved", { domain, reason: errorText(error) });
    }
  }

  async function fetchNow(domain: string, id: string): Promise<void> {
    const answer = await fetchPolicy(domain);
    const read = "trouble" in answer ? { wrong: answer.trouble } : readPolicy(answer.text);
    if ("wrong" in read) {
      failed.set(domain, now() + pause);
      log("sts-trouble", { domain, reason: read.wrong, held: kept.has(domain) });
      return;
    }
    failed.delete(domain);
    const fetched = { domain, id, fetched: now(), used: kept.get(domain)?.used ?? now(), policy: read };
    const { mode, mx, maxAge } = read;
    log("sts-policy", { domain, id, mode, hosts: mx.length, seconds: maxAge });
    kept.set(domain, fetched);
    await onDisk(domain, cache.keep(fetched, "text" in answer ? answer.text : ""));
  }

  /** One at a time for each domain; who comes second waits for the first. */
  function renew(domain: string, id: string): Promise<void> {
    const running = fetching.get(domain);
    if (running) return running;
    if ((failed.get(domain) ?? 0) > now()) return Promise.resolve();
    const run = fetchNow(domain, id).finally(() => fetching.delete(domain));
    fetching.set(domain, run);
    return run;
  }

  async function idOf(domain: string): Promise<string | undefined> {
    const answer = await resolver.txt(`_mta-sts.${domain}`);
    return answer.kind === "found" ? policyId(answer.values) : undefined;
  }

  /** Once a day: forgets what has ended, renews the rest, one after the other. */
  async function tend(): Promise<void> {
    for (const [domain, until] of failed) if (until <= now()) failed.delete(domain);
    for (const one of [...kept.values()]) {
      if (!holds(one)) {
        kept.delete(one.domain);
        await onDisk(one.domain, cache.drop(one.domain));
      } else if (now() - one.used < forgetAfter && now() - one.fetched >= renewAfter) {
        await renew(one.domain, (await idOf(one.domain)) ?? one.id);
      }
    }
  }

  try {
    for (const one of await cache.all()) {
      if ("trouble" in one) log("sts-unsaved", { domain: one.domain, reason: one.trouble });
      else kept.set(one.domain, one);
    }
  } catch (error) {
    log("sts-unsaved", { domain: "*", reason: errorText(error) });
  }

  return {
    async of(domain) {
      if (now() - tended >= renewAfter) {
        tended = now();
        tend().catch((error: unknown) => logBug("renewing MTA-STS policies", error));
      }
      const id = await idOf(domain);
      const known = kept.get(domain);
      // A record that is gone does not take a promise back (section 3.1); one that has changed is a new promise.
      if (id !== undefined && (known === undefined || known.id !== id || !holds(known)))
        await renew(domain, id);
      const held = kept.get(domain);
      if (held === undefined || !holds(held)) return undefined;
      kept.set(domain, { ...held, used: now() });
      return held.policy;
    },
  };
}
