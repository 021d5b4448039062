/**
 * What became of a probe's message, and what that is worth: pure. The words and the numbers of every output
 * (a line for Nagios, a row of the table, JSON, metrics, history) come from these rows.
 */
import type { Change } from "./arrival/changes.ts";
import type { Findings } from "./arrival/findings.ts";
import type { Hop } from "./arrival/hops.ts";
import type { Returned } from "./arrival/returned.ts";

/** What is known of a message. Times are milliseconds; `after` counts from the moment of sending. */
export type Fate =
  | {
      readonly kind: "arrived";
      readonly place: "inbox" | "spam";
      readonly folder: string;
      readonly after: number;
      readonly hops: readonly Hop[];
      readonly findings: Findings;
      readonly changes: readonly Change[];
    }
  /** The report to the sender was found. */
  | { readonly kind: "returned"; readonly after: number; readonly report: Returned }
  /** The submission server said no; `step` is the command that it answered. */
  | { readonly kind: "refused"; readonly step: string; readonly reply: string }
  /** It could not be talked with. */
  | { readonly kind: "down"; readonly reason: string }
  /** Sent, and seen nowhere yet. */
  | { readonly kind: "missing"; readonly after: number }
  /** The mailbox could not be looked at. */
  | { readonly kind: "unseen"; readonly reason: string };

export interface Thresholds {
  /** Milliseconds. */
  readonly warn: number;
  readonly crit: number;
}

/** What Nagios counts by. */
export type Grade = 0 | 1 | 2 | 3;

/** Which of two grades is to be told: critical before all, then what is not known, then warnings. */
export const urgency: Readonly<Record<Grade, number>> = { 0: 0, 1: 1, 3: 2, 2: 3 };

/** The outcomes, each with its usual grade; a site may grade them otherwise. */
export const outcomes = {
  inbox: { grade: 0, means: "in the inbox in time" },
  pending: { grade: 0, means: "on its way, and not late yet" },
  delayed: { grade: 1, means: "not there after warn, and not lost yet" },
  late: { grade: 1, means: "in the inbox, later than warn" },
  spam: { grade: 1, means: "in the spam folder" },
  overdue: { grade: 2, means: "arrived later than crit" },
  lost: { grade: 2, means: "not there after crit" },
  returned: { grade: 2, means: "returned to the sender" },
  refused: { grade: 2, means: "refused by the submission server" },
  down: { grade: 2, means: "the submission server cannot be talked with" },
  unseen: { grade: 3, means: "the mailbox cannot be looked at" },
} as const satisfies Readonly<Record<string, { readonly grade: Grade; readonly means: string }>>;

export type Outcome = keyof typeof outcomes;

/** Which of the rows a fate is. */
export function outcomeOf(fate: Fate, { warn, crit }: Thresholds): Outcome {
  switch (fate.kind) {
    case "arrived":
      if (fate.after > crit) return "overdue";
      if (fate.place === "spam") return "spam";
      return fate.after > warn ? "late" : "inbox";
    case "missing":
      if (fate.after > crit) return "lost";
      return fate.after > warn ? "delayed" : "pending";
    default:
      return fate.kind;
  }
}

/** The grade of an outcome, by the site's own rows where it has them. */
export function gradeOf(outcome: Outcome, own: Partial<Readonly<Record<Outcome, Grade>>> = {}): Grade {
  return own[outcome] ?? outcomes[outcome].grade;
}
