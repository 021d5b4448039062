/** A worker thread that checks passwords, as many at a time as it is given. pool.ts starts it and speaks with it. */
import { parentPort } from "node:worker_threads";
import type { PasswordCheck, WorkerAnswer, WorkerTask } from "./pool.ts";
import { readStored, verifyStored } from "./stored.ts";

parentPort?.on("message", ({ number, ...check }: WorkerTask) => {
  void matchOf(check).then((match) => parentPort?.postMessage({ number, match } satisfies WorkerAnswer));
});

async function matchOf({ password, names, hashes }: PasswordCheck): Promise<number> {
  for (const [match, text] of hashes.entries()) {
    const stored = readStored(text);
    if (!("problem" in stored) && (await verifyStored(stored, { password, names }))) return match;
  }
  return -1;
}
