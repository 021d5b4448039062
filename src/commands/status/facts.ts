/** What `status` tells: gathered from the running relay, the queue, the password file and the history. */
import { stat } from "node:fs/promises";
import { domainOfLogin, perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { connectControlApi } from "../../server/control/client.ts";
import type { ControlApi, LoginBlock, QueueHost, RelayState } from "../../server/control/protocol.ts";
import { type Activity, countActivity, type LoginVolume } from "../../server/history/activity.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import { type LoginSummary, newLoginTally } from "../../server/history/logins.ts";
import type { ProviderSummary } from "../../server/history/providers.ts";
import { eventsIn } from "../../server/history/reader.ts";
import { newDestinations, type WaitingDestination } from "../../server/history/waiting.ts";
import { version } from "../../version.ts";
import { connectToQuery } from "../queue/connection.ts";
import { waitingOf } from "../queue/output.ts";
import { controlSocket } from "../serve/control.ts";
import { historyDirectory, readable } from "../serve/history.ts";
import type { StatusChecks } from "./checks.ts";
import { openProviderTally } from "./providers.ts";

/** All times are in milliseconds since the epoch. */
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
  /** The domains, the main one first; absent where there is one alone. */
  readonly domains?: readonly DomainFacts[];
  readonly queue: {
    readonly messages: number;
    readonly held: number;
    /** When the oldest that is not held was accepted. */
    readonly oldest: number | undefined;
    /** Those with the most recipients first. */
    readonly destinations: readonly WaitingDestination[];
    /** Why none of that is known. */
    readonly fault?: string;
  };
  /** The hosts that share the queue; absent where it is in files. */
  readonly hosts?: readonly QueueHost[];
  /** Milliseconds from which the sender is told that a message is late; null where he is not. */
  readonly warnAfter: number | null;
  readonly frozen: readonly string[];
  /** Logins whose passwords are not checked from somewhere at the moment; the page does not know them by name. */
  readonly blocked: readonly BlockedLogin[];
  /** Of the last 24 hours, a slot for each; undefined where no history is kept. */
  readonly activity: Activity | undefined;
  /** The logins with the most recipients in the last 24 hours. */
  readonly top: readonly LoginVolume[];
  /** Whose hosts took or refused mail in the last 24 hours, those with the most first. */
  readonly providers: readonly ProviderSummary[];
  /** What `check` warns of; undefined where it has not been asked yet. */
  readonly checks: StatusChecks | undefined;
}

export interface BlockedLogin {
  readonly login: string;
  readonly blocks: readonly LoginBlock[];
}

export interface DomainFacts {
  readonly name: string;
  readonly passwords: StatusFacts["passwords"];
  /** What its logins sent in the last 24 hours; absent where that is not known. */
  readonly sent?: { readonly messages: number; readonly recipients: number };
}

const hour = 3_600_000;
const day = 24 * hour;

/** Logins, destinations and providers that are shown. Our choice: the screen has 24 lines. */
export const mostShown = 5;

/**
 * Gathers all of it; `look` makes the checks. Throws a Failure where the queue or the history may not be read.
 */
export async function gatherStatus(
  config: Config,
  now: number,
  look: () => Promise<StatusChecks>,
): Promise<StatusFacts> {
  const checks = look();
  checks.catch(() => undefined); // it is awaited last
  const relay = await connectControlApi(controlSocket(config), version);
  const { guessed, byDomain, ...history } = await historyFacts(config, now);
  const domains = await domainFacts(config, byDomain);
  return {
    at: now,
    hostname: config.hostname,
    relay: relay && (await firstOf(relay({ verb: "status" }))),
    passwords: await passwordFile(config),
    ...(domains && { domains }),
    ...(await queueFacts(config)),
    warnAfter: config.spool["warn-after"],
    blocked: relay === undefined ? [] : await blockedLogins(relay, guessed),
    ...history,
    checks: await checks,
  };
}

type DomainMail = ReadonlyMap<string, NonNullable<DomainFacts["sent"]>>;

/** Undefined where there is one domain alone. */
export async function domainFacts(
  config: Config,
  sent?: DomainMail,
): Promise<readonly DomainFacts[] | undefined> {
  if (config.domains.length === 0) return undefined;
  return Promise.all(
    perDomain(config).map(async (site) => ({
      name: site.domain,
      passwords: await passwordFile(site),
      ...(sent && { sent: sent.get(site.domain) ?? { messages: 0, recipients: 0 } }),
    })),
  );
}

