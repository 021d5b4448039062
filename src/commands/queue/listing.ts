/**
 * All messages that a filter means, in rows, read from the spool beside its owner. A long queue is read by several threads: most
 * of the work is that of single messages. docs/performance.md has what that brings.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { inOrder } from "../../server/control/query.ts";
import type { ReadError } from "../../server/spool/bulk-read.ts";
import { viewJournalFiles } from "../../server/spool/journal-reading.ts";
import { journalIn } from "../../server/spool/open.ts";
import { isQueueId } from "../../server/spool/queue-id.ts";
import { type ListingOrder, type ListingTask, newListing, patientDisk } from "./listing-task.ts";
import { type ListedRow, type PackedRows, unpackRows } from "./rows.ts";

/** What a thread answers to a task; an error of the system as it passes from one thread to another. */
export type ListingAnswer = { readonly rows: PackedRows } | { readonly failed: ReadError };

/** Messages that are files, in one task, and rows in a batch. Our choice, like the others here: some 10 ms. */
const rowsAtATime = 1_000;

/** Files and segments from which on threads are worth their start; most file systems tell of many files by their folder's size. */
const worthThreads = { files: 5_000, segments: 4, octetsOfFolder: 256 * 1024 };

const mostThreads = 4;

/** Tasks that a thread is ahead. */
const ahead = 2;

const program = new URL("./listing-worker.js", import.meta.url);

/** The rows in batches, oldest first. Throws the system's error. */
export async function* listSpool(order: ListingOrder): AsyncGenerator<readonly ListedRow[]> {
  const { directory } = order;
  const { segments, done } = await viewJournalFiles(patientDisk, journalIn(directory));
  const queue = join(directory, "queue");
  const tasks = newTasks(order);
  try {
    const isLong = (await patientDisk.size(queue)) >= worthThreads.octetsOfFolder;
    if (isLong || segments.length >= worthThreads.segments) tasks.begin();
    const ofSegments: (readonly ListedRow[])[] = [];
    const inSegments = segments.map((segment) => ({
      segment,
      done: done.filter(({ number }) => number === segment.number),
    }));
    for await (const rows of inOrder(inSegments, tasks.atATime(), tasks.carryOut)) ofSegments.push(rows);
    const recorded = ofSegments.flat();
    // Behind the records: what moves meanwhile is found here.
    const names = await patientDisk.list(queue);
    if (names.length >= worthThreads.files) tasks.begin();
    const ids = names.filter(isQueueId).sort();
    const inFiles = inOrder(partsOf(ids), tasks.atATime(), tasks.carryOut);
    yield* recorded.length === 0 ? inFiles : merged(withoutMoved(recorded, ids), inFiles);
  } finally {
    await tasks.end();
  }
}

function* partsOf(ids: readonly string[]): Generator<ListingTask> {
  for (let at = 0; at < ids.length; at += rowsAtATime) yield { ids: ids.slice(at, at + rowsAtATime) };
}

/** Records whose messages are not in `queue/` since, by queue ID. */
function withoutMoved(recorded: readonly ListedRow[], inQueue: readonly string[]): readonly ListedRow[] {
  const moved = new Set(inQueue);
  return recorded.filter(({ id }) => !moved.has(id)).sort(byId);
}

const byId = (one: ListedRow, other: ListedRow): number => (one.id < other.id ? -1 : 1);

/** Both in one order; `batches` are sorted, each by itself and as they follow each other. */
async function* merged(
  first: readonly ListedRow[],
  batches: AsyncIterable<readonly ListedRow[]>,
): AsyncGenerator<readonly ListedRow[]> {
  let at = 0;
  for await (const batch of batches) {
    const last = batch.at(-1)?.id ?? "";
    const begin = at;
    while ((first[at]?.id ?? last) < last) at++;
    yield at === begin ? batch : [...first.slice(begin, at), ...batch].sort(byId);
  }
  for (; at < first.length; at += rowsAtATime) yield first.slice(at, at + rowsAtATime);
}

interface Tasks {
  /** From here on threads carry them out, where there are cores for them. */
  begin(): void;
  /** How many are worth to be asked for at one time. */
  atATime(): number;
  readonly carryOut: (task: ListingTask) => Promise<readonly ListedRow[]>;
  end(): Promise<void>;
}

function newTasks(order: ListingOrder): Tasks {
  const here = newListing(order);
  const cores = Math.min(availableParallelism(), mostThreads);
  const threads: ListingThread[] = [];
  return {
    begin() {
      while (threads.length < cores - 1) threads.push(newThread(order)); // this one works as well
    },
    atATime: () => 1 + threads.length * ahead,
    async carryOut(task) {
      const thread = threads.find(({ works, waiting }) => works() && waiting() < ahead);
      const answer = await thread?.answerTo(task);
      if (answer === undefined) return here(task);
      if ("rows" in answer) return unpackRows(answer.rows);
      const { code, message } = answer.failed;
      throw Object.assign(new Error(message), code === "" ? {} : { code });
    },
    async end() {
      await Promise.all(threads.map(({ end }) => end()));
    },
  };
}

interface ListingThread {
  /** Whether it has not failed. */
  readonly works: () => boolean;
  /** Tasks without an answer. */
  readonly waiting: () => number;
  /** Undefined where the thread could not start, or ended too soon. */
  answerTo(task: ListingTask): Promise<ListingAnswer | undefined>;
  readonly end: () => Promise<unknown>;
}

function newThread(order: ListingOrder): ListingThread {
  const waiting: ((answer: ListingAnswer | undefined) => void)[] = [];
  let works = true;
  const thread = new Worker(program, { workerData: order, resourceLimits: { maxYoungGenerationSizeMb: 48 } });
  const fail = (): void => {
    works = false;
    for (const tell of waiting.splice(0)) tell(undefined);
  };
  thread.on("message", (answer: ListingAnswer) => waiting.shift()?.(answer));
  thread.on("error", fail);
  thread.on("exit", fail);
  return {
    works: () => works,
    waiting: () => waiting.length,
    answerTo: (task) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        thread.postMessage(task);
      }),
    end: () => thread.terminate(),
  };
}
