/**
 * Sockets that take one datagram a line: the journal of systemd, /dev/log. All lines go through the same socket, so
 * they stay in order, whichever program they name; the journal's streams, one for each program, cannot promise that.
 *
 * Node.js has no such sockets (AF_UNIX, SOCK_DGRAM). A child process sends the datagrams: perl, whose package perl-base
 * is essential to Debian. It tells of each datagram that was sent, so that none is lost or sent twice unnoticed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { type LogDestination, nothing, PartlyWritten, write } from "./destination.ts";
import { type LogLine, mail, severity } from "./format.ts";

/** Where Debian, and nearly everybody, has it. */
export const perl = "/usr/bin/perl";

/**
 * Reads datagrams, each after its length, and sends them to the socket that is named; answers "." for each. When one
 * cannot be sent, it says why and ends. Signals are for the relay, which may have something to say about them.
 */
const program = `
use strict; use Socket;
$SIG{$_} = "IGNORE" for qw(HUP INT QUIT TERM);
$0 = "tpa-submit log to $ARGV[0]"; # in ps, and in each entry of the journal
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "$!\\n";
my $to = pack_sockaddr_un($ARGV[0]);
binmode STDIN;
while (read(STDIN, my $length, 4) == 4) {
  my $octets = unpack("N", $length);
  last unless read(STDIN, my $datagram, $octets) == $octets;
  unless (defined send($socket, $datagram, 0, $to)) { syswrite(STDOUT, "$!\\n"); exit 1 }
  syswrite(STDOUT, ".");
}`;

/** Milliseconds without another try after a failed one: each of them starts a process. Our choice. */
const breath = 1_000;

/** Datagrams on their way to the child at a time. Our choice, a megabyte or so at most. */
const mostUnderWay = 256;

/** A child, and how far it has come. */
interface Sender {
  readonly process: ChildProcess;
  /** How many it has sent. */
  sent: number;
  /** Why it cannot go on; "" while it can. */
  trouble: string;
  /** Wakes who waits for it. */
  news: () => void;
}

/** Sends what `datagramOf` makes of each line to the socket at `path`; `now` is a monotonic clock's milliseconds. */
export function toDatagrams(
  sending: string,
  path: string,
  datagramOf: (line: LogLine) => string,
  now: () => number,
): LogDestination {
  let sender: Sender | undefined;
  let failure = { at: -breath, reason: "" };

  function start(): Sender {
    const child = spawn(sending, ["-e", program, path], {
      stdio: ["pipe", "pipe", "ignore"],
      env: { LC_ALL: "C" },
    });
    const { stdin, stdout } = child;
    const next: Sender = { process: child, sent: 0, trouble: "", news: () => undefined };
    let said = "";
    const end = (reason: string) => {
      next.trouble ||= reason;
      if (sender === next) sender = undefined;
      next.news();
    };
    stdout.on("data", (chunk: Buffer) => {
      const text = chunk.toString();
      const words = text.replace(/^\.+/, "");
      next.sent += text.length - words.length;
      said += words;
      next.news();
    });
    child
      .on("error", (error) => end(error.message))
      .on("close", (_, signal) => end(said.trim() || `its writer ended${signal ? ` by ${signal}` : ""}`));
    stdin.on("error", () => undefined); // "close" follows
    child.unref();
    for (const stream of [stdin, stdout]) if (stream instanceof Socket) stream.unref();
    sender = next;
    return next;
  }

  /** Sends `lines`, a few only. Throws PartlyWritten with what is known of those that were sent. */
  async function send(lines: readonly LogLine[]): Promise<void> {
    const to = sender ?? start();
    const before = to.sent;
    const { stdin } = to.process;
    const written = stdin
      ? write(stdin, Buffer.concat(lines.map((line) => framed(datagramOf(line)))))
      : nothing();
    written.catch(() => undefined); // the end of the child tells more
    while (to.trouble === "" && to.sent < before + lines.length) {
      await new Promise<void>((resolve) => {
        to.news = resolve;
      });
    }
    const sent = to.sent - before;
    if (sent < lines.length) throw new PartlyWritten(sent, to.trouble);
  }

  /** The same, once more with the rest where the child died of something else than the socket. */
  async function sendAll(lines: readonly LogLine[]): Promise<void> {
    const isNew = sender === undefined;
    try {
      await send(lines);
    } catch (error) {
      if (!(error instanceof PartlyWritten) || isNew) throw error;
      const rest = lines.slice(error.count);
      await send(rest).catch((again: unknown) => {
        throw again instanceof PartlyWritten
          ? new PartlyWritten(error.count + again.count, again.message)
          : again;
      });
    }
  }

  return {
    write: async (lines) => {
      if (now() - failure.at < breath) throw new PartlyWritten(0, failure.reason);
      for (let first = 0; first < lines.length; first += mostUnderWay) {
        try {
          await sendAll(lines.slice(first, first + mostUnderWay));
        } catch (error) {
          if (!(error instanceof PartlyWritten)) throw error;
          const reason = `${path}: ${error.message}`;
          failure = { at: now(), reason };
          throw new PartlyWritten(first + error.count, reason);
        }
      }
    },
    reopen: nothing,
    close: async () => {
      if (sender === undefined) return;
      const { process: child } = sender;
      const ended = once(child, "close");
      child.ref();
      child.stdin?.end();
      await ended;
    },
    abandon: () => void sender?.process.kill("SIGKILL"),
  };
}

function framed(datagram: string): Buffer {
  const octets = Buffer.from(datagram);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(octets.length);
  return Buffer.concat([length, octets]);
}

/** Characters of a text in the journal: the kernel takes datagrams of 200 KB or so. */
const longestText = 40_000;

/** An entry as systemd's "Native Journal Protocol" has it; no field may hold a line end, and none does. */
export const journalEntry = ({ level, tag, text }: LogLine, pid: number): string =>
  `PRIORITY=${severity[level]}\nSYSLOG_FACILITY=${mail}\nSYSLOG_IDENTIFIER=${tag}\nSYSLOG_PID=${pid}\n` +
  `MESSAGE=${text.slice(0, longestText)}\n`;
