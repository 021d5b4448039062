/** A thread that reads parts of a spool and makes rows of them. listing.ts starts it. */
import { parentPort, workerData } from "node:worker_threads";
import { errorCode, errorText } from "../../failure.ts";
import type { ListingAnswer, ThreadTask } from "./listing.ts";
import { type ListingOrder, newListing } from "./listing-task.ts";
import { packRows } from "./rows.ts";

const carryOut = newListing(workerData as ListingOrder);

async function answerTo({ task, layout }: ThreadTask): Promise<ListingAnswer> {
  try {
    return { rows: packRows(await carryOut(task, layout)) };
  } catch (error) {
    return { failed: { code: errorCode(error), message: errorText(error) } };
  }
}

let last: Promise<void> = Promise.resolve();

/** One task after the other, so that the answers are in their order. */
parentPort?.on("message", (task: ThreadTask) => {
  last = last.then(async () => parentPort?.postMessage(await answerTo(task)));
});
