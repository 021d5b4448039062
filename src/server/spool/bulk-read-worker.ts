/** A worker thread that reads many small files, a batch for each message that it gets. bulk-read.ts starts it. */
import { parentPort, workerData } from "node:worker_threads";
import { type BulkRequest, packFiles, readBatches, type ThreadAnswer } from "./bulk-read.ts";

const batches = readBatches(workerData as BulkRequest);

parentPort?.on("message", () => {
  const { value, done } = batches.next();
  parentPort?.postMessage((done === true ? "end" : packFiles(value)) satisfies ThreadAnswer);
});
