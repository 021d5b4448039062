/**
 * How mail fares with those whose hosts it goes to: the providers of the table, and for the rest the domain under which
 * their hosts are registered. Pure.
 */
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

interface ProviderCounts {
  delivered: number;
  deferred: number;
  refused: number;
  readonly reasons: Map<ReturnType<typeof replyClassOf>, number>;
  readonly delays: Map<number, number>;
  readonly tls: { verified: number; unverified: number; clear: number };
}

/** `organisationOf` gives the domain under which a host is registered, undefined where it has none. */
export function newProviderTally(organisationOf: (host: string) => string | undefined): ProviderTally {
  const providers = new Map<string, ProviderCounts>();
  const countsOf = (name: string): ProviderCounts => {
    const known = providers.get(name) ?? {
      ...{ delivered: 0, deferred: 0, refused: 0, reasons: new Map(), delays: new Map() },
      tls: { verified: 0, unverified: 0, clear: 0 },
    };
    providers.set(name, known);
    return known;
  };
  return {
    add: (event) => {
      if (event.event === "delivery") count(countsOf(nameFor(event, organisationOf)), event);
    },
    summaries: () => [...providers].map(summaryOf).sort((one, other) => trafficOf(other) - trafficOf(one)),
  };
}

const trafficOf = ({ delivered, deferred, refused }: ProviderSummary): number =>
  delivered + deferred + refused;

/** The provider; where no host was found, that of the recipient's domain. */
function nameFor(
  { reply, relay, to }: ProviderDelivery,
  organisationOf: (host: string) => string | undefined,
): string {
  const host = (hostOf(reply, relay) || to.slice(to.lastIndexOf("@") + 1)).toLowerCase();
  return providerOf(host)?.name ?? organisationOf(host) ?? host;
}

function count(counts: ProviderCounts, { reply, relay, delays, tls }: ProviderDelivery): void {
  const status = deliveryStatus(reply);
  if (status !== "sent") {
    counts[status === "bounced" ? "refused" : "deferred"] += 1;
    addTo(counts.reasons, replyClassOf(reply, relay));
    return;
  }
  counts.delivered += 1;
  addTo(counts.delays, classOf(delays.reduce((sum, part) => sum + part, 0)));
  counts.tls[tls === undefined ? "clear" : tls.startsWith("Verified") ? "verified" : "unverified"] += 1;
}

function addTo<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function summaryOf([name, { reasons, delays, delivered, ...rest }]: readonly [
  string,
  ProviderCounts,
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
