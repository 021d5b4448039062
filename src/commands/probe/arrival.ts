/** `tpa-submit probe --arrive`: the wiring to this host. */
import { setTimeout as wait } from "node:timers/promises";
import { startSpinner } from "../../cli/terminal.ts";
import type { OpenMailbox } from "../../probe/arrival/mailbox.ts";
import type { Watch } from "../../probe/arrive.ts";
import type { Arrival } from "../../probe/plan.ts";
import { placeAt } from "./place.ts";

/** Does `work` while it watches `arrival`; SIGINT and SIGTERM end the waiting, not the telling. */
export async function watching(arrival: Arrival, work: (watch: Watch) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  const { where, password, spamFolder, ca } = arrival;
  const open: OpenMailbox = placeAt(where, {
    password,
    ...(spamFolder !== undefined && { spamFolder }),
    ...(ca !== undefined && { ca }),
  });
  try {
    return await work({
      open,
      waiting(words) {
        const spinner = startSpinner(words);
        return () => spinner.stop();
      },
      pause: async (milliseconds, signal) => {
        await wait(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined); // told to stop: it is over
      },
      signal: stop.signal,
    });
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}
