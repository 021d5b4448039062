/** What sync says about a run: to people, and to programs. Never a hash. */
import type { Step } from "../../ldap/difference.ts";
import type { Explanation } from "../../ldap/explain.ts";
import { shown } from "../../ldap/shown.ts";
import type { FileReport, Report } from "../../ldap/sync.ts";
import { filesOf } from "./task.ts";

/** One line for each login that comes, changes or goes. */
export function changesText(report: Report): string {
  return filesOf(report).map(fileChanges).join("");
}

function fileChanges({ difference: { added, changed, removed } }: FileReport): string {
  const lines = (sign: string, steps: readonly Step[]) =>
    steps.map(({ name, why }) => `${sign} ${shown(name, "")}: ${why}\n`);
  const gone = removed.map(({ name, reason, why }) => ({
    name,
    why: reason === undefined ? why : `${reason}, ${why}`,
  }));
  return [...lines("+", added), ...lines("~", changed), ...lines("-", gone)].join("");
}

/** One line for each entry that is left out. */
export function exclusionsText({ exclusions, remarks }: Report): string {
  const left = exclusions.map(
    ({ login, dn, reason, detail }) => `left out: ${login === "" ? dn : login}: ${reason}, ${detail}\n`,
  );
  return [...left, ...remarks.map((remark) => `passed over: ${remark}\n`)].join("");
}

const words = {
  replaced: "replaced",
  unchanged: "is up to date",
  pending: "would be replaced",
  refused: "stays as it is",
} as const;

/** One line for each file. */
export function summary(report: Report): string {
  return filesOf(report)
    .map(({ path, result, difference: { added, changed, removed } }) => {
      const numbers = [
        path === report.passwords.path ? `${report.logins} logins` : "",
        added.length > 0 ? `${added.length} added` : "",
        changed.length > 0 ? `${changed.length} changed` : "",
        removed.length > 0 ? `${removed.length} removed` : "",
      ];
      return `${path} ${words[result]}: ${numbers.filter((number) => number !== "").join(", ")}`;
    })
    .map((line) => `${line.replace(/: $/, "")}\n`)
    .join("");
}

/** The whole report as JSON. */
export function asJson(report: Report): string {
  const file = ({ path, result, difference, alarms }: FileReport) => ({
    path,
    result,
    ...difference,
    alarms,
  });
  return JSON.stringify({
    url: report.url,
    entries: report.entries,
    logins: report.logins,
    schemes: Object.fromEntries(report.schemes),
    excluded: report.exclusions,
    remarks: report.remarks,
    passwords: file(report.passwords),
    aliases: report.aliases === undefined ? null : file(report.aliases),
  });
}

/** What decides about one person. */
export function explanationText({ login, entries, file, conclusion }: Explanation): string {
  const lines = entries.flatMap(({ dn, changed, verdicts, passwords }) => [
    `entry ${dn}${changed === undefined ? "" : `, changed ${time(changed)}`}`,
    ...verdicts.map(({ rule, about, objection }) =>
      objection === "" ? `  yes  ${about}` : `  NO   ${about} (${rule}): ${objection}`,
    ),
    ...passwords.map(
      ({ what, inFile }) => `  password: ${what}, ${inFile ? "in the file" : "not in the file"}`,
    ),
  ]);
  const written = file.modified === undefined ? "there is none" : `written ${time(file.modified)}`;
  const line = file.schemes.length > 0 ? file.schemes.join(" and ") : "a line that lets nobody in";
  const place = file.listed ? `has ${shown(login, "")}: ${line}` : `does not have ${shown(login, "")}`;
  return [...lines, `file ${file.path}, ${written}: ${place}`, conclusion, ""].join("\n");
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
