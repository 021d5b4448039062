/** What `status` tells: gathered from the running relay, the queue, the password file and the history. */
import { stat } from "node:fs/promises";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText } from "../../failure.ts";
import { connectControlApi } from "../../server/control/client.ts";
import type { QueuedMessage, RelayState } from "../../server/control/protocol.ts";
import { type Activity, countActivity } from "../../server/history/activity.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import { type LoginSummary, summarizeLogins } from "../../server/history/logins.ts";
import type { ProviderSummary } from "../../server/history/providers.ts";
import { eventsIn } from "../../server/history/reader.ts";
import type { LastReply } from "../../server/spool/envelope.ts";
import { domainOf } from "../../smtp/address.ts";
import { version } from "../../version.ts";
import { connectToQuery } from "../queue/connection.ts";
import { waitingOf } from "../queue/output.ts";
import { controlSocket } from "../serve/control.ts";
import { historyDirectory, readable } from "../serve/history.ts";
import { openProviderTally } from "./providers.ts";

/** A domain that mail waits for. */
export interface WaitingDestination {
  readonly domain: string;
  readonly recipients: number;
  /** When the oldest message was accepted. All times are in milliseconds since the epoch. */
  readonly oldest: number;
  /** What was said last about the oldest. */
  readonly reply: LastReply | undefined;
}

export interface StatusFacts {
  readonly at: number;
  readonly hostname: string;
  /** Undefined where none runs, or none answers. */
  readonly relay: RelayState | undefined;
  readonly passwords: {
    readonly file: string;
    readonly written?: number;
    readonly fault?: string;
    /** Whether `sync` writes it. */
    readonly synced: boolean;
  };
  readonly queue: {
    readonly messages: number;
    readonly held: number;
    /** When the oldest that is not held was accepted. */
    readonly oldest: number | undefined;
    /** Those with the most recipients first. */
    readonly destinations: readonly WaitingDestination[];
  };
  /** Milliseconds from which the sender is told that a message is late; null where he is not. */
  readonly warnAfter: number | null;
  readonly frozen: readonly string[];
  /** Of the last 24 hours, a slot for each; undefined where no history is kept. */
  readonly activity: Activity | undefined;
  /** The logins with the most recipients in the last 24 hours. */
  readonly top: readonly LoginSummary[];
  /** Whose hosts took or refused mail in the last 24 hours, those with the most first. */
  readonly providers: readonly ProviderSummary[];
}

const hour = 3_600_000;
const day = 24 * hour;

/** Logins, destinations and providers that are shown. Our choice: the screen has 24 lines. */
const mostShown = 5;

/** Gathers all of it. Throws a Failure where the queue or the history may not be read. */
export async function gatherStatus(config: Config, now: number): Promise<StatusFacts> {
  const relay = await relayState(config);
  return {
    at: now,
    hostname: config.hostname,
    relay,
    passwords: await passwordFile(config),
    ...(await queueFacts(config)),
    warnAfter: config.spool["warn-after"],
    ...(await historyFacts(config, now)),
  };
}

async function relayState(config: Config): Promise<RelayState | undefined> {
  const relay = await connectControlApi(controlSocket(config), version);
  if (relay === undefined) return undefined;
  for await (const state of relay({ verb: "status" })) return state;
  return undefined;
}

async function passwordFile({ passwords, ldap }: Config): Promise<StatusFacts["passwords"]> {
  const { file } = passwords;
  const synced = ldap.url.length > 0;
  try {
    return { file, synced, written: (await stat(file)).mtimeMs };
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return { file, synced, fault: errorText(error) };
  }
}

async function queueFacts(config: Config): Promise<Pick<StatusFacts, "queue" | "frozen">> {
  const { api, close } = await connectToQuery(config);
  const frozen: string[] = [];
  for await (const { login } of api({ verb: "frozen" })) frozen.push(login);
  let messages = 0;
  let held = 0;
  let oldest: number | undefined;
  const destinations = new Map<string, WaitingDestination>();
  for await (const found of api({ verb: "list", filter: {} })) {
    messages += 1;
    if (found.status === "held") held += 1;
    if (!("envelope" in found) || found.status === "held") continue;
    oldest = Math.min(oldest ?? Number.POSITIVE_INFINITY, found.envelope.accepted);
    addDestinations(destinations, found);
  }
  await close();
  const most = [...destinations.values()].sort((one, other) => other.recipients - one.recipients);
  return { frozen, queue: { messages, held, oldest, destinations: most.slice(0, mostShown) } };
}

function addDestinations(destinations: Map<string, WaitingDestination>, { envelope }: QueuedMessage): void {
  for (const { address, reply } of waitingOf(envelope)) {
    const domain = domainOf(address).toLowerCase();
    const before = destinations.get(domain) ?? {
      domain,
      recipients: 0,
      oldest: Number.POSITIVE_INFINITY,
      reply,
    };
    const isOldest = envelope.accepted < before.oldest;
    destinations.set(domain, {
      domain,
      recipients: before.recipients + 1,
      oldest: Math.min(before.oldest, envelope.accepted),
      reply: isOldest ? (reply ?? before.reply) : (before.reply ?? reply),
    });
  }
}

async function historyFacts(
  config: Config,
  now: number,
): Promise<Pick<StatusFacts, "activity" | "top" | "providers">> {
  if (config.history.keep === 0) return { activity: undefined, top: [], providers: [] };
  const directory = historyDirectory(config);
  const span = { since: now - day, until: now };
  return readable(directory, async () => {
    const providers = await openProviderTally();
    const events = heardBy(providers.add, eventsIn(directory, span));
    const activity = await countActivity(events, span.since, span.until, 24);
    const logins = await summarizeLogins(eventsIn(directory, span));
    const top = [...logins.values()].filter(({ recipients }) => recipients > 0);
    top.sort((one, other) => other.recipients - one.recipients);
    const most = providers.summaries().slice(0, mostShown);
    return { activity, top: top.slice(0, mostShown), providers: most };
  });
}

/** `events`, each of which `hear` gets as well: so they are read once. */
async function* heardBy(
  hear: (event: HistoryEvent) => void,
  events: AsyncIterable<HistoryEvent>,
): AsyncGenerator<HistoryEvent> {
  for await (const event of events) {
    hear(event);
    yield event;
  }
}
