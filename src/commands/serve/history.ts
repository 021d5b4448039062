/** The history of `serve`: what the log says of messages and logins is kept in files, for `trace`, `status` and `login`. */
import { join } from "node:path";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { newEventComposer } from "../../server/history/event.ts";
import { openHistoryWriter } from "../../server/history/writer.ts";
import type { LogSink } from "../../server/log/log.ts";

/** The folder where the configuration names none: whoever finds the spool finds what became of its messages. */
export function historyDirectory({ history, spool }: Pick<Config, "history" | "spool">): string {
  return history.directory === "" ? join(spool.directory, "events") : history.directory;
}

export interface OpenHistory {
  /** For logTo(), beside the log itself. */
  readonly note: LogSink;
  close(): Promise<void>;
}

/** Keeps the history from now on. `current` is asked each time, so that a reload may change what is kept. */
export function openHistory(config: Config, current: () => Config): OpenHistory {
  const limits = () => current().history;
  const writer = openHistoryWriter(historyDirectory(config), limits, { now: Date.now, after });
  const eventOf = newEventComposer();
  return {
    note(entry) {
      const event = eventOf(entry, Date.now());
      if (event !== undefined) writer.add(event);
    },
    close: () => writer.close(),
  };
}

function after(milliseconds: number, due: () => void): () => void {
  const timer = setTimeout(due, milliseconds).unref();
  return () => clearTimeout(timer);
}

/** What `read` gives of the history in `directory`. Throws a Failure where it may not be read. */
export async function readable<Value>(
  directory: string | undefined,
  read: () => Promise<Value>,
): Promise<Value> {
  try {
    return await read();
  } catch (error) {
    if (errorCode(error) !== "EACCES") throw error;
    throw new Failure(
      exitStatus.noPermission,
      `${directory}: ${errorText(error)}; the history is for root and for the relay's user`,
      { cause: error },
    );
  }
}
