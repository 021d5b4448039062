/**
 * What a stream may show: colour on a terminal, plain text into a file or a pipe.
 * Data goes to standard output, talk to standard error; each is asked for itself.
 */
import type { Ora } from "ora";

/** The part of process.stdout and process.stderr that is looked at. */
export interface Stream {
  readonly isTTY?: boolean;
  /** Bits, by what Node knows of terminals and by FORCE_COLOR. */
  getColorDepth?(environment: object): number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Gives a text one colour, or leaves it as it is. */
export type Paint = (colour: "green" | "yellow" | "red" | "magenta" | "bold", text: string) => string;

/**
 * Whether `stream` takes colour: it is a terminal that knows it, and NO_COLOR is not set, or empty (no-color.org
 * wants "present and not an empty string"; Node's own check takes an empty one for a no).
 */
export function takesColour(stream: Stream, environment: Environment): boolean {
  const { NO_COLOR: no = "", ...others } = environment;
  if (stream.isTTY !== true || environment["TERM"] === "dumb" || no !== "") return false;
  return stream.getColorDepth === undefined || stream.getColorDepth(others) > 2;
}

/** Paints text for `stream`. The library is loaded only where somebody sees colour: that takes longer than to paint. */
export async function colourFor(stream: Stream, environment: Environment = process.env): Promise<Paint> {
  if (!takesColour(stream, environment)) return (_, text) => text;
  const { Chalk } = await import("chalk");
  const chalk = new Chalk({ level: 1 }); // takesColour has decided; chalk would look at its own words on the command line
  return (colour, text) => chalk[colour](text);
}

/** Makes a heading for `stream` stand out; where it takes no colour the text stays as it is. */
export async function headingFor(stream: Stream): Promise<(text: string) => string> {
  const paint = await colourFor(stream);
  return (text) => paint("bold", text);
}

let heading = (text: string): string => text;

/** Makes a heading of a help text on standard output stand out, once {@link prepareHelp} has looked at it. */
export const helpHeading = (text: string): string => heading(text);

/** To be called before a command's words are read, because help is printed while they are: `--help`, `-h`, `-vh`, `help`. */
export async function prepareHelp(argv: readonly string[]): Promise<void> {
  if (argv.some((word) => /^(?:--help|-[a-z]*h|help)$/i.test(word)))
    heading = await headingFor(process.stdout);
}

// A sign of life on standard error while a person waits at a terminal; nothing anywhere else.

export interface ProgressSpinner {
  say(text: string): void;
  stop(): void;
}

/** Starts one. The library is loaded only where somebody sees it. */
export function startSpinner(text: string, stream: NodeJS.WriteStream = process.stderr): ProgressSpinner {
  // One that tells no width, as script(1) makes it, would have ora clear lines without an end.
  // Where nobody watches it turn (a dumb terminal, a build), ora would write the text as a line of its own.
  const { TERM: terminal, CI: build } = process.env;
  const turns = stream.isTTY && stream.columns !== 0 && terminal !== "dumb" && build === undefined;
  if (!turns) return { say: () => undefined, stop: () => undefined };
  let spinner: Ora | undefined;
  let last = text;
  let isOver = false;
  void import("ora").then(({ default: ora }) => {
    // Typed-ahead input is the shell's: the spinner shall not swallow it.
    if (!isOver) spinner = ora({ text: last, stream, discardStdin: false }).start();
  });
  return {
    say(words) {
      last = words;
      if (spinner) spinner.text = words;
    },
    stop() {
      isOver = true;
      spinner?.stop();
    },
  };
}
