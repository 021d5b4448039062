/** What an operator types, and what comes of it. */
import { program, type Relay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";

export interface Said {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `tpa-submit queue WORD …` for the site of `relay`, without a terminal. */
export function queue(
  relay: Pick<Relay, "config">,
  word: string,
  ...words: readonly string[]
): Promise<Said> {
  return run(process.execPath, [program, "queue", word, "--config", relay.config, ...words]);
}

/** The same, whose status must be 0; gives its standard output. */
export async function well(...[relay, ...words]: Parameters<typeof queue>): Promise<string> {
  const { status, stdout, stderr } = await queue(relay, ...words);
  if (status === 0) return stdout;
  throw new Error(`queue ${words.join(" ")} ended with status ${String(status)}:\n${stdout}${stderr}`);
}

/** What `queue list --json` says, message by message. */
export async function listed(
  relay: Pick<Relay, "config">,
  ...words: readonly string[]
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const lines = (await well(relay, "list", "--json", ...words)).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}
