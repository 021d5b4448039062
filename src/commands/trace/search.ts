/** Finds what the words of `trace` are about: messages with all that became of them, and what happened to logins. */
import { exitStatus, Failure } from "../../failure.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import { isAbout } from "../../server/history/match.ts";
import { eventsOf, eventsWith, type TimeSpan } from "../../server/history/reader.ts";
import { type MessageEvent, type Story, storiesOf } from "../../server/history/story.ts";

/** Where events come from: the history, or a mail log. */
export interface EventSource {
  /** The events that hold one of `texts`; others may be among them. */
  with(texts: readonly string[], span: TimeSpan): AsyncIterable<HistoryEvent>;
  of(ids: ReadonlySet<string>, span: TimeSpan): AsyncIterable<HistoryEvent>;
}

export interface TraceResult {
  /** The newest `limit`, in the order in which they begin. */
  readonly stories: readonly Story[];
  /** How many more there are. */
  readonly more: number;
  /** What happened that is about no message: logins, refusals, limits; the newest `limit` of them, in order. */
  readonly others: readonly HistoryEvent[];
  readonly moreOthers: number;
}

export const historySource = (directory: string): EventSource => ({
  with: (texts, span) => eventsWith(directory, texts, span),
  of: (ids, span) => eventsOf(directory, ids, span),
});

/** A word that is looked for, with the other names that it has in the history. */
export type WantedWord = readonly string[];

/** Messages that a word is found in, and events of those that are told. Our choice: some 100 MB each. */
const mostMessages = 500_000;
const mostEvents = 200_000;

/** What fits all of `wanted`, a message as a whole: its recipient may be one word, its sender another. */
export async function search(
  source: EventSource,
  wanted: readonly WantedWord[],
  span: TimeSpan,
  limit: number,
): Promise<TraceResult> {
  const all = 2 ** wanted.length - 1;
  /** For each message a bit for each word, and when it was met last. */
  const messages = new Map<string, { words: number; at: number }>();
  const others: HistoryEvent[] = [];
  let moreOthers = 0;
  let forgotten = 0;
  for await (const event of source.with(wanted.flat(), span)) {
    const bits = wanted.reduce(
      (sum, names, index) => sum + (names.some((name) => isAbout(event, name)) ? 2 ** index : 0),
      0,
    );
    const id = idOf(event);
    if (id === undefined) {
      if (bits !== all) continue;
      others.push(event);
      if (others.length <= limit) continue;
      others.shift();
      moreOthers += 1;
      continue;
    }
    if (bits === 0) continue;
    const before = messages.get(id);
    messages.set(id, { words: (before?.words ?? 0) | bits, at: event.at });
    if (messages.size <= mostMessages) continue;
    const [[oldest = "", { words } = { words: 0 }] = []] = messages;
    messages.delete(oldest);
    if (words === all) forgotten += 1;
  }
  const fitting = [...messages]
    .filter(([, { words }]) => words === all)
    .sort(([, one], [, other]) => one.at - other.at);
  const shown = new Set(fitting.slice(-limit).map(([id]) => id));
  return {
    stories: await storiesFor(source, shown, span),
    more: forgotten + fitting.length - shown.size,
    others,
    moreOthers,
  };
}

/** With the reports about these messages, which are messages of their own. */
async function storiesFor(
  source: EventSource,
  ids: ReadonlySet<string>,
  span: TimeSpan,
): Promise<readonly Story[]> {
  if (ids.size === 0) return [];
  const events = await messageEvents(source.of(ids, span));
  const reports = new Set(
    events.flatMap((event) => ("report" in event && !ids.has(event.report) ? [event.report] : [])),
  );
  const told = reports.size === 0 ? [] : await messageEvents(source.of(reports, span));
  return storiesOf([...events, ...told]);
}

async function messageEvents(events: AsyncIterable<HistoryEvent>): Promise<readonly MessageEvent[]> {
  const found: MessageEvent[] = [];
  for await (const event of events) {
    if (!isOfMessage(event)) continue;
    found.push(event);
    if (found.length > mostEvents) {
      const words = `more than ${mostEvents} events fit; ask for less with --limit, --since or --until`;
      throw new Failure(exitStatus.data, words);
    }
  }
  return found;
}

const idOf = (event: HistoryEvent): string | undefined => (isOfMessage(event) ? event.id : undefined);
const isOfMessage = (event: HistoryEvent): event is MessageEvent => "id" in event && event.id !== undefined;
