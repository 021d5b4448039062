/** A worker thread that checks passwords, one at a time. pool.ts starts it and speaks with it. */
import { parentPort } from "node:worker_threads";
import type { Answer, Check } from "./pool.ts";
import { readStored, verifyStored } from "./stored.ts";

parentPort?.on("message", (check: Check) => {
  void answer(check).then((result: Answer) => parentPort?.postMessage(result));
});

async function answer({ password, names, hashes }: Check): Promise<Answer> {
  for (const [match, text] of hashes.entries()) {
    const stored = readStored(text);
    if (!("problem" in stored) && (await verifyStored(stored, { password, names }))) return { match };
  }
  return { match: -1 };
}
