/** A worker thread that reads one password file. file-reader.ts starts it. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { errorCode, errorText, Failure } from "../failure.ts";
import type { FileReadRequest, ReadAnswer } from "./file-reader.ts";
import { buffersOf, readTable } from "./login-table.ts";

function answer({ descriptor, domain, reported }: FileReadRequest): ReadAnswer {
  try {
    const octets = new Uint8Array(readFileSync(descriptor)); // Node's own may share its memory with others
    return { kind: "read", read: readTable(octets, domain, reported) };
  } catch (error) {
    if (error instanceof Failure) return { kind: "refused", reason: errorText(error) };
    if (errorCode(error) !== "") return { kind: "unreadable", reason: errorText(error) };
    throw error;
  }
}

const request: FileReadRequest = workerData;
const given = answer(request);
parentPort?.postMessage(given, given.kind === "read" ? buffersOf(given.read) : []);
