/** `tpa-submit probe propagation`: how long a new password takes to work. man/tpa-submit-probe-propagation.1 */
import { parseOptions, usageMistake } from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { exitStatus } from "../../failure.ts";
import { type PropagationResult, propagationLine } from "../../probe/propagation.ts";
import { asPlugin } from "./plugin.ts";
import { line, type PropagationCommandOptions } from "./propagation/options.ts";

/**
 * The exit status is the grade: 0 in time, 1 late, 2 too late or not at all, and with --nagios 3 for what could not be
 * tried.
 */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("PROPAGATION", argv, propagation);
}

async function propagation(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  refuseContradictions(options);
  const { login, passwordFile } = options;
  if (login === undefined) throw usageMistake(line.name, "--login: name the test account");
  if (passwordFile === undefined)
    throw usageMistake(line.name, "--password-file: name the file with its password");
  const { readConfig } = await import("../../config/config-file.ts");
  const { followOneChange, writeMetrics } = await import("./propagation/change.ts");
  const config = await readConfig(options.config);
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  try {
    const judgement = await followOneChange(config, { ...options, login, passwordFile }, stop.signal);
    if (options.prometheus !== undefined) await writeMetrics(options.prometheus, judgement, Date.now());
    print(textOf(judgement, options));
    return judgement.grade;
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}

function textOf(
  judgement: PropagationResult,
  { nagios, json, warn, crit }: PropagationCommandOptions,
): string {
  if (nagios) return propagationLine(judgement, { warn, crit });
  const { at, ...rest } = judgement;
  if (json)
    return `${JSON.stringify({ ...(at !== undefined && { at: new Date(at).toISOString() }), ...rest }, null, 2)}\n`;
  return `${judgement.words}\n`;
}

function refuseContradictions({
  nagios,
  json,
  warn,
  crit,
  timeout,
  interval,
}: PropagationCommandOptions): void {
  if (nagios && json) throw usageMistake(line.name, "--nagios and --json do not go together");
  if (warn > crit || crit > timeout) throw usageMistake(line.name, "expected --warn <= --crit <= --timeout");
  if (interval < 1000) throw usageMistake(line.name, "--interval: expected a second or more");
}
