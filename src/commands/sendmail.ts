/** `tpa-submit sendmail`: sendmail(8) for the programs of this host. man/tpa-submit-sendmail.8 */
import { print } from "../cli/output.ts";
import { exitStatus } from "../failure.ts";
import { rows } from "./sendmail/options.ts";

export const summary = "Take mail of this host's programs, as sendmail(8).";

const help = `Usage: tpa-submit sendmail [options] [--] [recipient...]

${summary}
The message stands on standard input. With status 0 it is in the maildrop, whether the relay runs or not.

Options:
${rows
  .map(({ letter, value = "", help: text }) => `  ${`-${letter} ${value}`.trimEnd().padEnd(14)} ${text}`)
  .join("\n")}
  ${"--help".padEnd(14)} Print this text.
`;

/** Errors go by the name of the program that the caller means. */
export async function run(words: readonly string[]): Promise<number> {
  if (words[0] === "--help") {
    print(help);
    return exitStatus.ok;
  }
  const { run: carryOut } = await import("./sendmail/carry-out.ts");
  return carryOut(words);
}
