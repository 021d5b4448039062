/**
 * What is kept of a report: sums by source, receiver and verdict. The addresses of others are kept as their networks,
 * which is enough to see whose they are; those of our own, and those that passed in our name, as they are.
 */
import { createHash } from "node:crypto";
import type {
  DmarcReport,
  DmarcRow,
  Report,
  ReportedTlsFailure,
  TlsPolicyResult,
  TlsReport,
} from "./report.ts";

/** A report without what nobody needs any more. */
export type KeptReport = { readonly key: string } & (Omit<DmarcReport, "id"> | Omit<TlsReport, "id">);

export interface CondenseRules {
  readonly isOwn: (address: string) => boolean;
  /** An address to its network. */
  readonly shorten: (address: string) => string;
}

/** Of a report: what is beyond is summed up without its source. Our choice. */
const mostKept = 100;

export function condense(report: Report, rules: CondenseRules): KeptReport {
  const { id: _, ...rest } = report;
  const key = keyOf(report);
  if (rest.kind === "tls") return { ...rest, key, policies: policiesOf(rest.policies) };
  return { ...rest, key, rows: rowsOf(rest.rows, rules) };
}

/** By what a report is known again. An ID is unique among those of one receiver about one domain (RFC 9990 section 3.1). */
function keyOf(report: Report): string {
  const { kind, organization, id } = report;
  const about = report.kind === "dmarc" ? report.domain : "";
  return createHash("sha256")
    .update(JSON.stringify([kind, organization.toLowerCase(), id, about]))
    .digest("base64url")
    .slice(0, 22);
}

function rowsOf(rows: readonly DmarcRow[], { isOwn, shorten }: CondenseRules): readonly DmarcRow[] {
  const known = rows.map((row) => {
    const isWhole = row.dkim || row.spf || isOwn(row.source);
    return isWhole ? row : { ...row, source: shorten(row.source) };
  });
  const all = summed(known);
  if (all.length <= mostKept) return all;
  const rest = all.slice(mostKept).map((row) => ({ ...row, source: "", via: "", reason: "" }));
  return [...all.slice(0, mostKept), ...summed(rest)];
}

/** Rows that differ in nothing but their count are one; the largest first. */
function summed<Row extends { readonly count: number }>(rows: readonly Row[]): readonly Row[] {
  const sums = new Map<string, Row>();
  for (const row of rows) {
    const key = JSON.stringify({ ...row, count: 0 });
    const sum = sums.get(key);
    sums.set(key, sum ? { ...row, count: sum.count + row.count } : row);
  }
  return [...sums.values()].sort((one, other) => other.count - one.count);
}

function policiesOf(policies: readonly TlsPolicyResult[]): readonly TlsPolicyResult[] {
  return policies.slice(0, mostKept).map((policy) => ({ ...policy, failures: failuresOf(policy.failures) }));
}

function failuresOf(failures: readonly ReportedTlsFailure[]): readonly ReportedTlsFailure[] {
  return summed(failures).slice(0, mostKept);
}
