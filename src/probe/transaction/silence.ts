/** A conversation of which nothing is shown: what came of it is in its journal. */
import type { Output } from "../plan.ts";
import type { Transcript } from "../transcript/transcript.ts";

export const silence: Transcript = {
  sent: () => undefined,
  message: () => undefined,
  received: () => undefined,
  dump: () => undefined,
  info: () => undefined,
  error: () => undefined,
  explain: () => undefined,
};

export const nothingShown: Output = {
  suppressData: true,
  hints: { send: false, receive: false, info: false },
  hide: { send: true, receive: true, info: true, all: true },
  silent: 3,
  raw: false,
  stdout: "&STDOUT",
  stderr: "&STDERR",
  explain: false,
  json: false,
};
