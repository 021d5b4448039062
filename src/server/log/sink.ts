/**
 * Writes the entries of the log to their destination: a stream, a file, the journal of systemd, a syslog server. Writing
 * never waits and never throws. What the destination does not take goes to standard error; lines that cannot be kept
 * are counted, and the count is logged.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import type { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { type LogFormat, type LogLine, lineOf, syslogLine } from "./format.ts";
import { entryOf, type LogSink } from "./log.ts";

export type LogTarget =
  | { readonly kind: "stdout" | "journal" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "syslog"; readonly host: string; readonly port: number };

export interface LogOptions {
  readonly target: LogTarget;
  readonly format: LogFormat;
  /** Stands in each line. */
  readonly hostname: string;
}

/** What the process has; tests have their own. */
export interface SinkDependencies {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** The journal's stream socket. */
  readonly journal: string;
  readonly pid: number;
}

export interface OpenSink {
  /** For logTo(). */
  readonly write: LogSink;
  /** Opens the file again, for logrotate. Where it cannot, throws a Failure and keeps the old one. */
  readonly reopen: () => Promise<void>;
  /** Resolves when every line is written. Lines that come later go to standard error. */
  readonly close: () => Promise<void>;
}

/** Lines that may wait while the destination is stuck; then the newest are counted instead of kept. About 20 MB. */
const mostWaiting = 100_000;

