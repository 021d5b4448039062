/** Finds what the words of `trace` are about, in the history, the logs and the queue, and prints it. */
import { hangingIn, visible } from "../../cli/output.ts";
import { widthOf } from "../../cli/table.ts";
import { headingFor } from "../../cli/terminal.ts";
import { readConfig } from "../../config/config-file.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { ListedMessage } from "../../server/control/protocol.ts";
import { listHistory } from "../../server/history/files.ts";
import { bareWord, isAbout } from "../../server/history/match.ts";
import type { TimeSpan } from "../../server/history/reader.ts";
import { type DeliveryTry, type MessageEvent, type Story, storiesOf } from "../../server/history/story.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { plainReply } from "../../smtp/known-replies/row.ts";
import { connectToQuery } from "../queue/connection.ts";
import { plural, printAll, say, waitingOf } from "../queue/output.ts";
import { historyDirectory, readable } from "../serve/history.ts";
import { nameToday } from "../serve/privacy.ts";
import { mailLogSource } from "./mail-log.ts";
import { historySource, search, type TraceResult, type WantedWord } from "./search.ts";
import { eventText, type InQueue, momentText, storyText } from "./text.ts";

/** What was asked for; times are in milliseconds since the epoch. */
interface TraceOptions {
  readonly config: string;
  readonly since: number | undefined;
  readonly until: number | undefined;
  readonly limit: number;
  /** Mail logs to read as well. */
  readonly log: readonly string[];
  readonly json: boolean;
}

/** Returns the exit status. */
export async function traceMessages(words: readonly string[], options: TraceOptions): Promise<number> {
  const span = { since: options.since ?? 0, until: options.until ?? Number.POSITIVE_INFINITY };
  const config = await configOr(options.config, options.log.length > 0);
  const wanted = await Promise.all(words.map((word) => namesOf(bareWord(word), config)));
  const kept = await searchAll(config, options.log, wanted, span, options.limit);
  const isFound = kept.stories.length + kept.others.length > 0;
  const found = isFound || config === undefined ? kept : await searchQueue(config, words, options.limit);
  const waiting = config === undefined ? new Map<string, InQueue>() : await waitingFor(config, found.stories);
  if (found.stories.length + found.others.length === 0) {
    say(
      `nothing is known of ${visible(words.join(" "))}${config === undefined ? "" : await reachText(config)}`,
    );
    return exitStatus.noInput;
  }
  await printAll(options.json ? asJson(found, waiting) : asText(found, waiting));
  return exitStatus.ok;
}

/** With log.privacy, a recipient has another name each day; only today's can be found out. */
async function namesOf(word: string, config: Config | undefined): Promise<WantedWord> {
  if (config === undefined || !word.includes("@")) return [word];
  const today = await nameToday(config, word);
  return today === undefined ? [word] : [word, today];
}

/** A log can be read on a host that has no relay. */
async function configOr(file: string, hasLog: boolean): Promise<Config | undefined> {
  try {
    return await readConfig(file);
  } catch (error) {
    if (hasLog && error instanceof Failure && error.status === exitStatus.noInput) return undefined;
    throw error;
  }
}

/** The logs tell of the time before the history began. */
async function searchAll(
  config: Config | undefined,
  logs: readonly string[],
  wanted: readonly WantedWord[],
  span: TimeSpan,
  limit: number,
): Promise<TraceResult> {
  const directory = config && historyDirectory(config);
  const kept = await readable(directory, async () =>
    directory === undefined ? undefined : search(historySource(directory), wanted, span, limit),
  );
  if (logs.length === 0) return kept ?? nothing;
  const begun = directory === undefined ? undefined : (await listHistory(directory))[0]?.start;
  const before = { ...span, until: Math.min(span.until, begun ?? Number.POSITIVE_INFINITY) };
  const told = await search(mailLogSource(logs, Date.now()), wanted, before, limit);
  return kept === undefined ? told : joined(told, kept, limit);
}

const nothing: TraceResult = { stories: [], more: 0, others: [], moreOthers: 0 };

function joined(before: TraceResult, after: TraceResult, limit: number): TraceResult {
  const stories = [...before.stories, ...after.stories];
  const others = [...before.others, ...after.others];
  return {
    stories: stories.slice(-limit),
    more: before.more + after.more + Math.max(0, stories.length - limit),
    others: others.slice(-limit),
    moreOthers: before.moreOthers + after.moreOthers + Math.max(0, others.length - limit),
  };
}

