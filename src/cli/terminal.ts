/**
 * What a stream may show: colour on a terminal, plain text into a file or a pipe.
 * Data goes to standard output, talk to standard error; each is asked for itself.
 */
import { styleText } from "node:util";

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

/** Makes a heading for `stream` stand out; where it takes no colour the text stays as it is. */
export function headingFor(stream: Stream, environment: Environment = process.env): (text: string) => string {
  // Node's own words for it: loading chalk for one bold line would be a tenth of the time that a help text takes.
  return takesColour(stream, environment) ? (text) => styleText("bold", text) : (text) => text;
}

/** Paints text for `stream`; where it takes no colour the text stays as it is. */
export function colourFor(
  stream: Stream,
  environment: Environment = process.env,
): (colour: "green" | "yellow" | "red" | "magenta" | "dim", text: string) => string {
  return takesColour(stream, environment) ? (colour, text) => styleText(colour, text) : (_, text) => text;
}
