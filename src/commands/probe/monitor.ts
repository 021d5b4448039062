/** `tpa-submit probe monitor`: does mail arrive, by every route of probes.toml? man/tpa-submit-probe-monitor.1 */
import { setMaxListeners } from "node:events";
import {
  argument,
  command,
  flag,
  list,
  type OptionsOf,
  parsed,
  parseOptions,
  usageMistake,
  value,
} from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { colourFor, startSpinner } from "../../cli/terminal.ts";
import type { Probes } from "../../config/probes-file.ts";
import { address, duration } from "../../config/setting-types.ts";
import { exitStatus } from "../../failure.ts";
import { nagiosText, worst } from "../../probe/nagios.ts";
import { type ProbeResult, seconds } from "../../probe/result.ts";
import type { MonitorReport } from "./monitor/rounds.ts";
import { asPlugin } from "./plugin.ts";

export const line = command({
  name: "probe monitor",
  summary:
    "Send a message by each route of a file, see whether and when it arrives, and tell of those that were sent before.",
  options: {
    route: list("-r, --route <name>", "Only this route; may be given several times."),
    wait: parsed(
      "-w, --wait <duration>",
      "How long to wait for mail; what is not there yet is looked for by the next run. Without it: each route's warn.",
      duration,
    ),
    nagios: flag("--nagios", "One status line with figures, and the grade as the exit status."),
    json: flag("--json", "The results as JSON."),
    prometheus: value(
      "--prometheus <file>",
      "Write metrics for node_exporter's textfile collector (*.prom).",
    ),
    listen: parsed(
      "--listen <address>",
      "Stay, probe every interval, and offer metrics by HTTP at this address.",
      address,
    ),
  },
  arguments: { file: argument("[file]", "The routes. (default: /etc/tpa-submit/probes.toml)") },
  examples: [
    "tpa-submit probe monitor",
    "tpa-submit probe monitor --nagios --route example-net",
    "tpa-submit probe monitor --wait 20s --prometheus /var/lib/prometheus/node-exporter/tpa-submit-probe.prom",
    "tpa-submit probe monitor --listen 127.0.0.1:9588 /etc/tpa-submit/probes.toml",
  ],
});

export type MonitorCommandOptions = OptionsOf<typeof line.options>;

/**
 * Runs it. The exit status is the worst grade: 0 ok, 1 warning, 2 critical, 3 unknown; with --nagios wrong usage, too,
 * is 3.
 */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("PROBE", argv, monitor);
}

async function monitor(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  refuseContradictions(options);
  const { readProbes } = await import("../../config/probes-file.ts");
  const { newMonitorMetrics } = await import("./monitor/metrics.ts");
  const { keepProbing, openMonitor } = await import("./monitor/rounds.ts");
  const probes = await readProbes(chosen.arguments.file ?? "/etc/tpa-submit/probes.toml");
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // every route listens
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  try {
    if (options.listen) {
      const figures = newMonitorMetrics();
      const open = await openMonitor(probes, { ...options, figures });
      return await keepProbing(open, probes, { address: options.listen, figures }, stop.signal);
    }
    const figures = options.prometheus === undefined ? undefined : newMonitorMetrics();
    const open = await openMonitor(probes, { ...options, figures });
    const progress = showProgress(open.routes.length);
    const report = await open.round(stop.signal, progress.routeDone).finally(progress.end);
    print(await textOf(report, probes, options));
    if (report.trouble !== undefined && !options.nagios)
      process.stderr.write(`tpa-submit probe monitor: ${report.trouble}\n`);
    return worst(report.results, report.trouble);
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}

async function textOf(
  { results, trouble }: MonitorReport,
  { route }: Probes,
  { nagios, json }: MonitorCommandOptions,
): Promise<string> {
  if (json) return `${JSON.stringify(results.map(readable), null, 2)}\n`;
  if (nagios) return nagiosText(results, (name) => route.find((one) => one.name === name), trouble);
  return resultTable(results);
}

const readable = ({ at, ...result }: ProbeResult) => ({ at: new Date(at).toISOString(), ...result });

function refuseContradictions({ nagios, json, listen, wait, prometheus }: MonitorCommandOptions): void {
  if (nagios && json) throw usageMistake(line.name, "--nagios and --json do not go together");
  if (listen && (nagios || json || wait !== undefined || prometheus !== undefined)) {
    throw usageMistake(line.name, "--listen goes with --route only");
  }
}

/** What a person at a terminal sees while mail is on its way: a spinner, and how many routes are known. */
export interface RoundProgress {
  readonly routeDone: (result: ProbeResult) => void;
  readonly end: () => void;
}

function showProgress(routes: number): RoundProgress {
  let known = 0;
  const words = (): string => `waiting for mail: ${known} of ${routes} routes`;
  const spinner = startSpinner(words());
  return {
    routeDone() {
      known++;
      spinner.say(words());
    },
    end: () => spinner.stop(),
  };
}

const colours = ["green", "yellow", "red", "magenta"] as const;

/** The results for people: a line for each route, coloured by grade where the terminal takes colour. */
async function resultTable(results: readonly ProbeResult[]): Promise<string> {
  const paint = await colourFor(process.stdout);
  const rows = results.map((result) => ({
    cells: [
      result.route,
      result.outcome,
      result.submitted === undefined ? "-" : seconds(result.submitted),
      result.after === undefined ? "-" : seconds(result.after),
      result.words,
    ],
    colour: colours[result.grade],
  }));
  const titles = ["ROUTE", "OUTCOME", "SUBMITTED", "ARRIVED", ""];
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...rows.map(({ cells }) => (cells[at] ?? "").length)),
  );
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  return [lineOf(titles), ...rows.map(({ cells, colour }) => paint(colour, lineOf(cells)))]
    .map((text) => `${text}\n`)
    .join("");
}
