/** Runs the built `tpa-submit passwd` as people do. */
import { spawn } from "node:child_process";
import { program } from "../../demo/program.mjs";

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `input` is its standard input, which is empty otherwise. */
export function passwd(argv: readonly string[], input = ""): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, "passwd", ...argv], { stdio: "pipe" });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
    child.stdin.on("error", () => undefined); // it may end without reading
    child.stdin.end(input);
  });
}
