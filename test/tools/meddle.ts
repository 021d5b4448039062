/** System calls of a running program that fail or take long, by Debian's strace: a disk that is really broken, or slow. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { pathOf } from "./real.ts";

/** What is to happen to a system call, in strace's words: "fsync:error=EIO", "fsync:delay_enter=1000000" (microseconds). */
export type Meddling = `${string}:${string}`;

/**
 * Begins with it in all threads of the process `pid`. Resolves to what ends it, which may be called after the process has
 * ended; rejects where strace cannot be used, as for a plain user where the kernel forbids it.
 */
export async function meddle(pid: number, meddling: Meddling): Promise<() => Promise<void>> {
  const [call = ""] = meddling.split(":");
  const words = [
    "-f",
    "-o",
    "/dev/null",
    "-e",
    `trace=${call}`,
    "-e",
    `inject=${meddling}`,
    "-p",
    String(pid),
  ];
  const child = spawn(pathOf("strace") ?? "strace", words, { stdio: ["ignore", "ignore", "pipe"] });
  const gone = once(child, "close");
  let said = "";
  const attached = new Promise<boolean>((resolve) => {
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      said += part;
      if (said.includes("attached")) resolve(true);
    });
    gone.then(
      () => resolve(false),
      () => resolve(false),
    );
  });
  if (!(await attached)) throw new Error(`strace could not be used: ${said.trim()}`);
  return async () => {
    child.kill("SIGTERM"); // it lets go of the process
    const hurry = setTimeout(() => child.kill("SIGKILL"), 10_000); // then the kernel does
    await gone;
    clearTimeout(hurry);
  };
}