/** Opens the log. `now` gives milliseconds since the epoch. Throws a Failure where a file cannot be opened. */
export async function openSink(
  options: LogOptions,
  now: () => number,
  dependencies: SinkDependencies = processDependencies(),
): Promise<OpenSink> {
  const source = { hostname: options.hostname, pid: dependencies.pid };
  const header = ({ tag, text }: LogLine) => syslogLine(tag, text, now(), source);
  const destination = await destinationFor(options.target, dependencies, header);
  const fallback = toStream(dependencies.stderr);
  let waiting: LogLine[] = [];
  let lost = 0;
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

  async function deliver(lines: readonly LogLine[]): Promise<void> {
    try {
      if (closed) throw new Error("it is closed");
      await destination.write(lines);
      if (!works) dependencies.stderr.write("the log can be written again, and goes on there\n");
      works = true;
    } catch (error) {
      if (works)
        dependencies.stderr.write(`the log cannot be written, and goes on here: ${errorText(error)}\n`);
      works = false;
      await fallback.write(lines).catch(() => {
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

const processDependencies = (): SinkDependencies => ({
  stdout: process.stdout,
  stderr: process.stderr,
  journal: "/run/systemd/journal/stdout",
  pid: process.pid,
});

async function destinationFor(
  target: LogTarget,
  dependencies: SinkDependencies,
  header: (line: LogLine) => string,
): Promise<LogDestination> {
  switch (target.kind) {
    case "stdout":
      return toStream(dependencies.stdout);
    case "file":
      return toFile(target.path);
    case "journal":
      return toJournal(dependencies.journal);
    case "syslog":
      return toSyslog(target.host, target.port, header);
  }
}

/** Writes lines or says that it cannot; {@link openSink} decides what happens to them then. */
export interface LogDestination {
  /** Resolves when the lines are written, in order. Rejects with the system's error; some may be written then. */
  readonly write: (lines: readonly LogLine[]) => Promise<void>;
  /** For logrotate: lets go of a file that was renamed. */
  readonly reopen: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

const joined = (lines: readonly LogLine[]): string => lines.map(({ whole }) => `${whole}\n`).join("");

/** Standard output, or another stream that stays open when the log ends. */
export function toStream(stream: Writable): LogDestination {
  stream.on("error", ignore); // the callback of the failed write gets it
  return {
    write: (lines) => write(stream, joined(lines)),
    reopen: nothing,
    close: async () => void stream.off("error", ignore),
  };
}

/** Appends to the file `path`. Throws a Failure where it cannot be opened. */
export async function toFile(path: string): Promise<LogDestination> {
  const openFile = () =>
    open(path, "a", 0o640).catch((error: unknown) => {
      throw new Failure(exitStatus.cannotCreate, `cannot write the log: ${errorText(error)}`, {
        cause: error,
      });
    });
  let file = await openFile();
  let torn = "";
  return {
    write: async (lines) => {
      const text = torn + joined(lines);
      torn = "\n"; // a full disk may keep half a line: the next one must not continue it
      await file.appendFile(text);
      torn = "";
    },
    reopen: async () => {
      const old = file;
      file = await openFile();
      await old.close();
    },
    close: () => file.close(),
  };
}

/** sd-daemon(3) levels, which are those of syslog. */
const severity = { info: 6, warning: 4, error: 3 } as const;
/** RFC 3164 section 4.1.1: facility "mail". */
const mail = 2 * 8;

/** Milliseconds in which the journal reads one stream before another one gets more. Our choice. */
const journalPause = 2;

/** Pauses in one call: a backlog is worth more than its order. Our choice, a second's. */
const mostPauses = 500;

/**
 * The journal's stream socket, /run/systemd/journal/stdout, one connection for each tag: the tag is in the header
 * that a connection begins with (systemd's own sd_journal_stream_fd(3) writes it). The journal never answers and
 * shuts its side down at once, so each connection stays half open.
 */
export function toJournal(path: string): LogDestination {
  const connections = new Map<string, Socket>();
  let written = 0; // when the last stream was written to

  async function connection(tag: string): Promise<Socket> {
    const known = connections.get(tag);
    if (known !== undefined) return known;
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, "connect");
    socket
      .on("error", ignore)
      .on("close", () => {
        if (connections.get(tag) === socket) connections.delete(tag);
      })
      .resume()
      .unref();
    connections.set(tag, socket);
    const unit = "";
    await write(socket, [tag, unit, mail + severity.info, 1, 1, 0, 0, ""].join("\n"));
    return socket;
  }

  /** Connects again, once, where the connection was lost. */
  async function send(tag: string, text: string): Promise<void> {
    const isKnown = connections.has(tag);
    try {
      await write(await connection(tag), text);
    } catch (error) {
      connections.get(tag)?.destroy();
      connections.delete(tag);
      if (!isKnown) throw error;
      await write(await connection(tag), text);
    }
  }

  return {
    write: async (lines) => {
      for (const [index, step] of inSteps(lines).entries()) {
        const since = performance.now() - written;
        if (index < mostPauses && since < journalPause) await pause(journalPause);
        for (const [tag, text] of step) await send(tag, text);
        written = performance.now();
      }
    },
    reopen: nothing,
    close: async () => {
      await Promise.all([...connections.values()].map((socket) => ended(socket)));
    },
  };
}

/**
 * What to write to each stream, in steps. The journal reads streams that are ready at the same time in any order:
 * a line about a message that another stream has mentioned before belongs to a later step.
 */
function inSteps(lines: readonly LogLine[]): readonly ReadonlyMap<string, string>[] {
  const steps: Map<string, string>[] = [];
  const ofStream = new Map<string, number>();
  const ofMessage = new Map<string, { readonly tag: string; readonly step: number }>();
  for (const { tag, level, text, messages } of lines) {
    const earliest = messages.map((id) => {
      const last = ofMessage.get(id);
      if (!last) return 0;
      return last.tag === tag ? last.step : last.step + 1;
    });
    const step = Math.max(ofStream.get(tag) ?? 0, ...earliest);
    ofStream.set(tag, step);
    for (const id of messages) ofMessage.set(id, { tag, step });
    const texts = steps[step] ?? new Map<string, string>();
    steps[step] = texts; // the next one at most: no step is left out
    texts.set(tag, `${texts.get(tag) ?? ""}<${severity[level]}>${text}\n`);
  }
  return steps;
}

/** What rsyslog takes by default, with some room for the header. */
const longestDatagram = 8000;

/** A syslog server: RFC 3164 over UDP, since RFC 5424 lines come out of rsyslog in a shape that nobody parses. */
export function toSyslog(host: string, port: number, header: (line: LogLine) => string): LogDestination {
  let socket: UdpSocket | undefined;
  let refusal: Error | undefined; // known only after a datagram was sent where nobody listens

  async function connection(): Promise<UdpSocket> {
    if (socket !== undefined) return socket;
    const { address, family } = await lookup(host);
    const next = createSocket(family === 6 ? "udp6" : "udp4");
    next.unref().on("error", (error) => {
      refusal = error;
    });
    next.connect(port, address);
    await once(next, "connect");
    socket = next;
    return next;
  }

  async function send(line: LogLine): Promise<void> {
    const text = Buffer.from(`<${mail + severity[line.level]}>${header(line)}`);
    const datagram = text.length > longestDatagram ? text.subarray(0, longestDatagram) : text;
    const to = await connection();
    await new Promise<void>((resolve, reject) => {
      to.send(datagram, (error) => (error ? reject(error) : resolve()));
    });
  }

  return {
    write: async (lines) => {
      for (const line of lines) await send(line);
      const error = refusal;
      refusal = undefined;
      if (error !== undefined) throw error;
    },
    reopen: async () => {
      socket?.close();
      socket = undefined; // the name is looked up again
    },
    close: async () => void socket?.close(),
  };
}

function ignore(): void {
  // Errors of a stream come twice: here, and to the failed write. The second one is handled.
}

function write(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.end(() => socket.destroySoon());
  });
}
