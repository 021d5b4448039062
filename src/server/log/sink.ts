/**
 * Takes the entries of the log to where they are wanted. Writing never waits and never throws; what the
 * destination does not take goes to standard error, and what cannot be kept at all is counted and told.
 */
import type { Writable } from "node:stream";
import { errorText } from "../../failure.ts";
import { type Destination, toFile, toJournal, toStream, toSyslog } from "./destination.ts";
import { type Format, type Line, lineOf, syslogLine } from "./line.ts";
import { entryOf, type Sink } from "./log.ts";

export type Target =
  | { readonly kind: "stdout" | "journal" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "syslog"; readonly host: string; readonly port: number };

export interface LogPlan {
  readonly target: Target;
  readonly format: Format;
  /** Stands in each line. */
  readonly hostname: string;
}

/** What the process has; tests have their own. */
export interface Surroundings {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** The journal's stream socket. */
  readonly journal: string;
  readonly pid: number;
}

export interface OpenSink {
  /** For logTo(). */
  readonly write: Sink;
  /** Opens a file anew, for logrotate; throws a Failure, and keeps the old one, where that cannot be done. */
  readonly reopen: () => Promise<void>;
  /** Resolves when every line is written. Lines that come later go to standard error. */
  readonly close: () => Promise<void>;
}

/** Lines that may wait while the destination is stuck; then the newest are counted instead of kept. About 20 MB. */
const mostWaiting = 100_000;

/** Opens the log. `now` gives milliseconds since the epoch. Throws a Failure where a file cannot be opened. */
export async function openSink(
  plan: LogPlan,
  now: () => number,
  around: Surroundings = surroundings(),
): Promise<OpenSink> {
  const speaker = { hostname: plan.hostname, pid: around.pid };
  const header = ({ tag, text }: Line) => syslogLine(tag, text, now(), speaker);
  const destination = await destinationFor(plan.target, around, header);
  const fallback = toStream(around.stderr);
  let waiting: Line[] = [];
  let lost = 0;
  let works = true;
  let closed = false;
  let running: Promise<void> | undefined;

  const write: Sink = (entry) => {
    if (waiting.length >= mostWaiting) lost += 1;
    else keep(entry);
  };

  const keep: Sink = (entry) => {
    waiting.push(lineOf(entry, now(), plan.format, speaker));
    running ??= drain();
  };

  async function drain(): Promise<void> {
    await Promise.resolve(); // what is logged in the same turn goes together
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      await deliver(lines);
      if (works && lost > 0) {
        const missing = lost;
        lost = 0;
        keep(entryOf("log-lost", { lines: missing }));
      }
    }
    running = undefined;
  }

  async function deliver(lines: readonly Line[]): Promise<void> {
    try {
      if (closed) throw new Error("it is closed");
      await destination.take(lines);
      if (!works) around.stderr.write("the log can be written again, and goes on there\n");
      works = true;
    } catch (error) {
      if (works) around.stderr.write(`the log cannot be written, and goes on here: ${errorText(error)}\n`);
      works = false;
      await fallback.take(lines).catch(() => {
        lost += lines.length;
      });
    }
  }

  return {
    write,
    reopen: destination.reopen,
    close: async () => {
      while (running !== undefined) await running;
      closed = true;
      await destination.close();
    },
  };
}

const surroundings = (): Surroundings => ({
  stdout: process.stdout,
  stderr: process.stderr,
  journal: "/run/systemd/journal/stdout",
  pid: process.pid,
});

async function destinationFor(
  target: Target,
  around: Surroundings,
  header: (line: Line) => string,
): Promise<Destination> {
  switch (target.kind) {
    case "stdout":
      return toStream(around.stdout);
    case "file":
      return toFile(target.path);
    case "journal":
      return toJournal(around.journal);
    case "syslog":
      return toSyslog(target.host, target.port, header);
  }
}
