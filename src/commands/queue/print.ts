/** Standard output for data, standard error for talk. */
import { once } from "node:events";
import { errorCode, exitStatus } from "../../failure.ts";

/** Characters that are written at a time. */
const gathered = 32_768;

/** Writes texts as they come, and waits for a reader who is slow. Where nobody reads any more, the program ends. */
export async function print(texts: AsyncIterable<string>): Promise<void> {
  process.stdout.on("error", ended);
  let waiting = "";
  for await (const text of texts) {
    waiting += text;
    if (waiting.length < gathered) continue;
    await write(waiting);
    waiting = "";
  }
  await write(waiting);
  process.stdout.off("error", ended);
}

/** The same for octets. */
export async function printOctets(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  process.stdout.on("error", ended);
  for await (const piece of pieces) await write(piece);
  process.stdout.off("error", ended);
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function write(data: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(data)) await once(process.stdout, "drain");
}

/** `queue list | head`: as with ls, that is no mistake. */
function ended(error: Error): void {
  if (errorCode(error) !== "EPIPE") throw error;
  process.exit(exitStatus.ok);
}
