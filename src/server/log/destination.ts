/** What takes the lines of the log: the interface, and those that are a stream or a file. */
import { open } from "node:fs/promises";
import type { Writable } from "node:stream";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import type { LogLine } from "./format.ts";

/** Writes lines or says that it cannot; {@link openSink} decides what happens to them then. */
export interface LogDestination {
  /** Resolves when the lines are written, in order. Rejects with the system's error; some may be written then. */
  readonly write: (lines: readonly LogLine[]) => Promise<void>;
  /** For logrotate: lets go of a file that was renamed. */
  readonly reopen: () => Promise<void>;
  readonly close: () => Promise<void>;
  /** Ends what close() would wait for. */
  readonly abandon?: () => void;
}

/** Why not all lines were written; `count` of them were, from the first on. */
export class PartlyWritten extends Error {
  readonly count: number;

  constructor(count: number, reason: string) {
    super(reason);
    this.count = count;
  }
}

export const nothing = (): Promise<void> => Promise.resolve();

/** How a line stands in a stream or a file. */
export type WholeLine = (line: LogLine) => string;

const joined = (lines: readonly LogLine[], whole: WholeLine): string =>
  lines.map((line) => `${whole(line)}\n`).join("");

const asItStands: WholeLine = ({ whole }) => whole;

/** Standard output, or another stream that stays open when the log ends. */
export function toStream(stream: Writable, whole: WholeLine = asItStands): LogDestination {
  stream.on("error", ignore); // the callback of the failed write gets it
  return {
    write: (lines) => write(stream, joined(lines, whole)),
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
      const text = torn + joined(lines, asItStands);
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

export function ignore(): void {
  // Errors of a stream come twice: here, and to the failed write. The second one is handled.
}

export function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
