/** The words of the probe as plugins of Nagios: what went wrong is a line on standard output, too. */
import { print } from "../../cli/output.ts";
import { Failure } from "../../failure.ts";

/** Runs `work`; with --nagios a Failure becomes the line and the status of what is not known. */
export async function asPlugin(
  name: string,
  argv: readonly string[],
  work: (argv: readonly string[]) => Promise<number>,
): Promise<number> {
  if (!argv.includes("--nagios")) return work(argv);
  try {
    return await work(argv);
  } catch (error) {
    // Whoever asks for a plugin reads standard output, whatever went wrong.
    if (!(error instanceof Failure)) throw error;
    print(`${name} UNKNOWN - ${error.message.replaceAll("\n", "; ").replaceAll("|", "/")}\n`);
    return 3;
  }
}
