/** The probe's subcommands as Nagios plugins: a failure is a line on standard output as well. */
import { print } from "../../cli/output.ts";
import { Failure } from "../../failure.ts";

/** Runs `work`; with --nagios a Failure becomes a line UNKNOWN and the status 3. */
export async function asPlugin(
  name: string,
  argv: readonly string[],
  work: (argv: readonly string[]) => Promise<number>,
): Promise<number> {
  if (!argv.includes("--nagios")) return work(argv);
  try {
    return await work(argv);
  } catch (error) {
    // A monitoring system reads a plugin's standard output, whatever went wrong.
    if (!(error instanceof Failure)) throw error;
    print(`${name} UNKNOWN - ${error.message.replaceAll("\n", "; ").replaceAll("|", "/")}\n`);
    return 3;
  }
}
