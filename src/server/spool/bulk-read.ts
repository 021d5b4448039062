/**
 * Reading the envelopes of a long queue. Node.js hands each call for a file to a thread and back, which takes longer than
 * the reading of a small file. So many are read synchronously, in batches: by a process that has nothing else to do, or in
 * a thread of their own, so that a slow disk delays nobody.
 */
import { on } from "node:events";
import { constants, readFileSync, statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { errorCode, errorText } from "../../failure.ts";

/** For each name: the text of the file in the folder `texts`, and the size of the one in `sizes`. */
export interface BulkRequest {
  readonly texts: string;
  readonly sizes: string;
  readonly names: readonly string[];
}

/** The system's error, as it goes from one thread to another. */
export interface ReadError {
  readonly code: string;
  readonly message: string;
}

/** What is there under one name. */
export interface BulkFile {
  readonly name: string;
  readonly text: string | ReadError;
  /** Octets. */
  readonly size: number | ReadError;
}

/**
 * The files in the order of the names, in batches of at least one. It may end before the last: the rest is to be read one
 * by one.
 */
export type BulkRead = (request: BulkRequest) => AsyncIterable<readonly BulkFile[]>;

/** Whoever takes a batch works on it in one go: some 1 ms for envelopes as they are. Our choice, like the others here. */
const mostFiles = 64;

/** Characters of text from which on a batch has enough: envelopes with hundreds of recipients take as long. */
const mostText = 64 * 1024;

/** Of fewer, a thread would take longer to start than they take to read. */
const worthThread = 512;

/** Batches that a thread is ahead. */
const ahead = 2;

/**
 * Opens, reads and closes in one call of Node.js: three take twice as long. A pipe that somebody put there is an empty text and
 * no wait without an end. Node.js takes the numbers of open(2) as well, which its types do not know.
 */
const whole = {
  encoding: "utf8",
  flag: (constants.O_RDONLY | constants.O_NONBLOCK) as unknown as string,
} as const;

/** The batches, each read synchronously when it is asked for. */
export function* readBatches({ texts, sizes, names }: BulkRequest): Generator<readonly BulkFile[]> {
  let batch: BulkFile[] = [];
  let length = 0;
  for (const name of names) {
    const text = orError(() => readFileSync(`${texts}/${name}`, whole));
    const size = orError(() => statSync(`${sizes}/${name}`).size);
    batch.push({ name, text, size });
    length += typeof text === "string" ? text.length : 0;
    if (batch.length < mostFiles && length < mostText) continue;
    yield batch;
    batch = [];
    length = 0;
  }
  if (batch.length > 0) yield batch;
}

function orError<Value>(read: () => Value): Value | ReadError {
  try {
    return read();
  } catch (error) {
    return asReadError(error);
  }
}

/** Throws what is no error of the system. */
export function asReadError(error: unknown): ReadError {
  const code = errorCode(error);
  if (code === "") throw error;
  return { code, message: errorText(error) };
}

/** {@link readBatches} in this thread. */
export const readHere: BulkRead = async function* (request) {
  yield* readBatches(request);
};

/**
 * The same in a thread that runs the file `worker`, bulk-read-worker.js in its built form, and ends with the request. It
 * reads nothing where there are fewer files than `least`. Where the thread cannot start, or ends too soon, `failed` is told.
 */
export function readInThread(worker: URL, failed: (error: unknown) => void, least = worthThread): BulkRead {
  return async function* (request) {
    if (request.names.length < least) return;
    try {
      yield* batchesOfThread(worker, request);
    } catch (error) {
      failed(error);
    }
  };
}

async function* batchesOfThread(worker: URL, request: BulkRequest): AsyncGenerator<readonly BulkFile[]> {
  const thread = new Worker(worker, { workerData: request });
  try {
    const answers = on(thread, "message", { close: ["exit"] });
    for (let asked = 0; asked < ahead; asked += 1) thread.postMessage("next");
    let read = 0;
    for await (const [batch] of answers as AsyncIterable<readonly [ThreadAnswer]>) {
      if (batch === "end") return;
      thread.postMessage("next");
      yield unpackFiles(batch, request.names, read);
      read += batch.texts.length;
    }
    throw new Error("the thread that reads the spool ended too soon");
  } finally {
    await thread.terminate();
  }
}

/** What the thread sends for each "next": the batches in the order of the names, which are known. */
export type ThreadAnswer = PackedFiles | "end";

/** A batch as it passes from one thread to another: few objects are quicker than many. */
interface PackedFiles {
  readonly texts: readonly BulkFile["text"][];
  readonly sizes: readonly BulkFile["size"][];
}

export function packFiles(files: readonly BulkFile[]): PackedFiles {
  return { texts: files.map(({ text }) => text), sizes: files.map(({ size }) => size) };
}

const missing: ReadError = { code: "ENOENT", message: "it was not read" };

function unpackFiles(
  { texts, sizes }: PackedFiles,
  names: readonly string[],
  from: number,
): readonly BulkFile[] {
  return texts.map((text, at) => ({ name: names[from + at] ?? "", text, size: sizes[at] ?? missing }));
}
