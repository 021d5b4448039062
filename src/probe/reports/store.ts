/**
 * The reports that were read, as a file of lines of JSON: what was kept of each, and up to which message each folder was
 * looked at. It is replaced whole, so a crash leaves the old one or the new one. A line that is not understood is left out.
 */
import type { KeptReport } from "./condense.ts";
import { type DmarcRow, dispositions, type ReportedTlsFailure, type TlsPolicyResult } from "./report.ts";

export interface ReportStore {
  /** By their keys, the oldest first. */
  readonly reports: ReadonlyMap<string, KeptReport>;
  readonly places: ReadonlyMap<string, ReadPlace>;
  /** Our addresses and networks, "192.0.2.10/32", as they were last named. */
  readonly own: readonly string[];
}

/** What a run adds. */
export interface StoreAddition {
  readonly reports: readonly KeptReport[];
  readonly places: readonly ReadPlace[];
  /** Undefined leaves those that are known. */
  readonly own: readonly string[] | undefined;
}

/** A folder by IMAP that was looked at; `key` is a digest, so that no login stands here. */
export interface ReadPlace {
  readonly key: string;
  readonly validity: string;
  /** UID of the last message. */
  readonly last: number;
}

/** Our choices: years of reports of all receivers for some domains; a page is of 30 days. */
export const mostReports = 20_000;
const mostPlaces = 100;
const mostOwn = 1000;

export const emptyStore: ReportStore = { reports: new Map(), places: new Map(), own: [] };

/** What is in the store's text. */
export function readStore(text: string): ReportStore {
  const reports = new Map<string, KeptReport>();
  const places = new Map<string, ReadPlace>();
  let own: readonly string[] = [];
  for (const line of text.split("\n")) {
    const found = parsed(line);
    if (isReport(found)) reports.set(found.key, found);
    else if (isPlace(found)) places.set(found.key, found);
    else own = ownIn(found) ?? own;
  }
  return { reports, places, own };
}

/**
 * The store with what was read now: each report once, those that ended before `before` gone (milliseconds since the
 * epoch), and of too many the oldest. Tells how many are new.
 */
export function addedTo(
  store: ReportStore,
  { reports: found, places, own }: StoreAddition,
  before: number,
): { readonly store: ReportStore; readonly added: number } {
  const reports = new Map(store.reports);
  let added = 0;
  for (const report of found) {
    if (!reports.has(report.key)) added++;
    if (!reports.has(report.key)) reports.set(report.key, report);
  }
  const kept = [...reports.values()]
    .filter(({ to }) => to >= before)
    .sort((one, other) => one.to - other.to)
    .slice(-mostReports);
  const looked = new Map([...store.places, ...places.map((place) => [place.key, place] as const)]);
  return {
    store: {
      reports: new Map(kept.map((report) => [report.key, report])),
      places: new Map([...looked].slice(-mostPlaces)),
      own: own?.slice(0, mostOwn) ?? store.own,
    },
    added,
  };
}

export function writeStore({ reports, places, own }: ReportStore): string {
  return [{ own }, ...places.values(), ...reports.values()]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("");
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

type StoredFields<Kept> = Partial<Record<keyof Kept, unknown>>;

const isObject = (found: unknown): found is object => typeof found === "object" && found !== null;
const isText = (found: unknown): found is string => typeof found === "string";
const isCount = (found: unknown): found is number => Number.isSafeInteger(found) && Number(found) >= 0;

function ownIn(found: unknown): readonly string[] | undefined {
  if (!isObject(found) || !("own" in found)) return undefined;
  return Array.isArray(found.own) && found.own.every(isText) ? found.own : undefined;
}

function isPlace(found: unknown): found is ReadPlace {
  if (!isObject(found)) return false;
  const { key, validity, last } = found as StoredFields<ReadPlace>;
  return isText(key) && isText(validity) && isCount(last);
}

function isReport(found: unknown): found is KeptReport {
  if (!isObject(found)) return false;
  const { key, kind, organization, from, to, domain, policy, rows, policies } = found as Readonly<
    Record<string, unknown>
  >;
  if (![key, organization].every(isText) || ![from, to].every(isCount)) return false;
  if (kind === "tls") return Array.isArray(policies) && policies.every(isPolicy);
  return kind === "dmarc" && isText(domain) && isText(policy) && Array.isArray(rows) && rows.every(isRow);
}

function isRow(found: unknown): found is DmarcRow {
  if (!isObject(found)) return false;
  const { source, count, dkim, spf, disposition, via, reason } = found as StoredFields<DmarcRow>;
  const isKnown = dispositions.some((one) => one === disposition);
  const flags = [dkim, spf].every((flag) => typeof flag === "boolean");
  return isCount(count) && flags && isKnown && [source, via, reason].every(isText);
}

function isPolicy(found: unknown): found is TlsPolicyResult {
  if (!isObject(found)) return false;
  const { domain, type, good, bad, failures } = found as StoredFields<TlsPolicyResult>;
  const isWhole = [domain, type].every(isText) && [good, bad].every(isCount);
  return isWhole && Array.isArray(failures) && failures.every(isFailure);
}

function isFailure(found: unknown): found is ReportedTlsFailure {
  if (!isObject(found)) return false;
  const { type, mx, count } = found as StoredFields<ReportedTlsFailure>;
  return isText(type) && isText(mx) && isCount(count);
}
