/** Where the probe's output goes: standard output and error, or files; and whether it could be written. */
import { openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { errorCode } from "../../failure.ts";
import { reason } from "../../probe/options/mistake.ts";
import type { OutputPlaces } from "../../probe/options/parse.ts";
import type { OutputStreams } from "../../probe/probe.ts";
import type { OutputStream } from "../../probe/transcript/transcript.ts";

export interface ProbeOutput extends OutputStreams {
  /** Waits until everything is written. Returns one line about what could not be written; undefined where all was. */
  trouble(): Promise<string | undefined>;
}

/** Opens both; they may be one file, which keeps the order of their lines. */
export function openOutput({ stdout, stderr }: OutputPlaces): ProbeOutput {
  const streams = new Map<string, OutputStream>();
  /** Place -> its first error. */
  const troubles = new Map<string, string>();
  /** For each standard stream: resolves when the last write is done, or its error has been seen. */
  const flushed: (() => Promise<void>)[] = [];

  function fail(place: string, error: unknown): void {
    const code = errorCode(error);
    if (code === "") throw error;
    if (!troubles.has(place)) troubles.set(place, code);
  }

  /** Most runs say nothing on standard error: a stream is made when something is to be written. */
  function standard(place: string, descriptor: 1 | 2): OutputStream {
    let last = Promise.resolve();
    let stream: NodeJS.WriteStream | undefined;
    flushed.push(() => last);
    return {
      write(octets) {
        stream ??= (descriptor === 1 ? process.stdout : process.stderr).on("error", (error) =>
          fail(place, error),
        );
        const to = stream;
        last = new Promise((resolve) => {
          to.write(octets, () => setImmediate(resolve)); // behind this callback comes the error's event
        });
      },
      terminal: isatty(descriptor),
    };
  }

  /** The file is there: it was made when the options were read. */
  function toFile(path: string): OutputStream {
    const file = openSync(path, "a");
    return {
      write(octets) {
        try {
          writeSync(file, octets);
        } catch (error) {
          fail(path, error);
        }
      },
      terminal: false,
    };
  }

  function open(place: string): OutputStream {
    if (place === "&STDOUT") return standard(place, 1);
    return place === "&STDERR" ? standard(place, 2) : toFile(place);
  }

  function streamOf(place: string): OutputStream {
    const stream = streams.get(place) ?? open(place);
    streams.set(place, stream);
    return stream;
  }

  return {
    stdout: streamOf(stdout),
    stderr: streamOf(stderr),
    async trouble() {
      await Promise.all(flushed.map((wait) => wait()));
      for (const [place, code] of troubles) {
        // A reader that has left (`probe … | head -1`) is no error.
        if (code === "EPIPE") continue;
        return `*** Cannot write to ${names[place] ?? place}: ${reason(code)}`;
      }
      return undefined;
    },
  };
}

const names: Readonly<Record<string, string>> = { "&STDOUT": "standard output", "&STDERR": "standard error" };
