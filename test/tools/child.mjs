/** Programs that tests and benchmarks run: to their end, or until they are stopped. Plain JavaScript, for the latter. */
import { spawn } from "node:child_process";

/**
 * @typedef {object} Ended
 * @property {number | null} status null where a signal ended it
 * @property {string} stdout
 * @property {string} stderr
 */

/** A plain user's PATH lacks the last two. */
const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/**
 * Runs `program` to its end, with `input` as standard input. The caller's own process stays awake meanwhile.
 * @param {string} program
 * @param {readonly string[]} words
 * @param {string | Buffer} [input]
 * @param {Readonly<Record<string, string>>} [environment] in addition to our own
 * @returns {Promise<Ended>}
 */
export function run(program, words, input = "", environment = {}) {
  const child = spawn(program, words, { env: { ...process.env, PATH: path, ...environment } });
  child.stdin.on("error", () => undefined); // it may end before it has read everything
  child.stdin.end(input);
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout: stdout(), stderr: stderr() }));
  });
}

/**
 * The same; anything but exit status 0 rejects with what it said. Resolves to its standard output.
 * @param {Parameters<typeof run>} call
 */
export async function runWell(...call) {
  const { status, stdout, stderr } = await run(...call);
  if (status === 0) return stdout;
  throw new Error(`${call[0]} ended with status ${status}:\n${stdout}${stderr}`);
}

/**
 * @typedef {object} Daemon
 * @property {number} pid
 * @property {() => string} output everything it said
 * @property {(told?: boolean) => Promise<void>} stop sends SIGTERM, unless it was told to end already, and after
 *   10 seconds SIGKILL; resolves when it is gone
 */

/**
 * Starts `program`, which stays in the foreground.
 * @param {string} program
 * @param {readonly string[]} words
 * @returns {Daemon}
 */
export function start(program, words) {
  const options = { env: { ...process.env, PATH: path } };
  const child = spawn(program, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  const gone = new Promise((resolve) => {
    child.on("close", resolve);
    child.on("error", resolve); // whoever waits for it to listen tells what is missing
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

/** @param {import("node:stream").Readable} stream */
function gather(stream) {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  return () => text;
}
