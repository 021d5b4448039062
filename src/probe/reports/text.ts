/** The summary for people at a terminal, in lines of at most 80 characters, and for Nagios in one. Pure. */
import {
  type MailFailure,
  type MailTotals,
  percentage,
  type ReportSummary,
  type ReportThresholds,
  type ReportVerdict,
  shareOf,
  type TlsSessionFailure,
  type Whose,
} from "./summary.ts";

const widest = 80;
/** Rows of each table. */
const mostShown = 15;

/** Lines with their ends; "" where there are no reports. */
export function reportsText(summary: ReportSummary): string {
  const parts = [dmarcText(summary), tlsText(summary)].filter((text) => text !== "");
  return parts.join("\n");
}

function dmarcText({ dmarc, days }: ReportSummary): string {
  if (dmarc.reports === 0) return "";
  const about = dmarc.domains
    .map(({ domain, policy }) => `${domain}${policy === "" ? "" : ` (p=${policy})`}`)
    .join(", ");
  return [
    ...wrapped(`DMARC: ${counted(dmarc.reports, "report")} of ${days} days on ${about}`, ""),
    ...table("RECEIVER", "", dmarc.receivers),
    "",
    ...table("SOURCE", "WHOSE", dmarc.sources),
    ...(dmarc.failures.length === 0 ? [] : ["", "PASSED NEITHER DKIM NOR SPF"]),
    ...dmarc.failures.slice(0, mostShown).flatMap((failure) => wrapped(failureWords(failure), "  ")),
    ...more(dmarc.failures.length),
  ]
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

const whoseWords: Readonly<Record<Whose, string>> = { ours: "ours", others: "others'", unknown: "?" };

function table(
  heading: string,
  second: string,
  rows: readonly (MailTotals & { readonly whose?: Whose })[],
): readonly string[] {
  const line = (name: string, whose: string, ...cells: readonly string[]): string =>
    `${cut(name, 25).padEnd(25)} ${whose.padEnd(7)}${cells.map((cell) => cell.padStart(9)).join("")}`.slice(
      0,
      widest,
    );
  return [
    line(heading, second, "MESSAGES", "PASSED", "DKIM", "SPF", "REFUSED"),
    ...rows
      .slice(0, mostShown)
      .map(({ name, whose, messages, passed, dkim, spf, quarantined, rejected }) =>
        line(
          name || "(not told)",
          whose === undefined ? "" : whoseWords[whose],
          String(messages),
          percentage(shareOf(passed, messages)),
          percentage(shareOf(dkim, messages)),
          percentage(shareOf(spf, messages)),
          String(quarantined + rejected),
        ),
      ),
    ...more(rows.length),
  ];
}

const more = (count: number): readonly string[] =>
  count > mostShown ? [`  and ${count - mostShown} more; --json has them`] : [];

/** `12 from 192.0.2.10 (ours) at google.com: passed as list.example.net; quarantined; mailing_list` */
export function failureWords(failure: MailFailure): string {
  const { source, whose, receiver, domain, messages, disposition, via, reason } = failure;
  const from = `${source || "a source not told"}${whose === "ours" ? " (ours)" : ""}`;
  const fate = { none: "let through", quarantine: "quarantined", reject: "rejected" }[disposition];
  const said = [via === "" ? "" : `passed as ${via}`, fate, reason].filter((word) => word !== "");
  return `${messages} as ${domain} from ${from} at ${receiver}: ${said.join("; ")}`;
}

function tlsText({ tls, days }: ReportSummary): string {
  if (tls.reports === 0) return "";
  const line = (name: string, ...cells: readonly string[]): string =>
    `${cut(name, 42).padEnd(42)}${cells.map((cell) => cell.padStart(12)).join("")}`;
  return [
    `TLS: ${counted(tls.reports, "report")} of ${days} days on sessions with our servers`,
    line("SENDER", "SESSIONS", "FAILED", "SUCCESS"),
    ...tls.senders
      .slice(0, mostShown)
      .map(({ name, sessions, failed }) =>
        line(name, String(sessions), String(failed), percentage(shareOf(sessions - failed, sessions))),
      ),
    ...more(tls.senders.length),
    ...(tls.failures.length === 0 ? [] : ["", "FAILED"]),
    ...tls.failures.slice(0, mostShown).flatMap((failure) => wrapped(sessionWords(failure), "  ")),
  ]
    .map((text) => `${text.trimEnd()}\n`)
    .join("");
}

export const sessionWords = ({ sender, domain, type, mx, sessions }: TlsSessionFailure): string =>
  `${sessions} of ${sender} at ${mx || domain}: ${type}`;

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

const cut = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;

/** Words in lines; a longer word is cut. */
export function wrapped(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ").map((one) => cut(one, widest - 4 - indent.length))) {
    if (line.trim() !== "" && line.length + 1 + word.length > widest) {
      lines.push(line);
      line = `${indent}  `;
    }
    line += line.trim() === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}

const names = ["OK", "WARNING", "CRITICAL", "UNKNOWN"] as const;

/** `trouble` is what could not be read in this run. */
export function reportsLine(
  verdict: ReportVerdict,
  { warn, crit }: ReportThresholds,
  trouble: string,
): string {
  const figure = (label: string, share: number | undefined): readonly string[] =>
    share === undefined
      ? []
      : [`${label}=${(Math.floor(share * 10_000) / 100).toFixed(2)}%;${warn}:;${crit}:;0;100`];
  const figures = [...figure("own", verdict.own), ...figure("tls", verdict.tls)];
  const words = [verdict.words, ...(trouble === "" ? [] : [trouble])].join("; ").replaceAll("|", "/");
  return `REPORTS ${names[verdict.grade]} - ${words}${figures.length === 0 ? "" : ` | ${figures.join(" ")}`}\n`;
}
