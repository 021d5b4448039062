/**
 * A clock of the relay's that somebody sets: by libfaketime, which lets the time of day jump and leaves the monotonic clock
 * alone, as an operator with `date -s` or a machine that wakes up does.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { faketimeLibrary } from "../tools/real.ts";

export interface Clock {
  /** What a process needs in its environment to go by this clock. */
  readonly environment: Readonly<Record<string, string>>;
  /** Sets it to so many seconds before or after the true time. */
  set(offset: number): Promise<void>;
}

/** Its setting lies in `folder`; undefined where there is no libfaketime. */
export async function settableClock(folder: string): Promise<Clock | undefined> {
  const library = faketimeLibrary();
  if (library === undefined) return undefined;
  const file = join(folder, "clock");
  const set = (offset: number): Promise<void> =>
    writeFile(file, `${offset < 0 ? "-" : "+"}${String(Math.abs(offset))}\n`);
  await set(0);
  return {
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    },
    set,
  };
}
