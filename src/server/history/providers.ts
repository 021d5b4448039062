/**
 * How mail fares with those whose hosts it goes to: the providers of the table, and for the rest the domain under which
 * their hosts are registered. Counted by host, and put together when somebody asks. Pure.
 */
import { isIP } from "node:net";
import { hostOf, replyClassOf } from "../../smtp/known-replies/explain.ts";
import { providerOf } from "../../smtp/providers.ts";
import { deliveryStatus } from "../log/events.ts";
import type { HistoryEvent } from "./event.ts";

export interface ProviderSummary {
  readonly name: string;
  /** Recipients that were taken, put off (each try) and refused for good. */
  readonly delivered: number;
  readonly deferred: number;
  readonly refused: number;
  /** Why, by the classes of known replies, the most frequent first. */
  readonly reasons: readonly { readonly class: ReturnType<typeof replyClassOf>; readonly times: number }[];
  /** Seconds until they had it, of those delivered: half of them took no longer, 95 of 100; absent where none was. */
  readonly delay?: { readonly median: number; readonly percentile95: number };
  /** Of those delivered, by how the session was secured. */
  readonly tls: { readonly verified: number; readonly unverified: number; readonly clear: number };
}

/** Gives the domain under which a host is registered, undefined where it has none. */
export type OrganisationOf = (host: string) => string | undefined;

export interface ProviderTally {
  readonly add: (event: HistoryEvent) => void;
  /** All providers, those with the most traffic first. */
  readonly summaries: () => readonly ProviderSummary[];
}

type ProviderDelivery = Extract<HistoryEvent, { readonly event: "delivery" }>;

/** Delays are counted in classes, each so much longer than the one before: memory does not grow with the traffic. */
const step = 1.1;
/** Seconds; below it all delays are the same. */
const shortest = 0.01;

const classOf = (seconds: number): number =>
  Math.round(Math.log(Math.max(seconds, shortest) / shortest) / Math.log(step));
const delayOf = (index: number): number => shortest * step ** index;

interface HostCounts {
  delivered: number;
  deferred: number;
  refused: number;
  readonly reasons: Map<ReturnType<typeof replyClassOf>, number>;
  readonly delays: Map<number, number>;
  readonly tls: { verified: number; unverified: number; clear: number };
}

const noCounts = (): HostCounts => ({
  ...{ delivered: 0, deferred: 0, refused: 0, reasons: new Map(), delays: new Map() },
  tls: { verified: 0, unverified: 0, clear: 0 },
});

/** Hosts that are counted one by one. Our choice: more than a site writes to in a day, and some megabytes. */
const mostHosts = 5_000;
/** All the others together. */
const others = "other hosts";

/** What was counted of hosts, and how those that were met under a name are called, by address. */
interface HostTally {
  readonly hosts: Map<string, HostCounts>;
  readonly names: Map<string, string>;
}

const newHostTally = (): HostTally => ({ hosts: new Map(), names: new Map() });

function addTo({ hosts, names }: HostTally, event: ProviderDelivery): void {
  const { reply, relay, to } = event;
  const host = (hostOf(reply, relay) || to.slice(to.lastIndexOf("@") + 1)).toLowerCase();
  const kept = hosts.has(host) || hosts.size < mostHosts ? host : others;
  const counts = hosts.get(kept) ?? noCounts();
  hosts.set(kept, counts);
  const address = addressIn(relay);
  if (address !== "" && address !== host && names.size < mostHosts) names.set(address, host);
  count(counts, event);
}

/** `192.0.2.1` of `mx.example.net[192.0.2.1]:25`. */
const addressIn = (relay: string): string =>
  relay.slice(relay.indexOf("[") + 1, Math.max(0, relay.lastIndexOf("]")));

export function newProviderTally(organisationOf: OrganisationOf): ProviderTally {
  const tally = newHostTally();
  return {
    add: (event) => {
      if (event.event === "delivery") addTo(tally, event);
    },
    summaries: () => summarize([tally], organisationOf),
  };
}

