/**
 * What receivers report once a day: DMARC aggregate reports (RFC 7489 section 7.2, RFC 9990) tell how they judged mail in
 * our name, TLS reports (RFC 8460) how the TLS of our own servers was for those who sent to us.
 */

export interface DmarcReport {
  readonly kind: "dmarc";
  /** Who reports, in one line of at most 80 characters. */
  readonly organization: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  /** Whose policy was applied. */
  readonly domain: string;
  /** p= of the policy as the receiver saw it; "" where it has none. */
  readonly policy: string;
  readonly rows: readonly DmarcRow[];
}

/** Messages that were judged alike. */
export interface DmarcRow {
  /** The address that sent them, or its network; "" where the report does not say. */
  readonly source: string;
  readonly count: number;
  /** Whether a signature, or SPF, passed for a domain that is aligned with From: either is enough for DMARC. */
  readonly dkim: boolean;
  readonly spf: boolean;
  readonly disposition: Disposition;
  /** A domain that did pass, DKIM's first, and is not aligned; "" for none. */
  readonly via: string;
  /** Why the receiver did not do as the policy says, as it words it; "" for none. */
  readonly reason: string;
}

export const dispositions = ["none", "quarantine", "reject"] as const;
export type Disposition = (typeof dispositions)[number];

export interface TlsReport {
  readonly kind: "tls";
  readonly organization: string;
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly policies: readonly TlsPolicyResult[];
}

export interface TlsPolicyResult {
  readonly domain: string;
  /** "sts", "tlsa", "no-policy-found", or what else the report says. */
  readonly type: string;
  /** Sessions. */
  readonly good: number;
  readonly bad: number;
  readonly failures: readonly ReportedTlsFailure[];
}

export interface ReportedTlsFailure {
  /** As RFC 8460 section 4.3 names it: "certificate-expired". */
  readonly type: string;
  /** Of ours, as the report names it; "" where it does not. */
  readonly mx: string;
  readonly count: number;
}

export type Report = DmarcReport | TlsReport;

/** A report, or what looks like one, that is not read: `message` says why in a few words. */
export class Unreadable extends Error {}

/** Our choices: far more than any honest report has, and a hostile one must cost neither time nor memory. */
export const mostInMessage = 16 * 1024 * 1024;
export const mostInAttachment = 10 * 1024 * 1024;
export const mostUnpacked = 20 * 1024 * 1024;
export const mostInJson = 4 * 1024 * 1024;
export const deepest = 24;
export const mostRows = 100_000;

const longestName = 80;

/** Strangers' words in one short line, without anything that a terminal or a plugin's output takes for more than text. */
export const plainWords = (text: string, most = longestName): string =>
  text
    .slice(0, 4 * most)
    .replace(/[\p{C}\p{Z}|]+/gu, " ")
    .trim()
    .slice(0, most);

/** A domain or host as the DNS has it; "" for anything else. */
export function plainDomain(text: string): string {
  const name = text.trim().toLowerCase().replace(/\.$/, "");
  return /^[a-z0-9_*-][a-z0-9._-]{0,252}$/.test(name) ? name : "";
}

/** Nobody sends more in a day, and sums of many stay exact. */
const mostCounted = 1e11;

export function countIn(value: unknown, what: string): number {
  const text = typeof value === "number" ? String(value) : typeof value === "string" ? value.trim() : "";
  if (!/^\d{1,16}$/.test(text)) throw new Unreadable(`${what} is no number`);
  const count = Number(text);
  if (count > mostCounted) throw new Unreadable(`${what} is too large to be true`);
  return count;
}

const day = 86_400_000;
/** DMARC was published in March 2012. */
const first = Date.UTC(2012, 0, 1);

/** Refuses a time that cannot be: clocks may be wrong by a day, and no report is of more than a quarter. */
export function checkRange(from: number, to: number, now: number): void {
  const isTrue = from >= first && to >= from && to - from <= 92 * day && to <= now + 2 * day;
  if (!isTrue) throw new Unreadable("its range of time cannot be true");
}
