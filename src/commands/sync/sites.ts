/** The domains whose accounts come from the directory, each with a search and files of its own, and what they have in common. */
import { perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { countBy, filesOf, type SyncReport } from "../../ldap/sync.ts";
import type { SyncMetrics } from "./metrics.ts";

/** The configuration as each of them has it: the main domain, and the others that have a filter or a base. */
export const syncedSites = (config: Config): readonly Config[] =>
  perDomain(config).filter((site, index) => index === 0 || site.ldap.url.length > 0);

/** Reports of several domains as one. */
export function mergeReports(first: SyncReport, more: readonly SyncReport[]): SyncReport {
  if (more.length === 0) return first;
  const all = [first, ...more];
  const schemes = all.flatMap((report) =>
    [...report.schemes].flatMap(([scheme, count]) => Array<string>(count).fill(scheme)),
  );
  return {
    ...first,
    entries: all.reduce((sum, { entries }) => sum + entries, 0),
    logins: all.reduce((sum, { logins }) => sum + logins, 0),
    schemes: countBy(schemes),
    exclusions: all.flatMap(({ exclusions }) => exclusions),
    remarks: all.flatMap(({ remarks }) => remarks),
    others: more.flatMap(filesOf),
  };
}

type RunMetrics = Pick<SyncMetrics, "succeeded" | "unchanged" | "failed">;

/**
 * The metrics for each of `count` domains that are asked by themselves. All is well where it is well with each: as long as one
 * fails, the others cannot say so.
 */
export function sharedMetrics(metrics: RunMetrics, count: number): readonly RunMetrics[] {
  if (count === 1) return [metrics];
  const reports = new Map<number, SyncReport>();
  const failing = new Set<number>();
  let last: Promise<void> = Promise.resolve();

  /** One after the other: what is told last is what stays in the file. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  /** Does `wellDone` where all are well. */
  async function tell(now: number, wellDone: (merged: SyncReport) => Promise<void>): Promise<void> {
    if (failing.size > 0) return metrics.failed(now);
    const [first, ...more] = [...reports.values()];
    if (first !== undefined && reports.size === count) await wellDone(mergeReports(first, more));
  }

  async function tellAll(began: number, now: number): Promise<void> {
    await tell(now, async (merged) => {
      await metrics.succeeded(merged, began, now);
      for (const [index, report] of reports) reports.set(index, asUnchanged(report));
    });
  }

  return Array.from({ length: count }, (_, index) => ({
    succeeded: (report, began, now) =>
      inTurn(async () => {
        reports.set(index, report);
        failing.delete(index);
        await tellAll(began, now);
      }),
    unchanged: (now) =>
      inTurn(async () => {
        failing.delete(index);
        await tell(now, () => metrics.unchanged(now));
      }),
    failed: (now) =>
      inTurn(async () => {
        failing.add(index);
        await metrics.failed(now);
      }),
  }));
}

/** What was replaced is told once. */
function asUnchanged(report: SyncReport): SyncReport {
  const { passwords, aliases, keys } = report;
  return {
    ...report,
    passwords: { ...passwords, result: "unchanged" },
    aliases: aliases && { ...aliases, result: "unchanged" },
    keys: keys && { ...keys, result: "unchanged" },
  };
}
