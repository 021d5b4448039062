/** `tpa-submit probe report`: what the history of the monitor says. man/tpa-submit-probe-report.1 */
import { dirname, join } from "node:path";
import { argument, command, flag, list, parseOptions, value } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";

import { exitStatus } from "../../failure.ts";
import { groupBy, statisticsOf } from "../../probe/history/statistics.ts";
import { summaryText } from "../../probe/history/summary.ts";
import { type Traffic, trafficText } from "../../probe/history/traffic.ts";
import type { ReportSummary } from "../../probe/reports/summary.ts";
import type { ProbeResult } from "../../probe/result.ts";

export const line = command({
  name: "probe report",
  summary: "Tell what the probes of the last 30 days say: how much mail reached the inbox, and how fast.",
  options: {
    route: list("-r, --route <name>", "Only this route; may be given several times."),
    history: value("--history <file>", "The history; without it: the one of the routes' file."),
    html: value("--html <file>", "Write a page that needs nothing but itself."),
    json: flag("--json", "The figures as JSON."),
    config: value(
      "-c, --config <file>",
      "The relay's configuration, for its traffic; without it: the usual one, if it is there.",
    ),
  },
  arguments: { file: argument("[file]", "The routes. (default: /etc/tpa-submit/probes.toml)") },
  examples: [
    "tpa-submit probe report",
    "tpa-submit probe report --route example-net --json",
    "tpa-submit probe report --html /var/www/html/mail.html",
  ],
});

const day = 86_400_000;
const month = 30 * day;

export async function run(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { route, history, html, json, config } = chosen.options;
  const { readProbes } = await import("../../config/probes-file.ts");
  const { read } = await import("../../probe/history/file.ts");
  const file =
    history ??
    `${(await readProbes(chosen.arguments.file ?? "/etc/tpa-submit/probes.toml")).directory}/history`;
  const now = Date.now();
  const all = await read(file, now - month);
  const results = route.length === 0 ? all : all.filter((result) => route.includes(result.route));
  const { trafficOf } = await import("./traffic.ts");
  const traffic = json ? undefined : await trafficOf(config, now);
  const reports = json ? undefined : await reportsBeside(file, now);
  if (html !== undefined) await writeHtml(html, results, { traffic, reports }, now);
  else if (json) print(`${JSON.stringify(figuresOf(results), null, 2)}\n`);
  else {
    const { reportsText } = await import("../../probe/reports/text.ts");
    const parts = [
      summaryText(results, now),
      traffic === undefined ? "" : trafficText(traffic),
      reports === undefined ? "" : reportsText(reports),
    ];
    print(parts.filter((part) => part !== "").join("\n"));
  }
  return exitStatus.ok;
}

/** What is on the page besides the probes. */
interface ReportBesides {
  readonly traffic: Traffic | undefined;
  readonly reports: ReportSummary | undefined;
}

/** What receivers report, where `probe reports` has read some into the folder of the history. */
async function reportsBeside(history: string, now: number): Promise<ReportSummary> {
  const { storeIn } = await import("./reports/kept.ts");
  const { ownership } = await import("./reports/own.ts");
  const { summaryOf } = await import("../../probe/reports/summary.ts");
  const { reports, own } = await storeIn(join(dirname(history), "reports"));
  return summaryOf(reports.values(), ownership(own), month / day, now);
}

async function writeHtml(
  file: string,
  results: readonly ProbeResult[],
  { traffic, reports }: ReportBesides,
  now: number,
): Promise<void> {
  const { writePage } = await import("../../probe/history/page.ts");
  const { publish } = await import("./host.ts");
  await publish(file, writePage(results, now, traffic, reports), "--html");
}

const figuresOf = (results: readonly ProbeResult[]) =>
  Object.fromEntries(
    groupBy(results, ({ route }) => route).map(([route, own]) => [route, statisticsOf(own)]),
  );
