/** A worker thread that checks passwords, one at a time. pool.ts starts it and speaks with it. */
import { parentPort } from "node:worker_threads";
import type { PasswordCheck, WorkerAnswer } from "./pool.ts";
import { readStored, verifyStored } from "./stored.ts";

parentPort?.on("message", (check: PasswordCheck) => {
  void answer(check).then((result: WorkerAnswer) => parentPort?.postMessage(result));
});

async function answer({ password, names, hashes }: PasswordCheck): Promise<WorkerAnswer> {
  for (const [match, text] of hashes.entries()) {
    const stored = readStored(text);
    if (!("problem" in stored) && (await verifyStored(stored, { password, names }))) return { match };
  }
  return { match: -1 };
}
