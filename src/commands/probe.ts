/** `tpa-submit probe`: speaks to a mail server as swaks does, and tells more. man/tpa-submit-probe.1 */
import { randomBytes } from "node:crypto";
import { resolveMx } from "node:dns/promises";
import { openSync, writeFileSync, writeSync } from "node:fs";
import type { Word } from "../cli/words.ts";
import { errorCode } from "../failure.ts";
import { reason } from "../probe/options/mistake.ts";
import { type Outcome, parseProbe } from "../probe/options/parse.ts";
import { probe, type Streams } from "../probe/probe.ts";
import { mailHosts } from "../probe/route.ts";
import type { Stream } from "../probe/transcript/transcript.ts";
import { dane } from "./probe/dane.ts";
import { systemCa } from "./probe/system-ca.ts";
import { worldFor } from "./probe/world.ts";

/** First words in place of options, each with options, a manual and exit statuses of its own. */
export const words: Readonly<Record<string, Word>> = {
  monitor: {
    summary: "Send a message by each route of a file, and tell whether and when it arrives.",
    load: () => import("./probe/monitor.ts"),
  },
  checkup: {
    summary: "Look at a submission service from outside, and say what is not well.",
    load: () => import("./probe/checkup.ts"),
  },
  propagation: {
    summary: "Change a test account's password in the directory, and time how long it takes to work.",
    load: () => import("./probe/propagation.ts"),
  },
  report: {
    summary: "Tell what the history of the monitor says, also as a page.",
    load: () => import("./probe/report.ts"),
  },
};

/** Runs the command; the exit statuses are swaks' (src/probe/transaction/exit.ts). */
export async function run(argv: readonly string[]): Promise<number> {
  const [first = "", ...rest] = argv;
  const word = Object.hasOwn(words, first) ? words[first] : undefined;
  if (word) return (await word.load()).run(rest);
  const outcome = await parseProbe(worldFor(argv, async (domain) => (await route(domain))[0] ?? domain));
  const streams = streamsOf(outcome);
  for (const warning of outcome.warnings) streams.stderr.write(Buffer.from(`${warning}\n`));
  switch (outcome.kind) {
    case "print":
      streams.stdout.write(outcome.octets);
      return 0;
    case "mistake":
      if (outcome.text !== "") streams.stderr.write(Buffer.from(`${outcome.text}\n`));
      return outcome.status;
    default:
      return probe(outcome.plan, streams, {
        clock: () => performance.now(),
        now: () => Date.now(),
        random: (count) => randomBytes(count),
        systemCa,
        route,
        dane,
        save,
      });
  }
}

const route = (domain: string): Promise<readonly string[]> => mailHosts(domain, exchangersOf);

/** Without an answer from the DNS there are none: a domain may be its own (route.ts). */
async function exchangersOf(domain: string): Promise<Awaited<ReturnType<typeof resolveMx>>> {
  try {
    return await resolveMx(domain);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [];
  }
}

/** Both may go to one file; then their lines stand in their order. */
function streamsOf({ places }: Outcome): Streams {
  const files = new Map<string, Stream>();
  const streamOf = (path: string): Stream => {
    if (path === "&STDOUT") return standard(process.stdout);
    if (path === "&STDERR") return standard(process.stderr);
    const opened = files.get(path) ?? toFile(path);
    files.set(path, opened);
    return opened;
  };
  return { stdout: streamOf(places.stdout), stderr: streamOf(places.stderr) };
}

function save(path: string, text: string): string | undefined {
  try {
    writeFileSync(path, text);
    return undefined;
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return reason(errorCode(error));
  }
}

/** Where nobody reads any more the conversation goes on to its end all the same: `probe … | head -1`. */
function standard(stream: NodeJS.WriteStream): Stream {
  stream.on("error", (error) => {
    if (errorCode(error) !== "EPIPE") throw error;
  });
  return { write: (octets) => void stream.write(octets), terminal: stream.isTTY === true };
}

/** The file is there: it was made when the options were read. */
function toFile(path: string): Stream {
  const file = openSync(path, "a");
  return { write: (octets) => void writeSync(file, octets), terminal: false };
}
