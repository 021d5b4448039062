/** What one probe of one route came to, as every output tells it: a line for Nagios, a row, a line of the history. */
import { type Fate, type Grade, gradeOf, type Outcome, outcomeOf, type Thresholds } from "./verdict.ts";

export interface Result {
  /** The route's name. */
  readonly route: string;
  /** Whose mailbox it is, such as "example.net": failures are counted by it. */
  readonly provider: string;
  /** When it was sent, in milliseconds since the epoch. */
  readonly at: number;
  readonly outcome: Outcome;
  readonly grade: Grade;
  /** Milliseconds until the submission server had taken it; absent where it has not. */
  readonly submitted?: number;
  /** Milliseconds until it arrived; absent where it has not. */
  readonly after?: number;
  /** One line of plain text. */
  readonly words: string;
  /** What its header tells, where it arrived; the history does without. */
  readonly arrival?: Pick<Extract<Fate, { readonly kind: "arrived" }>, "hops" | "findings" | "changes">;
}

/** A route as far as results are concerned. */
export interface Judged extends Thresholds {
  readonly route: string;
  readonly provider: string;
  readonly grades: Partial<Readonly<Record<Outcome, Grade>>>;
}

/** The result of a message that was sent at `at` and met `fate`. */
export function judge(judged: Judged, fate: Fate, at: number, submitted?: number): Result {
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
    words: plain(wordsOf(fate, outcome)),
    ...(fate.kind === "arrived" && {
      arrival: { hops: fate.hops, findings: fate.findings, changes: fate.changes },
    }),
  };
}

function wordsOf(fate: Fate, outcome: Outcome): string {
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

/** Strangers wrote some of it: one line, of text, without what Nagios takes for the beginning of its figures. */
const plain = (words: string): string =>
  words
    .replace(/\p{Cc}+/gu, " ")
    .replaceAll("|", "/")
    .slice(0, 400);
