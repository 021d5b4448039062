/** The findings as people and programs read them. */
import { visible, wrapped } from "../../cli/output.ts";
import type { Paint } from "../../cli/terminal.ts";
import { markColours, marks, nagiosLine } from "../../probe/checkup/judge.ts";
import { type CheckRowResult, checkIds, rowOf } from "./rows.ts";

/** What was found, in one line. */
export const wordsOf = ({ subject, words }: CheckRowResult): string =>
  subject === "" ? words : `${subject}: ${words}`;

/** What to do; undefined where nothing is. */
export function adviceOf({ check, state, advice }: CheckRowResult): string | undefined {
  return state === "failed" || state === "warning" ? (advice ?? rowOf(check).mend) : undefined;
}

const stateWidth = Math.max(...Object.values(marks).map(({ length }) => length)) + 2;
const indent = stateWidth + Math.max(...checkIds.map(({ length }) => length)) + 2;

/** A line for each, below it what to do. On a terminal of `width` they are broken there; into a pipe each is whole. */
export function reportText(
  findings: readonly CheckRowResult[],
  paint: Paint,
  width: number | undefined,
): string {
  return findings
    .map((finding) => {
      const { check, state } = finding;
      const mark = paint(markColours[state], marks[state]) + " ".repeat(stateWidth - marks[state].length);
      const advice = adviceOf(finding);
      const lines = [
        ...broken(visible(wordsOf(finding)), width),
        ...(advice === undefined ? [] : broken(`-> ${advice}`, width)),
      ];
      return `${mark}${check.padEnd(indent - stateWidth)}${lines.join(`\n${" ".repeat(indent)}`)}\n`;
    })
    .join("");
}

const broken = (text: string, width: number | undefined): readonly string[] =>
  width === undefined ? [text] : wrapped(text, Math.max(20, width - indent));

export function reportJson(findings: readonly CheckRowResult[]): string {
  const all = findings.map((finding) => {
    const { check, state, subject, words } = finding;
    const advice = adviceOf(finding);
    return { check, state, subject, words, ...(advice !== undefined && { advice }) };
  });
  return `${JSON.stringify(all, null, 2)}\n`;
}

export function reportNagios(findings: readonly CheckRowResult[], host: string): string {
  const named = findings.map((finding) => ({
    area: finding.check,
    state: finding.state,
    words: visible(wordsOf(finding)),
  }));
  return nagiosLine("CHECK", host, named);
}

/** The form that `serve --check` has: what is wrong goes to standard error, as a start would tell it. */
export function asServe(finding: CheckRowResult): {
  readonly stream: "stdout" | "stderr";
  readonly line: string;
} {
  const { state, subject, words } = finding;
  if (state === "failed") return { stream: "stderr", line: `tpa-submit serve: ${wordsOf(finding)}` };
  const word = state === "warning" ? "warning: " : "";
  return { stream: "stdout", line: subject === "" ? `${word}${words}` : `${subject}: ${word}${words}` };
}
