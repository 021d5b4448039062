/**
 * Writes the history. Mail never waits for it: lines are gathered for a second and appended, without fsync. A crash
 * loses that second (the spool has what is not done with), a disk that refuses loses what it refuses, and says so once.
 */
import { type FileHandle, mkdir, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, errorText } from "../../failure.ts";
import { log, logBug } from "../log/log.ts";
import { formatEvent, type HistoryEvent } from "./event.ts";
import { expired, type HistoryLimits, isFull, listHistory, nameOf } from "./files.ts";

export interface HistoryWriter {
  /** Keeps `event`, unless the history is off. Never fails. */
  add(event: HistoryEvent): void;
  /** Resolves when all that came before is written, or given up. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** What the process has; tests have their own. */
export interface HistoryClock {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Calls `due` once, after so many milliseconds; what it returns takes that back. It keeps no process running. */
  readonly after: (milliseconds: number, due: () => void) => () => void;
}

const gatheredFor = 1_000;
/** Characters that are written at once, without waiting for the rest of the second. */
const mostGathered = 256 * 1024;
/** And beyond which lines are dropped, when the disk hangs. All three are our choice. */
const mostWaiting = 32 * 1024 * 1024;
/** Milliseconds until a disk that refused is tried again, and between two looks for what is too old, at most. */
const retryAfter = 60_000;
const purgeEvery = 600_000;

interface OpenFile {
  readonly handle: FileHandle;
  readonly start: number;
  octets: number;
}

/** Keeps the history in `directory`, which is made when it is needed. `limits` is asked each time: a reload may change it. */
export function openHistoryWriter(
  directory: string,
  limits: () => HistoryLimits,
  { now, after }: HistoryClock,
): HistoryWriter {
  let lines: string[] = [];
  let gathered = 0;
  let dropped = 0;
  let file: OpenFile | undefined;
  let refusedAt: number | undefined;
  let running: Promise<void> | undefined;
  let cancelFlush = () => {};
  let closed = false;
  let cancelPurge = after(0, purgeSometimes); // what is too old goes, although nothing may come
  let purgeDue = now();

  function add(event: HistoryEvent): void {
    if (limits().keep === 0) return;
    const line = formatEvent(event);
    if (gathered + line.length > mostWaiting) {
      dropped += 1;
      return;
    }
    if (lines.length === 0) cancelFlush = after(gatheredFor, () => void flush());
    lines.push(line);
    gathered += line.length;
    if (gathered >= mostGathered && running === undefined) void flush();
  }

  /** One after the other: each waits for the one before. */
  function enqueue(work: () => Promise<void>): Promise<void> {
    const before = running ?? Promise.resolve();
    const mine = before.then(work).catch(giveUp);
    running = mine;
    void mine.then(() => {
      if (running === mine) running = undefined;
    });
    return mine;
  }

  const flush = (): Promise<void> => enqueue(write);

  async function write(): Promise<void> {
    cancelFlush();
    if (refusedAt !== undefined && now() < refusedAt + retryAfter) {
      cancelFlush = after(retryAfter, () => void flush());
      return;
    }
    while (lines.length > 0) {
      const text = take();
      const to = await current(text.length);
      await to.handle.appendFile(text);
      to.octets += text.length;
      refusedAt = undefined;
    }
    if (dropped > 0) lost(`${dropped} events are missing`);
    dropped = 0;
  }

  /** What is written at once, taken from what waits. */
  function take(): Buffer {
    let taken = "";
    let count = 0;
    for (const line of lines) {
      if (count > 0 && taken.length + line.length > mostGathered) break;
      taken += line;
      count += 1;
    }
    lines = lines.slice(count);
    gathered -= taken.length;
    return Buffer.from(taken);
  }

  /** The file for `more` octets of this moment. */
  async function current(more: number): Promise<OpenFile> {
    if (file !== undefined && !isFull(file, more, now(), limits())) return file;
    await leaveFile();
    await purge();
    file = await openLast(directory, more, now(), limits());
    purgeBy(file.start + limits().keep);
    return file;
  }

  async function leaveFile(): Promise<void> {
    const left = file;
    file = undefined;
    await left?.handle.close();
  }

  async function purge(): Promise<void> {
    const files = await listHistory(directory);
    const gone = expired(files, now(), limits());
    const oldest = files.find((one) => !gone.includes(one));
    if (oldest !== undefined) purgeBy(oldest.start + limits().keep);
    for (const { name, start } of gone) {
      if (file?.start === start) await leaveFile();
      await unlink(join(directory, name)).catch((error: unknown) => {
        if (errorCode(error) !== "ENOENT") throw error;
      });
    }
  }

  function purgeSometimes(): void {
    purgeDue = Number.POSITIVE_INFINITY;
    purgeBy(now() + purgeEvery);
    void enqueue(purge);
  }

  /** Nothing is kept a moment longer than it may be. */
  function purgeBy(time: number): void {
    if (closed || time >= purgeDue) return;
    cancelPurge();
    purgeDue = time;
    cancelPurge = after(Math.max(0, time - now()), purgeSometimes);
  }

  async function giveUp(error: unknown): Promise<void> {
    if (errorCode(error) === "") logBug("history", error);
    else if (refusedAt === undefined) lost(errorText(error));
    refusedAt = now();
    await leaveFile().catch(() => undefined);
  }

  const lost = (reason: string) => log("history-unwritten", { directory, reason });

  return {
    add,
    flush,
    async close() {
      closed = true;
      cancelPurge();
      await flush();
      cancelFlush();
      await enqueue(leaveFile);
    },
  };
}

/** Goes on with the newest file where it still takes lines, else begins one. */
async function openLast(
  directory: string,
  more: number,
  now: number,
  limits: HistoryLimits,
): Promise<OpenFile> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const newest = (await listHistory(directory)).at(-1);
  const goesOn = newest !== undefined && newest.start <= now && !isFull(newest, more, now, limits);
  const start = goesOn ? newest.start : Math.floor(now / 1_000) * 1_000;
  const handle = await open(join(directory, nameOf(start)), "a+", 0o600);
  const { size } = await handle.stat();
  const octets = size + (await endLine(handle, size));
  return { handle, start, octets };
}

/** Ends a line that a crash cut short. Resolves to the octets written. */
async function endLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  if (buffer[0] === 0x0a) return 0;
  await handle.appendFile("\n");
  return 1;
}
