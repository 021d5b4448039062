/**
 * The history: a file to which each result is appended as a line of JSON. A line is small and written at once, so
 * several probes may append side by side. A line that is torn or not understood is skipped.
 */

import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { outcomes, type ProbeOutcome, type ProbeResult } from "../result.ts";

/** Appends `results` to the file `path`, which is made where it is missing. Throws a Failure. */
export async function append(path: string, results: readonly ProbeResult[]): Promise<void> {
  if (results.length === 0) return;
  await withFile(path, async () => {
    const file = await open(path, "a+", 0o640);
    try {
      const torn = await endsAmidLine(file);
      await file.appendFile(`${torn ? "\n" : ""}${results.map(lineOf).join("")}`);
    } finally {
      await file.close();
    }
  });
}

/** Whether a crash or a full disk cut the last line short. */
async function endsAmidLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== 0x0a;
}

/** The results since `since`, oldest first; none where there is no such file. Throws a Failure. */
export async function read(path: string, since: number): Promise<readonly ProbeResult[]> {
  const results: ProbeResult[] = [];
  await eachSince(path, since, (result) => results.push(result));
  return results.sort((one, other) => one.at - other.at);
}

/** The same one by one, in the order of the file, without holding them all. */
export async function eachSince(
  path: string,
  since: number,
  hear: (result: ProbeResult) => void,
): Promise<void> {
  await withFile(path, async () => {
    try {
      for await (const line of createInterface({ input: createReadStream(path, "utf8") })) {
        const result = parse(line);
        if (result && result.at >= since) hear(result);
      }
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
  });
}

/** The file is not rewritten for less, in milliseconds: most runs find nothing to do. */
const grace = 7 * 86_400_000;

/** Rewrites the file without results older than `before`, where its first line is much older. Throws a Failure. */
export async function trim(path: string, before: number): Promise<void> {
  if ((await oldest(path)) >= before - grace) return;
  const kept = await read(path, before);
  const text = kept.map(lineOf).join("");
  await withFile(path, () => replaceFile(path, text, { mode: 0o640 }));
}

/** The time of the first result; infinity where there is none. */
async function oldest(path: string): Promise<number> {
  let found = Number.POSITIVE_INFINITY;
  await withFile(path, async () => {
    const lines = createInterface({ input: createReadStream(path, "utf8") });
    try {
      for await (const line of lines) {
        const result = parse(line);
        if (!result) continue;
        found = result.at;
        break;
      }
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    } finally {
      lines.close();
    }
  });
  return found;
}

const lineOf = (result: ProbeResult): string => `${JSON.stringify({ ...result, arrival: undefined })}\n`;

function parse(line: string): ProbeResult | undefined {
  let found: unknown;
  try {
    found = JSON.parse(line);
  } catch {
    return undefined; // torn by a crash
  }
  return isResult(found) ? found : undefined;
}

function isResult(found: unknown): found is ProbeResult {
  if (typeof found !== "object" || found === null) return false;
  const { route, provider, at, outcome, grade, words, submitted, after } = found as Partial<
    Record<keyof ProbeResult, unknown>
  >;
  const texts = [route, provider, words].every((text) => typeof text === "string");
  const times = [submitted, after].every((time) => time === undefined || Number.isFinite(time));
  return (
    texts && times && Number.isFinite(at) && isOutcome(outcome) && [0, 1, 2, 3].includes(grade as number)
  );
}

const isOutcome = (found: unknown): found is ProbeOutcome =>
  typeof found === "string" && Object.hasOwn(outcomes, found);

async function withFile(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.ioError, `${path}: the history cannot be used: ${errorText(error)}`);
  }
}
