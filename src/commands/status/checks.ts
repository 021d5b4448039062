/**
 * What `tpa-submit check` warns of, for the status: its quick checks, which ask no other host. What the status tells
 * itself is left to it.
 */
import { lookApart } from "../check/apart.ts";
import { adviceOf, wordsOf } from "../check/report.ts";
import { type CheckId, type CheckRowResult, checkIds, rowOf } from "../check/rows.ts";

/** What is not well in one of the checks. */
export interface CheckConcern {
  readonly check: CheckId;
  /** The first finding; "" where it is not to be told. */
  readonly words: string;
  /** What to do. */
  readonly advice: string;
  /** Findings besides. */
  readonly more: number;
}

export interface StatusChecks {
  readonly concerns: readonly CheckConcern[];
  /** What could not be judged, and why. */
  readonly unjudged: readonly { readonly check: CheckId; readonly reason: string }[];
}

/** Those that are made: no other host is asked, and the status asks the relay itself. */
export const statusCheckIds: readonly CheckId[] = checkIds.filter(
  (id) => rowOf(id).network !== true && id !== "relay",
);

/** Milliseconds that each of them has. Our choice: who asks for the status waits for it. */
const patience = 2_000;

/** Makes them, for the configuration in `file`. Resolves within seconds, whatever the disk does. */
export async function lookForStatus(file: string): Promise<StatusChecks> {
  return checksIn(await lookApart({ file, ids: statusCheckIds, patience }));
}

/** What a status tells of `findings`. */
export function checksIn(findings: readonly CheckRowResult[]): StatusChecks {
  const concerns = statusCheckIds.flatMap((check): readonly CheckConcern[] => {
    const [first, ...others] = findings
      .filter((one) => one.check === check)
      .filter(({ state }) => state === "failed" || state === "warning")
      .sort((one, other) => gradeOf(other) - gradeOf(one));
    if (first === undefined) return [];
    return [{ check, words: wordsOf(first), advice: adviceOf(first) ?? "", more: others.length }];
  });
  const unjudged = findings
    .filter(({ check, state }) => state === "unknown" && statusCheckIds.includes(check))
    .map((one) => ({ check: one.check, reason: wordsOf(one) }));
  return { concerns, unjudged };
}

const gradeOf = ({ state }: CheckRowResult): number => (state === "failed" ? 1 : 0);
