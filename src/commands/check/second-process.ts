/** This program started once more, to look where this process cannot, or must not wait: as another user, on a disk that hangs. */
import { spawn } from "node:child_process";
import { setPriority } from "node:os";
import { text } from "node:stream/consumers";

export interface SecondProcess {
  /** Node.js and the program. */
  readonly program: readonly string[];
  /** Set in its environment: what it is to do stands on its standard input. */
  readonly variable: string;
  /** Milliseconds after which it is ended; null where it may take its time. */
  readonly limit: number | null;
  readonly cwd?: string;
  /** What starts it in another way, such as another user; it gets the words that would start it. */
  readonly words?: ((own: readonly string[]) => readonly string[]) | undefined;
  /** Ends it as well. */
  readonly signal?: AbortSignal;
  /** Whether all else comes first. */
  readonly isUnhurried?: boolean;
}

/** What it said, which is JSON, or why it said nothing. */
export type SecondAnswer = { readonly said: string } | { readonly trouble: string };

/** Gives it `task`, and ends it once it has said a line: a look that hangs in the disk keeps a process from its end. */
export async function askSecond(task: object, second: SecondProcess): Promise<SecondAnswer> {
  const { variable, limit, cwd, signal, isUnhurried = false, words = (own) => own } = second;
  const [node = "", program = ""] = second.program;
  const [first = node, ...others] = words([node, ...process.execArgv, program, "check"]);
  const child = spawn(first, others, {
    env: { ...process.env, [variable]: "1" },
    stdio: "pipe",
    killSignal: "SIGKILL",
    ...(cwd !== undefined && { cwd }),
    ...(limit !== null && { timeout: limit }),
    ...(signal && { signal }),
  });
  if (isUnhurried) lower(child.pid);
  const complaint = text(child.stderr).catch(() => "");
  child.stdin.on("error", () => undefined); // it ended early: what it said tells
  child.stdin.end(JSON.stringify(task));
  let said = "";
  const failure = await new Promise<Error | undefined>((resolve) => {
    child.on("error", resolve); // it cannot be started, or was told to end
    child.on("close", () => resolve(undefined));
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      said += piece;
      if (said.endsWith("\n")) resolve(undefined);
    });
  });
  if (said.endsWith("\n")) {
    child.kill("SIGKILL");
    return { said };
  }
  if (failure) return { trouble: failure.message };
  if (child.signalCode !== null) return { trouble: "it took too long" };
  return { trouble: (await complaint).trim().split("\n")[0] ?? "" };
}

/** The task of this process, where it is the second one. */
export async function taskGiven(variable: string): Promise<string | undefined> {
  return process.env[variable] === undefined ? undefined : text(process.stdin);
}

function lower(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, 19);
  } catch {
    // it has ended, or the system does not let us
  }
}