/** What the queue itself tells of messages that no history tells of. */
async function searchQueue(config: Config, words: readonly string[], limit: number): Promise<TraceResult> {
  const wanted = words.map(bareWord);
  const events: MessageEvent[] = [];
  const { api, close } = await connectToQuery(config);
  for await (const message of api({ verb: "list", filter: {} })) {
    if (!("envelope" in message)) continue;
    const own = eventsInEnvelope(message.envelope);
    if (wanted.every((word) => own.some((event) => isAbout(event, word)))) events.push(...own);
  }
  await close();
  const stories = storiesOf(events);
  return { ...nothing, stories: stories.slice(-limit), more: Math.max(0, stories.length - limit) };
}

/** Its acceptance, and the last try for each recipient. */
function eventsInEnvelope({ id, accepted, login, sender, size, recipients }: Envelope): MessageEvent[] {
  const first = {
    at: accepted,
    id,
    event: "accepted",
    from: sender,
    size,
    recipients: recipients.length,
  } as const;
  const tries = recipients.flatMap(({ address: to, reply }): readonly MessageEvent[] => {
    if (reply === undefined) return [];
    const { relay, command, at, ...said } = reply;
    return [
      {
        at,
        id,
        event: "delivery",
        to,
        relay,
        delays: [0, (at - accepted) / 1000, 0, 0],
        reply: said,
        command,
      },
    ];
  });
  return [{ ...first, ...(login !== null && { login }) }, ...tries];
}

/** How far back the history goes, where nothing was found in it. */
async function reachText(config: Config): Promise<string> {
  if (config.history.keep === 0) return "; history.keep is 0, so no history is kept";
  const [first] = await listHistory(historyDirectory(config));
  return first === undefined
    ? "; there is no history yet"
    : `; the history begins at ${momentText(first.start)}, for the time before give the mail log with --log`;
}

/** What of `stories` is in the queue now. */
async function waitingFor(config: Config, stories: readonly Story[]): Promise<ReadonlyMap<string, InQueue>> {
  const found = new Map<string, InQueue>();
  const ids = stories
    .filter(({ others }) => !others.some(({ event }) => event === "removed"))
    .map(({ id }) => id);
  if (ids.length === 0) return found;
  const { api, close } = await connectToQuery(config);
  for await (const message of api({ verb: "list", ids: ids.filter(isOurs), filter: {} })) {
    const waiting = stateOf(message, config);
    if (waiting !== undefined) found.set(message.id, waiting);
  }
  await close();
  return found;
}

/** Postfix's queue IDs look otherwise. */
const isOurs = (id: string): boolean => /^[0-9A-F]{12}$/.test(id);

function stateOf(message: ListedMessage, { spool }: Config): InQueue | undefined {
  if (!("envelope" in message)) return undefined;
  const { envelope } = message;
  const { held, due, accepted, sender } = envelope;
  const lifetime = sender === "" ? Math.min(spool.lifetime, spool["report-lifetime"]) : spool.lifetime;
  return {
    held: held === undefined ? undefined : held.reason === "" ? `by ${held.by}` : held.reason,
    due,
    until: accepted + lifetime,
    recipients: waitingOf(envelope),
  };
}

async function* asText(
  { stories, more, others, moreOthers }: TraceResult,
  waiting: ReadonlyMap<string, InQueue>,
): AsyncGenerator<string> {
  const heading = await headingFor(process.stdout);
  const hang = hangingIn(widthOf(process.stdout));
  if (more > 0) yield `${plural(more, "older message")} left out; see --limit, --since and --until\n\n`;
  for (const story of stories) {
    for (const line of storyText(story, waiting.get(story.id), heading, hang)) yield `${line}\n`;
    yield "\n";
  }
  if (others.length === 0) return;
  yield `${heading("Logins and refusals")}\n`;
  if (moreOthers > 0) yield `  ${moreOthers} more before these\n`;
  for (const event of others) yield `${hang(`  ${momentText(event.at)}  `, visible(eventText(event)))}\n`;
}

async function* asJson(
  { stories, others }: TraceResult,
  waiting: ReadonlyMap<string, InQueue>,
): AsyncGenerator<string> {
  for (const { recipients, ...story } of stories) {
    const queued = waiting.get(story.id);
    const tried = Object.fromEntries(
      [...recipients].map(([address, tries]) => [address, tries.map(explained)]),
    );
    yield `${JSON.stringify({ ...story, recipients: tried, ...(queued && { queued }) })}\n`;
  }
  for (const event of others) yield `${JSON.stringify(event)}\n`;
}

function explained(one: DeliveryTry): object {
  const known = explainReply(one.reply, one.relay);
  return known === undefined ? one : { ...one, known: plainReply(known, one.result === "bounced") };
}
