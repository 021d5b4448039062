/**
 * How TLS with each domain's hosts went, counted by day (UTC), for the reports of RFC 8460. It is in memory, bounded, and
 * from time to time in a small file of the spool: what a crash loses is a few minutes of counts, and no mail.
 */
import type { DemandedTls, TlsObservation } from "../delivery/tls/observation.ts";

export interface TlsTally {
  /** Counts one session. */
  readonly add: (observation: TlsObservation) => void;
  /** The days that are over and still to be reported, with what was counted, the oldest first. */
  due(): readonly DomainDay[];
  /** Takes a domain's day out, to be reported or because nobody wants to hear of it. */
  take(day: string, domain: string): void;
  /** Whether anything has changed since this was last asked. */
  hasChanged(): boolean;
  text(): string;
}

/** What was counted of one domain in one day. */
export interface DomainDay {
  /** "2026-11-29" */
  readonly day: string;
  readonly domain: string;
  readonly policies: readonly PolicyCount[];
}

export interface PolicyCount {
  readonly demanded: DemandedTls;
  readonly good: number;
  readonly bad: number;
  readonly failures: readonly TlsFailureCount[];
}

export interface TlsFailureCount {
  readonly type: string;
  readonly code: string;
  readonly host: string;
  readonly address: string;
  readonly count: number;
}

/** Our choices: more than a small sender has, and little on the disk whatever domains do. */
const mostDomains = 2000;
const mostPolicies = 8;
const mostFailures = 30;
/** Days for which a report is tried (RFC 8460 section 3 wants one a day). */
const mostDays = 2;
/** Characters of a policy's strings together. */
const longestStrings = 4000;

const day = 86_400_000;

export const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

/** A tally that goes on from `text`, what an earlier one gave; `now` is in milliseconds since the epoch. */
export function newTlsTally(text: string, now: () => number): TlsTally {
  /** By day and domain. */
  const counted = new Map<string, DomainDay>();
  let changed = false;
  for (const one of domainDaysIn(text)) counted.set(keyOf(one.day, one.domain), one);

  function forgetOld(): void {
    const oldest = dayOf(now() - mostDays * day);
    for (const [key, one] of counted) {
      if (one.day >= oldest) continue;
      counted.delete(key);
      changed = true;
    }
  }

  return {
    add(observation) {
      const { domain } = observation;
      const today = dayOf(now());
      const key = keyOf(today, domain);
      const known = counted.get(key);
      if (known === undefined && countOf(today) >= mostDomains) return;
      const before = known ?? { day: today, domain, policies: [] };
      counted.set(key, { ...before, policies: withObservation(before.policies, observation) });
      changed = true;
    },
    due() {
      forgetOld();
      const today = dayOf(now());
      return [...counted.values()]
        .filter((one) => one.day < today)
        .sort((one, other) => (one.day < other.day ? -1 : 1));
    },
    take(which, domain) {
      changed = counted.delete(keyOf(which, domain)) || changed;
    },
    hasChanged() {
      const had = changed;
      changed = false;
      return had;
    },
    text: () => `${JSON.stringify({ domains: [...counted.values()] })}\n`,
  };

  function countOf(which: string): number {
    let count = 0;
    for (const one of counted.values()) if (one.day === which) count++;
    return count;
  }
}

const keyOf = (which: string, domain: string): string => `${which} ${domain}`;

function withObservation(
  policies: readonly PolicyCount[],
  { demanded, host, address, failure }: TlsObservation,
): readonly PolicyCount[] {
  const bounded = isShort(demanded) ? demanded : { ...demanded, strings: [], hosts: [] };
  const at = policies.findIndex((one) => isSame(one.demanded, bounded));
  if (at < 0 && policies.length >= mostPolicies) return policies;
  const before = policies[at] ?? { demanded: bounded, good: 0, bad: 0, failures: [] };
  const after = failure
    ? {
        ...before,
        bad: before.bad + 1,
        failures: withFailure(before.failures, { ...failure, host, address, count: 1 }),
      }
    : { ...before, good: before.good + 1 };
  return at < 0 ? [...policies, after] : policies.with(at, after);
}

const isShort = ({ strings, hosts }: DemandedTls): boolean =>
  [...strings, ...hosts].reduce((sum, { length }) => sum + length, 0) <= longestStrings;

const isSame = (one: DemandedTls, other: DemandedTls): boolean =>
  one.type === other.type && one.strings.join("\n") === other.strings.join("\n");

function withFailure(
  failures: readonly TlsFailureCount[],
  found: TlsFailureCount,
): readonly TlsFailureCount[] {
  const at = failures.findIndex(
    ({ type, code, host, address }) =>
      type === found.type && code === found.code && host === found.host && address === found.address,
  );
  const before = failures[at];
  if (before) return failures.with(at, { ...before, count: before.count + 1 });
  return failures.length >= mostFailures ? failures : [...failures, found];
}

/** What is in the text of a tally; nothing where it is damaged: a report less is no harm. */
function domainDaysIn(text: string): readonly DomainDay[] {
  try {
    const { domains } = JSON.parse(text) as { readonly domains?: unknown };
    return Array.isArray(domains) ? domains.filter(isDomainDay).slice(0, mostDomains * (mostDays + 1)) : [];
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return [];
    throw error;
  }
}

type TallyFields<Kept> = Partial<Record<keyof Kept, unknown>>;

const isObject = (found: unknown): found is object => typeof found === "object" && found !== null;
const isText = (found: unknown): found is string => typeof found === "string";
const isCount = (found: unknown): boolean => Number.isSafeInteger(found) && Number(found) >= 0;

function isDomainDay(found: unknown): found is DomainDay {
  if (!isObject(found)) return false;
  const { day: when, domain, policies } = found as TallyFields<DomainDay>;
  const isWhole = isText(when) && /^\d{4}-\d\d-\d\d$/.test(when) && isText(domain);
  return isWhole && Array.isArray(policies) && policies.every(isPolicy);
}

function isPolicy(found: unknown): found is PolicyCount {
  if (!isObject(found)) return false;
  const { demanded, good, bad, failures } = found as TallyFields<PolicyCount>;
  if (![good, bad].every(isCount) || !Array.isArray(failures) || !isObject(demanded)) return false;
  const { type, strings, hosts } = demanded as TallyFields<DemandedTls>;
  const texts = [strings, hosts].every((one) => Array.isArray(one) && one.every(isText));
  return isText(type) && texts && failures.every(isFailure);
}

function isFailure(found: unknown): found is TlsFailureCount {
  if (!isObject(found)) return false;
  const { type, code, host, address, count } = found as TallyFields<TlsFailureCount>;
  return [type, code, host, address].every(isText) && isCount(count);
}
