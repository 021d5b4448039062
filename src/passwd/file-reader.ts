/**
 * The password file is read on a thread of its own: a hundred thousand lines take a second, and the relay goes on
 * meanwhile. The thread ends with its answer, and gives back all memory that it took.
 */
import { Worker } from "node:worker_threads";
import { errorText } from "../failure.ts";
import type { ReadTable } from "./login-table.ts";

export interface FileReadRequest {
  /** The opened file. */
  readonly descriptor: number;
  readonly domain: string;
  /** What the last table had as `reported`. */
  readonly reported: Uint8Array;
}

export type ReadAnswer =
  | { readonly kind: "read"; readonly read: ReadTable }
  /** The file is no password file. */
  | { readonly kind: "refused"; readonly reason: string }
  /** The system, or this program, could not read it. */
  | { readonly kind: "unreadable"; readonly reason: string };

export interface FileReader {
  read(request: FileReadRequest): Promise<ReadAnswer>;
  /** Ends the threads that still read; their files are unreadable. */
  close(): Promise<void>;
}

/** Megabytes of the thread's heap, enough for several million lines. A larger file ends the thread, not the relay. */
const heap = 512;

/** `worker` is file-worker.js in its built form. */
export function newFileReader(worker: URL): FileReader {
  const threads = new Set<Worker>();
  let isClosed = false;
  return {
    async read(request) {
      if (isClosed) return { kind: "unreadable", reason: "shutting down" };
      const thread = new Worker(worker, {
        workerData: request,
        resourceLimits: { maxOldGenerationSizeMb: heap },
      });
      threads.add(thread);
      return new Promise((resolve) => {
        let reason = "the thread that read it ended";
        thread.on("message", resolve);
        thread.on("error", (error) => {
          reason += `: ${errorText(error)}`;
        });
        thread.on("exit", () => {
          threads.delete(thread);
          resolve({ kind: "unreadable", reason });
        });
      });
    },
    async close() {
      isClosed = true;
      await Promise.all([...threads].map((thread) => thread.terminate()));
    },
  };
}
