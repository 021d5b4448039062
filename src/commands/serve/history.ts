/** The history of `serve`: what the log says of messages and logins is kept in files, for `trace`, `status` and `login`. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { newRecentActivity, type RecentActivity } from "../../server/history/activity.ts";
import { type HistoryEvent, newEventComposer } from "../../server/history/event.ts";
import {
  newRecentProviders,
  type OrganisationOf,
  type ProviderSummary,
} from "../../server/history/providers.ts";
import { eventsIn } from "../../server/history/reader.ts";
import { newWaitingTally, type WaitingTally } from "../../server/history/waiting.ts";
import { openHistoryWriter } from "../../server/history/writer.ts";
import { type LogSink, logBug } from "../../server/log/log.ts";

/** The folder where the configuration names none: whoever finds the spool finds what became of its messages. */
export function historyDirectory({ history, spool }: Pick<Config, "history" | "spool">): string {
  return history.directory === "" ? join(spool.directory, "events") : history.directory;
}

export interface OpenHistory {
  /** For logTo(), beside the log itself. */
  readonly note: LogSink;
  /** What the last 24 hours were like; undefined where nothing is to be kept. */
  readonly recent: (now: number) => ReturnType<RecentActivity["at"]> | undefined;
  readonly destinations: WaitingTally["destinations"];
  /** Whose hosts took or refused mail in the last 24 hours, those with the most first. */
  readonly providers: (now: number, organisationOf: OrganisationOf) => readonly ProviderSummary[];
  /**
   * Reads from the files, in the background and a little at a time, what the last day was like before this start; `ids`
   * are the messages that wait.
   */
  readonly recall: (ids: readonly string[]) => void;
  close(): Promise<void>;
}

/** Milliseconds, and the hours of the status. */
const day = 86_400_000;
const hours = 24;

/** Events that are recalled in one turn, a millisecond or two, and the pause after it. Our choice: mail comes first. */
const recalledAtOnce = 200;
const pauseBetween = 2;

/** Keeps the history from now on. `current` is asked each time, so that a reload may change what is kept. */
export function openHistory(config: Config, current: () => Config): OpenHistory {
  const limits = () => current().history;
  const directory = historyDirectory(config);
  const writer = openHistoryWriter(directory, limits, { now: Date.now, after });
  const eventOf = newEventComposer();
  const activity = newRecentActivity(hours);
  const waiting = newWaitingTally();
  const providers = newRecentProviders(hours);
  const begun = Date.now();
  /** Messages of before this start that still wait, while their events are recalled. */
  const old = new Set<string>();
  let recalling = Promise.resolve();
  let closed = false;

  async function recallAll(): Promise<void> {
    let count = 0;
    for await (const event of eventsIn(directory, { since: begun - day, until: begun })) {
      if (closed) return;
      activity.add(event);
      providers.add(event);
      if (isOf(event, old)) waiting.add(event);
      count += 1;
      if (count % recalledAtOnce === 0) await pause(pauseBetween, undefined, { ref: false });
    }
    old.clear();
  }

  return {
    note(entry) {
      const event = eventOf(entry, Date.now());
      if (event === undefined || limits().keep === 0) return;
      writer.add(event);
      activity.add(event);
      waiting.add(event);
      providers.add(event);
      if (event.event === "removed") old.delete(event.id);
    },
    recent: (now) => (limits().keep === 0 ? undefined : activity.at(now)),
    destinations: waiting.destinations,
    providers: (now, organisationOf) => (limits().keep === 0 ? [] : providers.at(now, organisationOf)),
    recall(ids) {
      if (limits().keep === 0) return;
      for (const id of ids) old.add(id);
      recalling = recallAll().catch((error: unknown) => {
        if (errorCode(error) === "") logBug("history", error); // else the writer tells what is wrong with the folder
      });
    },
    async close() {
      closed = true;
      await recalling;
      await writer.close();
    },
  };
}

const isOf = (event: HistoryEvent, ids: ReadonlySet<string>): boolean =>
  "id" in event && event.id !== undefined && ids.has(event.id);

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
