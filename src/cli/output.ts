/** Data for standard output, where it matters that it cannot be written: a full disk is told in one line. */
import { errorCode, errorText, exitStatus } from "../failure.ts";

let isWatched = false;

/** Writes `text`. A reader who has gone, as in `… | head`, is no mistake and ends the program. */
export function print(text: string): void {
  if (!isWatched) process.stdout.on("error", ended);
  isWatched = true;
  process.stdout.write(text);
}

function ended(error: Error): void {
  if (errorCode(error) === "EPIPE") process.exit(exitStatus.ok);
  process.stderr.write(`tpa-submit: standard output cannot be written: ${errorText(error)}\n`);
  process.exit(exitStatus.ioError);
}

/** Text from strangers as a terminal may show it: nothing in it moves the cursor, changes colours or turns lines round. */

// C0, DEL, C1, line and paragraph separators, and what turns the direction of writing round.
const hidden = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Whether {@link visible} would change nothing. */
export const isVisible = (text: string): boolean => text.search(hidden) < 0;

/** On one line; what would not be seen stands as JavaScript writes it: `\x1b`, `\u202e`. */
export function visible(text: string): string {
  return text.replace(hidden, escaped);
}

/** The same for a text of several lines: line ends and tabs stay. */
export function visibleLines(text: string): string {
  return text
    .replace(/\r\n/g, "\n")
    .replace(hidden, (found) => (found === "\n" || found === "\t" ? found : escaped(found)));
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
}

/** `text` in lines of at most `room` characters: broken between words, a word that is too long within itself. */
export function wrapped(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
    for (; line.length > room; line = line.slice(room)) lines.push(line.slice(0, room));
  }
  return [...lines, line];
}

/** Puts `text` behind `start`; whether and where it breaks lines is its own business. */
export type Hang = (start: string, text: string) => string;

/** Lines of at most `width` characters, the further ones below the text of the first; into a pipe, undefined, it is one. */
export const hangingIn =
  (width: number | undefined): Hang =>
  (start, text) =>
    width === undefined
      ? `${start}${text}`
      : `${start}${wrapped(text, Math.max(20, width - start.length)).join(`\n${" ".repeat(start.length)}`)}`;