function mailByDomain(logins: Iterable<LoginSummary>, main: string): DomainMail {
  const sums = new Map<string, { messages: number; recipients: number }>();
  for (const { login, messages, recipients } of logins) {
    const name = domainOfLogin(login, main);
    const sum = sums.get(name) ?? { messages: 0, recipients: 0 };
    sums.set(name, { messages: sum.messages + messages, recipients: sum.recipients + recipients });
  }
  return sums;
}

async function firstOf<Value>(values: AsyncIterable<Value>): Promise<Value | undefined> {
  for await (const value of values) return value;
  return undefined;
}

/** Of `guessed`, those whose passwords are not checked from somewhere. */
async function blockedLogins(
  relay: ControlApi,
  guessed: readonly string[],
): Promise<readonly BlockedLogin[]> {
  const found: BlockedLogin[] = [];
  for (const login of guessed) {
    const blocks = (await firstOf(relay({ verb: "login", login })))?.blocks ?? [];
    if (blocks.length > 0) found.push({ login, blocks });
  }
  return found;
}

export async function passwordFile({ passwords, ldap }: Config): Promise<StatusFacts["passwords"]> {
  const { file } = passwords;
  const synced = ldap.url.length > 0;
  try {
    return { file, synced, written: (await stat(file)).mtimeMs };
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return { file, synced, fault: errorText(error) };
  }
}

/** A spool that is not there, as on a disk that is not mounted, is what a status has to tell of. */
async function queueFacts(config: Config): Promise<Pick<StatusFacts, "queue" | "frozen" | "hosts">> {
  try {
    return await readQueue(config);
  } catch (error) {
    if (!(error instanceof Failure) || error.status === exitStatus.noPermission) throw error;
    const { message } = error;
    return {
      frozen: [],
      queue: { messages: 0, held: 0, oldest: undefined, destinations: [], fault: message },
    };
  }
}

async function readQueue(config: Config): Promise<Pick<StatusFacts, "queue" | "frozen" | "hosts">> {
  const { api, close } = await connectToQuery(config);
  const frozen: string[] = [];
  for await (const { login } of api({ verb: "frozen" })) frozen.push(login);
  const hosts: QueueHost[] = [];
  for await (const host of api({ verb: "hosts" })) hosts.push(host);
  let messages = 0;
  let held = 0;
  let oldest: number | undefined;
  const destinations = newDestinations();
  for await (const found of api({ verb: "list", filter: {} })) {
    messages += 1;
    if (found.status === "held") held += 1;
    if (!("envelope" in found) || found.status === "held") continue;
    const { accepted } = found.envelope;
    oldest = Math.min(oldest ?? Number.POSITIVE_INFINITY, accepted);
    for (const { address, reply } of waitingOf(found.envelope))
      destinations.add({ address, accepted, reply });
  }
  await close();
  const queue = { messages, held, oldest, destinations: destinations.first(mostShown) };
  return { frozen, queue, ...(hosts.length > 0 && { hosts }) };
}

async function historyFacts(
  config: Config,
  now: number,
): Promise<
  Pick<StatusFacts, "activity" | "top" | "providers"> & {
    readonly guessed: readonly string[];
    readonly byDomain?: DomainMail;
  }
> {
  if (config.history.keep === 0) return { activity: undefined, top: [], providers: [], guessed: [] };
  const directory = historyDirectory(config);
  const span = { since: now - day, until: now };
  return readable(directory, async () => {
    const providers = await openProviderTally();
    const tally = newLoginTally();
    const events = heardBy([providers.add, tally.add], eventsIn(directory, span));
    const activity = await countActivity(events, span.since, span.until, 24);
    const logins = [...tally.logins.values()];
    const top = logins.filter(({ recipients }) => recipients > 0);
    top.sort((one, other) => other.recipients - one.recipients);
    const guessed = logins.filter(({ wrongPasswords }) => wrongPasswords > 0);
    guessed.sort((one, other) => other.wrongPasswords - one.wrongPasswords);
    return {
      activity,
      top: top.slice(0, mostShown),
      providers: providers.summaries().slice(0, mostShown),
      byDomain: mailByDomain(logins, config.domain),
      guessed: guessed.slice(0, mostAsked).map(({ login }) => login),
    };
  });
}

/** Logins with wrong passwords of which the relay is asked whether they are blocked. Our choice. */
const mostAsked = 20;

/** `events`, each of which all of `hear` get as well: so they are read once. */
async function* heardBy(
  hear: readonly ((event: HistoryEvent) => void)[],
  events: AsyncIterable<HistoryEvent>,
): AsyncGenerator<HistoryEvent> {
  for await (const event of events) {
    for (const one of hear) one(event);
    yield event;
  }
}
