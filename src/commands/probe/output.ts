/** Where the probe shows itself: standard output and error, or files; and what became of what was written there. */
import { openSync, writeSync } from "node:fs";
import { errorCode } from "../../failure.ts";
import { reason } from "../../probe/options/mistake.ts";
import type { OutputPlaces } from "../../probe/options/parse.ts";
import type { Streams } from "../../probe/probe.ts";
import type { Stream } from "../../probe/transcript/transcript.ts";

export interface Output extends Streams {
  /** Waits until everything is written. Returns what could not be, and why, in one line; undefined where all was. */
  trouble(): Promise<string | undefined>;
}

/** Opens both; they may be one file, in which their lines then stand in their order. */
export function openOutput({ stdout, stderr }: OutputPlaces): Output {
  const streams = new Map<string, Stream>();
  /** Place -> what was first wrong with it. */
  const troubles = new Map<string, string>();
  /** For each standard stream: until what was last written is gone, or has failed and was told of. */
  const flushed: (() => Promise<void>)[] = [];

  function fail(place: string, error: unknown): void {
    const code = errorCode(error);
    if (code === "") throw error;
    if (!troubles.has(place)) troubles.set(place, code);
  }

  function standard(place: string, stream: NodeJS.WriteStream): Stream {
    let last = Promise.resolve();
    stream.on("error", (error) => fail(place, error));
    flushed.push(() => last);
    return {
      write(octets) {
        last = new Promise((resolve) => {
          stream.write(octets, () => setImmediate(resolve)); // behind this callback comes the error's event
        });
      },
      terminal: stream.isTTY === true,
    };
  }

  /** The file is there: it was made when the options were read. */
  function toFile(path: string): Stream {
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

  function open(place: string): Stream {
    if (place === "&STDOUT") return standard(place, process.stdout);
    return place === "&STDERR" ? standard(place, process.stderr) : toFile(place);
  }

  function streamOf(place: string): Stream {
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
        // Where nobody reads any more (`probe … | head -1`) nothing is amiss.
        if (code === "EPIPE") continue;
        return `*** Cannot write to ${names[place] ?? place}: ${reason(code)}`;
      }
      return undefined;
    },
  };
}

const names: Readonly<Record<string, string>> = { "&STDOUT": "standard output", "&STDERR": "standard error" };
