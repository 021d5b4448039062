/** Asks whether to go on, on the terminal, and only there. */
import { createInterface } from "node:readline/promises";
import { exitStatus, Failure } from "../../failure.ts";
import { say } from "./print.ts";

/** Whether the operator wants it. Throws a Failure where nobody can be asked; `what` would be done then with --yes. */
export async function isWanted(question: string, what: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Failure(exitStatus.usage, `there is no terminal to ask on; say --yes to ${what}`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: interruption(terminal) });
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AbortError") throw error;
    say("");
    return false;
  } finally {
    terminal.close();
  }
}

/** Ctrl-C and Ctrl-D say no. */
function interruption(terminal: ReturnType<typeof createInterface>): AbortSignal {
  const abort = new AbortController();
  terminal.on("SIGINT", () => abort.abort()).on("close", () => abort.abort());
  return abort.signal;
}
