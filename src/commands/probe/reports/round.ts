/** One run of `probe reports`: read, keep, tell. */

import { usageMistake } from "../../../cli/options.ts";
import { visible } from "../../../cli/output.ts";
import { startSpinner } from "../../../cli/terminal.ts";
import { exitStatus, Failure } from "../../../failure.ts";
import { type ReportSummary, summaryOf, verdictOf } from "../../../probe/reports/summary.ts";
import { counted, reportsLine, reportsText, wrapped } from "../../../probe/reports/text.ts";
import { oneLine } from "../../../probe/untrusted-text.ts";
import { shortenAddress } from "../../../server/log/privacy.ts";
import { firstLine, publish, textIn } from "../host.ts";
import { keepIn, storeIn } from "./kept.ts";
import { metricsText } from "./metrics.ts";
import { line, type ReportsCommandOptions } from "./options.ts";
import { ownAddresses, ownership } from "./own.ts";
import { emptyHarvest, type MailboxRules, type ReportHarvest, readPlace } from "./sources.ts";

/** Lines about what was refused that are shown. */
const mostTold = 10;

/** Throws a Failure where a place cannot be read at all, or the reports cannot be kept. */
export async function readAndTell(
  places: readonly string[],
  options: ReportsCommandOptions,
  signal: AbortSignal,
): Promise<{ readonly text: string; readonly status: number }> {
  const { store: file, keep, days, nagios, json, prometheus } = options;
  const own = await ownAddresses(options.own, options.config);
  const mailbox = await mailboxRules(options);
  const before = await storeIn(file);
  const isOwn = ownership(own ?? before.own);
  const harvest = emptyHarvest();
  const spinner = startSpinner("reading");
  const rules = {
    isOwn: isOwn ?? ((): boolean => false),
    shorten: shortenAddress,
    authority: options.authority,
    now: Date.now,
    signal,
  };
  try {
    for (const place of places) await readPlace(place, rules, mailbox, before, harvest);
  } catch (error) {
    // What was read before stands.
    if (!(error instanceof Failure) || harvest.reports.length === 0) throw error;
    harvest.troubles.push(error.message);
  } finally {
    spinner.stop();
  }
  const now = Date.now();
  const { store, added } =
    places.length === 0 ? { store: before, added: 0 } : await keepIn(file, { ...harvest, own }, now - keep);
  for (const work of harvest.afterwards) await attempted(work, harvest);
  const summary = summaryOf(store.reports.values(), isOwn, days, now);
  if (prometheus !== undefined)
    await publish(prometheus, metricsText(summary, harvest.refused.length), "--prometheus");
  const isFruitless = harvest.reports.length === 0 && harvest.refused.length > 0;
  const verdict = verdictOf(summary, options);
  if (nagios) return { text: reportsLine(verdict, options, troubleOf(harvest)), status: verdict.grade };
  return {
    text: json
      ? jsonOf(summary, harvest, added)
      : plainText(summary, verdict.words, places.length === 0 ? "" : told(harvest, added)),
    status:
      harvest.troubles.length > 0 ? exitStatus.temporary : isFruitless ? exitStatus.data : exitStatus.ok,
  };
}

/** What was read is kept by now, whatever becomes of the messages. */
async function attempted(work: () => Promise<void>, { troubles }: ReportHarvest): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    troubles.push(error.message);
  }
}

async function mailboxRules(options: ReportsCommandOptions): Promise<MailboxRules> {
  const { passwordFile, ca, move, seen, again } = options;
  return {
    again,
    seen,
    ...(move !== undefined && { move }),
    ...(ca !== undefined && { ca: await textIn(ca, `--ca: ${ca}`) }),
    password: async () => {
      const text =
        passwordFile === undefined
          ? process.env["TPA_SUBMIT_PROBE_PASSWORD"]
          : await textIn(passwordFile, `--password-file: ${passwordFile}`);
      const password = firstLine(text ?? "");
      if (password !== "") return password;
      throw usageMistake(
        line.name,
        "a mailbox wants a password: name a file with --password-file, or set TPA_SUBMIT_PROBE_PASSWORD",
      );
    },
  };
}

function troubleOf({ refused, troubles }: ReportHarvest): string {
  const words = refused.length === 0 ? [] : [`${counted(refused.length, "report")} could not be read`];
  return oneLine([...words, ...troubles].join("; "));
}

function told({ reports, refused, others, troubles }: ReportHarvest, added: number): string {
  const known = reports.length - added;
  const parts = [
    counted(added, "new report"),
    ...(known > 0 ? [`${known} that ${known === 1 ? "was" : "were"} known`] : []),
    ...(others > 0 ? [`${others} without any`] : []),
    ...(refused.length > 0 ? [`${refused.length} refused`] : []),
  ];
  const lines = [
    `Read: ${parts.join(", ")}.`,
    ...refused.slice(0, mostTold).map((text) => `  refused: ${text}`),
    ...(refused.length > mostTold ? [`  and ${refused.length - mostTold} more`] : []),
    ...troubles.map((text) => `  ${text}`),
  ];
  return lines.map((text) => `${visible(text)}\n`).join("");
}

function plainText(summary: ReportSummary, words: string, read: string): string {
  const first = wrapped(`${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`, "").join("\n");
  const rest = reportsText(summary)
    .split("\n")
    .map((text) => visible(text))
    .join("\n");
  return [read, `${first}\n`, rest].filter((part) => part !== "").join("\n");
}

function jsonOf(summary: ReportSummary, { refused, others, troubles }: ReportHarvest, added: number): string {
  const { newest, ...rest } = summary;
  const whole = {
    ...rest,
    ...(newest !== undefined && { newest: new Date(newest).toISOString() }),
    run: { new: added, others, refused, troubles },
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
}
