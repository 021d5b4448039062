/** A sign of life on standard error while a person waits at a terminal; nothing anywhere else. */
import type { Ora } from "ora";

export interface Spinner {
  say(text: string): void;
  stop(): void;
}

/** Starts one. The library is loaded only where somebody sees it. */
export function startSpinner(text: string, stream: NodeJS.WriteStream = process.stderr): Spinner {
  if (!stream.isTTY) return { say: () => undefined, stop: () => undefined };
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
