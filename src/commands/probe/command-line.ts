/** The probe's own command line: what it asks for is carried out, printed, or refused. */
import { statusOf } from "../../probe/exit-status.ts";
import { type ParsedCommandLine, parseProbe } from "../../probe/options/parse.ts";
import type { OutputStreams } from "../../probe/probe.ts";
import { optionDependencies } from "./option-host.ts";
import { openOutput } from "./output.ts";

export async function run(argv: readonly string[]): Promise<number> {
  const outcome = await parseProbe(
    optionDependencies(argv, async (domain) => (await import("./carry-out.ts")).hostFor(domain)),
  );
  const output = openOutput(outcome.places);
  for (const warning of outcome.warnings) output.stderr.write(Buffer.from(`${warning}\n`));
  const status = await obey(
    outcome,
    output,
    argv.some((word) => /^--?nagios$/.test(word)),
  );
  const trouble = await output.trouble();
  if (trouble !== undefined) process.stderr.write(`${trouble}\n`);
  const ended = status === 0 && trouble !== undefined ? statusOf("options") : status;
  // A DNS query that is still open would keep the process alive.
  if (ended === statusOf("connect")) process.exit(ended);
  return ended;
}

/** Runs, prints or fails, as the command line asks. Returns the exit status. */
async function obey(outcome: ParsedCommandLine, output: OutputStreams, isPlugin: boolean): Promise<number> {
  switch (outcome.kind) {
    case "print":
      output.stdout.write(outcome.octets);
      return 0;
    case "mistake":
      if (isPlugin) {
        // A monitoring system reads a plugin's standard output, whatever went wrong.
        output.stdout.write(Buffer.from(`PROBE UNKNOWN - ${plainLine(outcome.text)}\n`));
        return 3;
      }
      if (outcome.text !== "") output.stderr.write(Buffer.from(`${outcome.text}\n`));
      return outcome.status;
    default:
      return (await import("./carry-out.ts")).carryOut(outcome.plan, output);
  }
}

const plainLine = (text: string): string => text.replace(/^\*\*\* /, "").replace(/[\n|]/g, "/");
