/** What a change of a password came to, as every output tells it: pure. */
import { seconds } from "../result.ts";
import type { Grade, Thresholds } from "../verdict.ts";
import type { Course } from "./course.ts";

export interface Judgement extends Course {
  /** The test account. */
  readonly login: string;
  /** When the directory had the new password, in milliseconds since the epoch; absent where nothing was changed. */
  readonly at?: number;
  readonly grade: Grade;
  /** One line of plain text. */
  readonly words: string;
}

/** The judgement of a change made at `at`; `hasOld` is whether an old password was there to be tried. */
export function judgeCourse(
  { login, at, hasOld }: { readonly login: string; readonly at: number; readonly hasOld: boolean },
  course: Course,
  limits: Thresholds & { readonly timeout: number },
): Judgement {
  const { newWorks, oldEnds, trouble } = course;
  const why = trouble === undefined ? "" : `; last trouble: ${trouble}`;
  const given = seconds(limits.timeout);
  const of = (grade: Grade, words: string): Judgement => ({
    login,
    at,
    grade,
    words: plain(words),
    ...course,
  });
  if (newWorks === undefined)
    return of(
      2,
      oldEnds === undefined
        ? `the new password does not work after ${given}${hasOld ? ", the old one still does" : ""}${why}`
        : `neither password works: the old one ended after ${seconds(oldEnds)}, the new one does not work after ${given}${why}`,
    );
  if (hasOld && oldEnds === undefined)
    return of(
      2,
      `the new password works after ${seconds(newWorks)}, but the old one still does after ${given}${why}`,
    );
  const last = Math.max(newWorks, oldEnds ?? 0);
  const both = hasOld
    ? `the new password works after ${seconds(newWorks)}, the old one ended after ${seconds(oldEnds ?? 0)}`
    : `the new password works after ${seconds(newWorks)}; the old one was not known`;
  if (last > limits.crit) return of(2, `${both}, which is too late`);
  return last > limits.warn ? of(1, `${both}, which is late`) : of(0, both);
}

/** Nothing was changed, because `reason`. */
export const judgeNothing = (login: string, reason: string): Judgement => ({
  login,
  grade: 2,
  words: plain(`${reason}; nothing was changed`),
  wrong: 0,
});

const grades = ["OK", "WARNING", "CRITICAL", "UNKNOWN"] as const;

/** The status line for Nagios and its kin. */
export function propagationLine(
  { grade, words, newWorks, oldEnds }: Judgement,
  { warn, crit }: Thresholds,
): string {
  const figures = [
    ...(newWorks === undefined ? [] : [`new=${figure(newWorks)}s;${figure(warn)};${figure(crit)};0`]),
    ...(oldEnds === undefined ? [] : [`old=${figure(oldEnds)}s;${figure(warn)};${figure(crit)};0`]),
  ];
  return `PROPAGATION ${grades[grade]} - ${words}${figures.length === 0 ? "" : ` | ${figures.join(" ")}`}\n`;
}

const figure = (milliseconds: number): string => (milliseconds / 1000).toFixed(3);

/** A server wrote some of it. */
const plain = (words: string): string =>
  words
    .replace(/\p{Cc}+/gu, " ")
    .replaceAll("|", "/")
    .slice(0, 400);
