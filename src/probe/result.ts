/**
 * What became of a probe's message, the grade it gets, and the result that every output shows: a line for Nagios, a row
 * of the table, JSON, metrics, the history. Pure.
 */
import type { MessageChange } from "./arrival/changes.ts";
import type { DeliveryReport } from "./arrival/delivery-report.ts";
import type { AuthenticationResults, ReceivedHop } from "./arrival/trace.ts";
import type { ArrivedSignature } from "./signatures.ts";
import { oneLine } from "./untrusted-text.ts";

/** What is known of a message. Times are milliseconds; `after` counts from the moment of sending. */
export type Fate =
  | {
      readonly kind: "arrived";
      readonly place: "inbox" | "spam";
      readonly folder: string;
      readonly after: number;
      readonly hops: readonly ReceivedHop[];
      readonly findings: AuthenticationResults;
      readonly changes: readonly MessageChange[];
      /** Verified by the probe itself; absent where that was not asked for, or not all of the message was read. */
      readonly signatures?: readonly ArrivedSignature[];
    }
  /** The report to the sender was found. */
  | { readonly kind: "returned"; readonly after: number; readonly report: DeliveryReport }
  /** The submission server refused; `step` is the command that it refused. */
  | { readonly kind: "refused"; readonly step: string; readonly reply: string }
  /** There was no SMTP session with it, or it broke. */
  | { readonly kind: "down"; readonly reason: string }
  /** Sent, and found nowhere yet. */
  | { readonly kind: "missing"; readonly after: number }
  /** The mailbox could not be read. */
  | { readonly kind: "unseen"; readonly reason: string };

export interface Thresholds {
  /** Milliseconds. */
  readonly warn: number;
  readonly crit: number;
}

/** The exit statuses of a Nagios plugin. */
export type Grade = 0 | 1 | 2 | 3;

/** Which of two grades is worse: critical before all, then unknown, then warning. */
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

export type ProbeOutcome = keyof typeof outcomes;

/** The outcome of a fate. */
export function outcomeOf(fate: Fate, { warn, crit }: Thresholds): ProbeOutcome {
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
export function gradeOf(
  outcome: ProbeOutcome,
  own: Partial<Readonly<Record<ProbeOutcome, Grade>>> = {},
): Grade {
  return own[outcome] ?? outcomes[outcome].grade;
}

export interface ProbeResult {
  /** The route's name. */
  readonly route: string;
  /** Whose mailbox it is, such as "example.net": failures are counted by it. */
  readonly provider: string;
  /** When it was sent, in milliseconds since the epoch. */
  readonly at: number;
  readonly outcome: ProbeOutcome;
  readonly grade: Grade;
  /** Milliseconds until the submission server had accepted it; absent where it has not. */
  readonly submitted?: number;
  /** Milliseconds until it arrived; absent where it has not. */
  readonly after?: number;
  /** One line of plain text. */
  readonly words: string;
  /** What its header tells, where it arrived; not kept in the history. */
  readonly arrival?: Pick<Extract<Fate, { readonly kind: "arrived" }>, "hops" | "findings" | "changes">;
}

/** What of a route its results need. */
export interface GradedRoute extends Thresholds {
  readonly route: string;
  readonly provider: string;
  readonly grades: Partial<Readonly<Record<ProbeOutcome, Grade>>>;
}

/** The result of a message that was sent at `at` and met `fate`. */
export function resultOf(judged: GradedRoute, fate: Fate, at: number, submitted?: number): ProbeResult {
  const { route, provider, grades } = judged;
  const outcome = outcomeOf(fate, judged);
  return {
    route,
    provider,
    at,
    outcome,
    grade: gradeOf(outcome, grades),
    ...(submitted !== undefined && { submitted }),
    ...(fate.kind === "arrived" && { after: fate.after }),
    words: oneLine(wordsOf(fate, outcome)),
    ...(fate.kind === "arrived" && {
      arrival: { hops: fate.hops, findings: fate.findings, changes: fate.changes },
    }),
  };
}

function wordsOf(fate: Fate, outcome: ProbeOutcome): string {
  switch (fate.kind) {
    case "arrived": {
      const where = fate.place === "spam" ? `in the spam folder ${fate.folder}` : `in ${fate.folder}`;
      return `${where} after ${seconds(fate.after)}${outcome === "late" ? ", which is late" : outcome === "overdue" ? ", which is too late" : ""}`;
    }
    case "returned": {
      const { diagnostic, status, reporter } = fate.report;
      const said = diagnostic || status || "without a reason";
      return `returned after ${seconds(fate.after)}${reporter === "" ? "" : ` by ${reporter}`}: ${said}`;
    }
    case "refused":
      return `refused at ${fate.step}: ${fate.reply}`;
    case "down":
      return `not to be submitted: ${fate.reason}`;
    case "missing":
      return outcome === "lost"
        ? `lost: not there after ${seconds(fate.after)}`
        : `on its way for ${seconds(fate.after)}`;
    case "unseen":
      return fate.reason;
  }
}

/** `3.2 s` below ten seconds, `42 s` above, minutes from two of them on. */
export function seconds(milliseconds: number): string {
  const count = milliseconds / 1000;
  if (count < 10) return `${count.toFixed(1)} s`;
  return count < 120 ? `${Math.round(count)} s` : `${Math.round(count / 60)} min`;
}
