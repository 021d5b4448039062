/**
 * All messages that a filter means, in rows, read from the spool beside its owner. A long queue is read by several threads: most
 * of the work is that of single messages. docs/performance.md has what that brings.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { TableLayout } from "../../cli/table.ts";
import type { KnownToRelay } from "../../server/control/client.ts";
import { inOrder } from "../../server/control/query.ts";
import type { ReadError } from "../../server/spool/bulk-read.ts";
import { viewJournalFiles } from "../../server/spool/journal-reading.ts";
import { journalIn } from "../../server/spool/open.ts";
import { isQueueId } from "../../server/spool/queue-id.ts";
import { type ListingOrder, type ListingTask, newListing, patientDisk } from "./listing-task.ts";
import { byId, type ListedRow, type PackedRows, unpackRows } from "./rows.ts";

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

/** What a thread is to do; the layout of the table where that is settled. */
export interface ThreadTask {
  readonly task: ListingTask;
  readonly layout: TableLayout | undefined;
}

/** Tells the layout of the table for which the rows are, once that is settled. */
export type Settled = () => TableLayout | undefined;

const never: Settled = () => undefined;

/** The rows in batches, oldest first. Throws the system's error. */
export async function* listSpool(
  order: ListingOrder,
  settled: Settled = never,
): AsyncGenerator<readonly ListedRow[]> {
  const { directory } = order;
  const { segments, done } = await viewJournalFiles(patientDisk, journalIn(directory));
  const queue = join(directory, "queue");
  const tasks = newTasks(order, settled);
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

/** The same rows, from what a relay has in memory. A message that moves there meanwhile is there once. */
export async function* listKnown(
  order: ListingOrder,
  { messages, isSorted, octets }: KnownToRelay,
  settled: Settled,
): AsyncGenerator<readonly ListedRow[]> {
  const tasks = newTasks(order, settled);
  try {
    if (messages >= worthThreads.files) tasks.begin();
    const batches = inOrder(wholePieces(octets), tasks.atATime(), tasks.carryOut);
    yield* isSorted ? ascending(batches) : sorted(batches);
  } finally {
    await tasks.end();
  }
}

/** Octets in one task: some 700 messages. */
const octetsAtATime = 256 * 1024;

/** Joined where they were cut, so that each has whole messages. */
async function* wholePieces(octets: AsyncIterable<Buffer>): AsyncGenerator<ListingTask> {
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const chunk of octets) {
    const end = length + chunk.length >= octetsAtATime ? chunk.lastIndexOf(0) + 1 : 0;
    if (end > 0) yield { known: joined([...waiting, chunk.subarray(0, end)]) };
    waiting = end > 0 ? [chunk.subarray(end)] : [...waiting, chunk];
    length = end > 0 ? chunk.length - end : length + chunk.length;
  }
  if (length > 0) yield { known: joined(waiting) };
}

/** In memory of its own: all of it passes to a thread. */
function joined(chunks: readonly Buffer[]): ArrayBuffer {
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole.buffer;
}

/** What is put back meanwhile comes a second time, behind the others. */
async function* ascending(
  batches: AsyncIterable<readonly ListedRow[]>,
): AsyncGenerator<readonly ListedRow[]> {
  let last = "";
  for await (const rows of batches) {
    const next = rows.filter(({ id }) => {
      const isNext = id > last;
      if (isNext) last = id;
      return isNext;
    });
    yield next;
  }
}

async function* sorted(batches: AsyncIterable<readonly ListedRow[]>): AsyncGenerator<readonly ListedRow[]> {
  const all: ListedRow[] = [];
  for await (const rows of batches) for (const row of rows) all.push(row);
  all.sort(byId);
  async function* parts() {
    for (let at = 0; at < all.length; at += rowsAtATime) yield all.slice(at, at + rowsAtATime);
  }
  yield* ascending(parts());
}

function* partsOf(ids: readonly string[]): Generator<ListingTask> {
  for (let at = 0; at < ids.length; at += rowsAtATime) yield { ids: ids.slice(at, at + rowsAtATime) };
}

/** Records whose messages are not in `queue/` since, by queue ID. */
function withoutMoved(recorded: readonly ListedRow[], inQueue: readonly string[]): readonly ListedRow[] {
  const moved = new Set(inQueue);
  return recorded.filter(({ id }) => !moved.has(id)).sort(byId);
}

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

function newTasks(order: ListingOrder, settled: Settled): Tasks {
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
      const layout = settled();
      const answer = await thread?.answerTo({ task, layout });
      if (answer === undefined) return here(task, layout);
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
  answerTo(task: ThreadTask): Promise<ListingAnswer | undefined>;
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
    answerTo: (given) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        thread.postMessage(given); // a copy: it is read here where the thread fails
      }),
    end: () => thread.terminate(),
  };
}
