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
