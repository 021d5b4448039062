/** Programs that tests run: to their end, or until they are stopped. */
import { type ChildProcess, spawn } from "node:child_process";
import { pathOf } from "./real.ts";

export interface Ended {
  /** null where a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `program` to its end, with `input` as standard input. The test's own process stays awake meanwhile. */
export function run(
  program: string,
  words: readonly string[],
  input: string | Buffer = "",
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = spawn(pathOf(program) ?? program, words, { env: { ...process.env, ...environment } });
  child.stdin.on("error", () => undefined); // it may end before it has read everything
  child.stdin.end(input);
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout: stdout(), stderr: stderr() }));
  });
}

/** The same; anything but exit status 0 rejects with what it said. Resolves to its standard output. */
export async function runWell(...call: Parameters<typeof run>): Promise<string> {
  const { status, stdout, stderr } = await run(...call);
  if (status === 0) return stdout;
  throw new Error(`${call[0]} ended with status ${status}:\n${stdout}${stderr}`);
}

export interface Daemon {
  readonly pid: number;
  /** Everything it said. */
  readonly output: () => string;
  /** Sends SIGTERM, unless it was `told` to end, and after 10 seconds SIGKILL; resolves when it is gone. */
  stop(told?: boolean): Promise<void>;
}

/** Starts `program`, which stays in the foreground. */
export function start(program: string, words: readonly string[]): Daemon {
  const child = spawn(pathOf(program) ?? program, words, { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  const gone = new Promise<void>((resolve) => {
    child.on("close", () => resolve());
    child.on("error", () => resolve()); // whoever waits for it to listen tells what is missing
  });
  return {
    pid: child.pid ?? 0,
    output: () => stdout() + stderr(),
    async stop(told = false) {
      if (!told) child.kill("SIGTERM");
      const hurry = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await gone;
      clearTimeout(hurry);
    },
  };
}

function gather(stream: NonNullable<ChildProcess["stdout"]>): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text;
}
