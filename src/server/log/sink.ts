/**
 * Writes the entries of the log to their destination: a stream, a file, the journal of systemd, syslog. Writing never
 * waits and never throws. What the destination does not take goes to standard error; lines that cannot be kept are
 * counted, and the count is logged.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout as pause, setImmediate } from "node:timers/promises";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { journalEntry, perl, toDatagrams } from "./datagrams.ts";
import { type LogDestination, PartlyWritten, toFile, toStream } from "./destination.ts";
import { type LogFormat, type LogLine, lineOf, localSyslogLine, severity, syslogLine } from "./format.ts";
import { journalFolder, journalOfProcess } from "./journal.ts";
import { toJournalStreams } from "./journal-streams.ts";
import { entryOf, type LogSink } from "./log.ts";
import { toSyslog } from "./syslog.ts";

export type LogTarget =
  | { readonly kind: "stdout" | "journal" }
  | { readonly kind: "file" | "socket"; readonly path: string }
  | { readonly kind: "syslog"; readonly host: string; readonly port: number };

export interface LogOptions {
  readonly target: LogTarget;
  readonly format: LogFormat;
  /** Stands in each line. */
  readonly hostname: string;
  /** Logs that so many lines were lost, once the log can be written again; where it is missing, the sink does. */
  readonly tellLost?: (lines: number) => void;
}

/** What the process has; tests have their own. */
export interface SinkDependencies {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Which of the two lead to the journal, which puts date and host before each line. */
  readonly journalBehind: { readonly output: boolean; readonly error: boolean };
  /** The folder of the journal's sockets. */
  readonly journal: string;
  /** Sends datagrams; see datagrams.ts. */
  readonly perl: string;
  readonly pid: number;
  /** Milliseconds that close() waits for a destination that is stuck. */
  readonly patience: number;
}

export interface OpenSink {
  /** For logTo(). */
  readonly write: LogSink;
  /** How many lines were lost so far, told or not. */
  readonly lost: () => number;
  /** Opens the file again, for logrotate. Where it cannot, throws a Failure and keeps the old one. */
  readonly reopen: () => Promise<void>;
  /** Resolves when every line is written, or after some seconds. Lines that come later go to standard error. */
  readonly close: () => Promise<void>;
}

/** Lines that may wait while the destination is stuck; then the newest are counted instead of kept. About 20 MB. */
const mostWaiting = 100_000;

/** Milliseconds for which lines are gathered behind others that were just written. Our choice: a write for each turn is dear. */
const gatheredFor = 5;

/** Opens the log. `now` gives milliseconds since the epoch. Throws a Failure where a file cannot be opened. */
export async function openSink(
  options: LogOptions,
  now: () => number,
  dependencies: SinkDependencies = processDependencies(),
): Promise<OpenSink> {
  const { stderr, pid } = dependencies;
  const source = { hostname: options.hostname, pid };
  const header = ({ tag, text, at }: LogLine) => syslogLine(tag, text, at, source);
  const destination = await destinationFor(options.target, dependencies, header);
  const fallback = dependencies.journalBehind.error ? toStream(stderr, inJournal(pid)) : toStream(stderr);
  let waiting: LogLine[] = [];
  let underWay = 0;
  let lost = 0;
  let told = 0;
  let works = true;
  let closed = false;
  let running: Promise<void> | undefined;

  const write: LogSink = (entry) => {
    if (waiting.length >= mostWaiting) lost += 1;
    else keep(entry);
  };

  const keep: LogSink = (entry) => {
    waiting.push(lineOf(entry, now(), options.format, source));
    running ??= drain();
  };

  const tellLost = options.tellLost ?? ((lines) => keep(entryOf("log-lost", { lines })));

  async function drain(): Promise<void> {
    await setImmediate(); // what is logged in the same turn of the event loop goes together
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      underWay = lines.length;
      await deliver(lines);
      underWay = 0;
      if (works && lost > told) {
        const lines = lost - told;
        told = lost;
        tellLost(lines);
      }
      if (!closed) await pause(gatheredFor);
    }
    running = undefined;
  }

  async function deliver(lines: readonly LogLine[]): Promise<void> {
    try {
      if (closed) throw new Error("it is closed");
      await destination.write(lines);
      if (!works) stderr.write("the log can be written again, and goes on there\n");
      works = true;
    } catch (error) {
      if (works) stderr.write(`the log cannot be written, and goes on here: ${errorText(error)}\n`);
      works = false;
      const rest = error instanceof PartlyWritten ? lines.slice(error.count) : lines;
      await fallback.write(rest).catch(() => {
        lost += rest.length;
      });
    }
  }

  async function finish(): Promise<void> {
    while (running !== undefined) await running;
    closed = true;
    await destination.close();
  }

  return {
    write,
    lost: () => lost,
    reopen: destination.reopen,
    close: async () => {
      const waited = new AbortController();
      const late = pause(dependencies.patience, "late", { signal: waited.signal }).catch(() => "");
      if ((await Promise.race([finish(), late])) === "late") {
        closed = true;
        destination.abandon?.();
        stderr.write(
          `the log takes nothing, ${lost - told + underWay + waiting.length} of its last lines are lost\n`,
        );
        waiting = [];
      }
      waited.abort();
    },
  };
}

/** Those of the process, but for what `given` says. */
export const processDependencies = (given: Partial<SinkDependencies> = {}): SinkDependencies => ({
  stdout: process.stdout,
  stderr: process.stderr,
  journalBehind: journalOfProcess(),
  journal: journalFolder,
  perl,
  pid: process.pid,
  patience: 5_000,
  ...given,
});

async function destinationFor(
  target: LogTarget,
  dependencies: SinkDependencies,
  header: (line: LogLine) => string,
): Promise<LogDestination> {
  const { pid, stdout, journalBehind } = dependencies;
  switch (target.kind) {
    case "stdout":
      return journalBehind.output ? toJournal(dependencies) : toStream(stdout);
    case "file":
      return toFile(target.path);
    case "journal":
      return toJournal(dependencies);
    case "socket":
      if (!existsSync(dependencies.perl))
        throw new Failure(
          exitStatus.unavailable,
          `cannot write the log to ${target.path}: this takes ${dependencies.perl} (perl-base), which is not there; log.target can be a file, or syslog:HOST:PORT`,
        );
      return toDatagrams(dependencies.perl, target.path, (line) => localSyslogLine(line, pid), monotonic);
    case "syslog":
      return toSyslog(target.host, target.port, header);
  }
}

/** One socket for all programs where it can be had, since it keeps the order of the lines. */
const toJournal = ({ journal, perl: sender, pid }: SinkDependencies): LogDestination =>
  existsSync(sender)
    ? toDatagrams(sender, join(journal, "socket"), (line) => journalEntry(line, pid), monotonic)
    : toJournalStreams(join(journal, "stdout"));

const monotonic = (): number => performance.now();

/** A line on a stream that leads to the journal, which adds date and host, and heeds sd-daemon(3) levels. */
const inJournal =
  (pid: number) =>
  ({ level, tag, text }: LogLine): string =>
    `<${severity[level]}>${tag}[${pid}]: ${text}`;