/** The last hours, counted as events come. */
export interface RecentProviders {
  readonly add: (event: HistoryEvent) => void;
  /** Of the last hours before `now`; the oldest may be up to an hour short. */
  readonly at: (now: number, organisationOf: OrganisationOf) => readonly ProviderSummary[];
}

const hour = 3_600_000;

/** Counts for so many `hours`, and forgets what is older. */
export function newRecentProviders(hours: number): RecentProviders {
  const parts = new Map<number, HostTally>();
  return {
    add(event) {
      if (event.event !== "delivery") return;
      const number = Math.floor(event.at / hour);
      let part = parts.get(number);
      if (part === undefined) {
        part = newHostTally();
        parts.set(number, part);
        for (const old of parts.keys()) if (old <= number - hours) parts.delete(old);
      }
      addTo(part, event);
    },
    at(now, organisationOf) {
      const last = Math.floor(now / hour);
      const within = [...parts].filter(([number]) => number > last - hours && number <= last);
      return summarize(
        within.map(([, part]) => part),
        organisationOf,
      );
    },
  };
}

/** By whose hosts they are. A host that was called by its address, as a relay may be, is the one that has it. */
function summarize(
  tallies: readonly HostTally[],
  organisationOf: OrganisationOf,
): readonly ProviderSummary[] {
  const names = new Map(tallies.flatMap(({ names: own }) => [...own]));
  const providers = new Map<string, HostCounts>();
  for (const { hosts } of tallies) {
    for (const [given, counts] of hosts) {
      const host = isIP(given) === 0 ? given : (names.get(given) ?? given);
      const name = providerOf(host)?.name ?? organisationOf(host) ?? host;
      const sum = providers.get(name) ?? noCounts();
      providers.set(name, sum);
      join(sum, counts);
    }
  }
  return [...providers].map(summaryOf).sort((one, other) => trafficOf(other) - trafficOf(one));
}

const trafficOf = ({ delivered, deferred, refused }: ProviderSummary): number =>
  delivered + deferred + refused;

function count(counts: HostCounts, { reply, relay, delays, tls }: ProviderDelivery): void {
  const status = deliveryStatus(reply);
  if (status !== "sent") {
    counts[status === "bounced" ? "refused" : "deferred"] += 1;
    raise(counts.reasons, replyClassOf(reply, relay), 1);
    return;
  }
  counts.delivered += 1;
  raise(counts.delays, classOf(delays.reduce((sum, part) => sum + part, 0)), 1);
  counts.tls[tls === undefined ? "clear" : tls.startsWith("Verified") ? "verified" : "unverified"] += 1;
}

function join(sum: HostCounts, { reasons, delays, tls, ...rest }: HostCounts): void {
  sum.delivered += rest.delivered;
  sum.deferred += rest.deferred;
  sum.refused += rest.refused;
  for (const [reason, times] of reasons) raise(sum.reasons, reason, times);
  for (const [delay, times] of delays) raise(sum.delays, delay, times);
  sum.tls.verified += tls.verified;
  sum.tls.unverified += tls.unverified;
  sum.tls.clear += tls.clear;
}

function raise<Key>(counts: Map<Key, number>, key: Key, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

function summaryOf([name, { reasons, delays, delivered, ...rest }]: readonly [
  string,
  HostCounts,
]): ProviderSummary {
  const sorted = [...delays].sort(([one], [other]) => one - other);
  return {
    name,
    delivered,
    deferred: rest.deferred,
    refused: rest.refused,
    reasons: [...reasons]
      .map(([kind, times]) => ({ class: kind, times }))
      .sort((one, other) => other.times - one.times),
    ...(delivered > 0 && {
      delay: { median: quantile(sorted, 0.5 * delivered), percentile95: quantile(sorted, 0.95 * delivered) },
    }),
    tls: rest.tls,
  };
}

/** The delay that `rank` of them are not above. */
function quantile(sorted: readonly (readonly [number, number])[], rank: number): number {
  let seen = 0;
  for (const [index, times] of sorted) {
    seen += times;
    if (seen >= rank) return delayOf(index);
  }
  return 0;
}
