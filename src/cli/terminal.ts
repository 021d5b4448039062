/**
 * What a stream may show: colour on a terminal, plain text into a file or a pipe.
 * Data goes to standard output, talk to standard error; each is asked for itself.
 */
import { Chalk, type ChalkInstance } from "chalk";

/** The part of process.stdout and process.stderr that is looked at. */
export interface Stream {
  readonly isTTY?: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Whether `stream` takes colour: it is a terminal that knows it, and NO_COLOR is not set, or empty (no-color.org
 * wants "present and not an empty string"; Node's own check takes an empty one for a no).
 */
export function takesColour(stream: Stream, environment: Environment): boolean {
  return stream.isTTY === true && environment["TERM"] !== "dumb" && (environment["NO_COLOR"] ?? "") === "";
}

/** The pens for `stream`: `paintFor(process.stderr).red("…")`. Where it takes no colour they change nothing. */
export function paintFor(stream: Stream, environment: Environment = process.env): ChalkInstance {
  return new Chalk({ level: takesColour(stream, environment) ? 1 : 0 });
}
