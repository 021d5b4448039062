/** A program on a terminal, made by script(1). */
import { spawn } from "node:child_process";
import { onTestFinished } from "vitest";
import { program } from "../../demo/program.mjs";

/** What is waited for, and what is typed then. */
export type Steps = readonly (readonly [text: string, keys: string])[];

export interface Shown {
  /** Everything that the terminal showed, lines ended by LF. */
  readonly shown: string;
  readonly status: number | null;
}

/** Runs the built `tpa-submit` with `words`, as {@link typeTo} does. */
export const onTerminal = (words: string, steps: Steps): Promise<Shown> =>
  typeTo(`${process.execPath} ${program} ${words}`, steps);

/**
 * Runs `command`, which a shell splits; after each of the `steps`' texts has come, its keys are typed. Call it in a
 * test: it does not outlive it.
 */
export function typeTo(
  command: string,
  steps: Steps,
  environment: Readonly<Record<string, string>> = {},
): Promise<Shown> {
  const child = spawn("script", ["-qec", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, SHELL: "/bin/sh", ...environment },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let shown = "";
  let seen = 0;
  const left = [...steps];
  child.stdout.on("data", (chunk: Buffer) => {
    shown += chunk.toString();
    const [next] = left;
    const at = next ? shown.indexOf(next[0], seen) : -1;
    if (!next || at < 0) return;
    seen = at + next[0].length;
    left.shift();
    child.stdin.write(next[1]);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ shown: shown.replaceAll("\r\n", "\n"), status }));
  });
}
