/**
 * One round of one route: a message is sent, and looked for together with those of earlier rounds, no longer than the
 * round may take. What is found becomes a result; what is not found yet is left to the next round.
 */
import type { FoundMessage, OpenMailbox, SearchCriteria } from "../arrival/mailbox.ts";
import { type MailboxWatcher, watchMailboxes } from "../arrival/mailbox-watcher.ts";
import { newMark, readMark, writeMessage } from "../arrival/mark.ts";
import { fateIn, type SentProbe } from "../arrival/matching.ts";
import { type Fate, type GradedRoute, type ProbeResult, resultOf, urgency } from "../result.ts";
import type { PendingFolder, PendingProbe } from "./pending.ts";
import type { ProbeEnvelope, SubmissionResult } from "./submit.ts";

/** A route with what it needs from outside. */
export interface MonitoredRoute extends GradedRoute {
  readonly from: string;
  readonly to: string;
  readonly authority?: string;
  /** Where messages arrive, and where delivery reports do if that is another mailbox. */
  readonly mailboxes: readonly OpenMailbox[];
  readonly submit: (envelope: ProbeEnvelope, message: Buffer) => Promise<SubmissionResult>;
  /** Limits submissions to one server at the same time, as servers let few in. */
  readonly limit: WorkLimit;
}

/** What all rounds share. */
export interface MonitorRoundDependencies {
  readonly key: Uint8Array;
  readonly pending: PendingFolder;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: (count: number) => Uint8Array;
  /** Resolves after so many milliseconds, or when `signal` comes. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds that probe mail stays in the mailboxes. */
  readonly keep: number;
}

/** What a round found: all probes that have ended, the oldest first, and the state of the route. */
export interface RoundResult {
  readonly ended: readonly ProbeResult[];
  /** The worst of these and of the new message. */
  readonly state: ProbeResult;
}

/** Milliseconds between two looks: short at first, as most mail is fast, then longer, to spare the mailboxes. */
const shortest = 250;
const longest = 10_000;

/**
 * Runs a round that waits for mail `patience` milliseconds at most. Errors of servers and of the network are results,
 * not thrown.
 */
export async function runRound(
  route: MonitoredRoute,
  dependencies: MonitorRoundDependencies,
  patience: number,
  signal: AbortSignal,
): Promise<RoundResult> {
  const { now, pending } = dependencies;
  const older = await pending.of(route.route);
  const watcher = watchMailboxes(route.mailboxes, signal);
  try {
    await watcher.open(); // before sending, as one may be the listener
    const sent = await send(route, dependencies, signal);
    if ("fate" in sent && sent.fate.kind === "unseen")
      return roundOf([], resultOf(route, sent.fate, sent.at));
    if ("fate" in sent) {
      const refused = resultOf(route, sent.fate, sent.at);
      const { ended } = await search(route, dependencies, { watcher, awaited: older, until: now() });
      return roundOf([...ended, refused], refused);
    }
    const awaited = [...older, sent];
    const { ended, waiting, trouble } = await search(route, dependencies, {
      watcher,
      awaited,
      until: now() + patience,
    });
    const newest = waiting.at(-1);
    if (newest === undefined) return roundOf(ended, ended.at(-1));
    const fate: Fate = trouble ?? { kind: "missing", after: now() - newest.at };
    return roundOf(ended, resultOf(route, fate, newest.at, newest.submitted));
  } finally {
    await watcher.close();
  }
}

/** Looks for what is under way on `route`, without sending anything. */
export async function lookAgain(
  route: MonitoredRoute,
  dependencies: MonitorRoundDependencies,
  signal: AbortSignal,
): Promise<readonly ProbeResult[]> {
  const awaited = await dependencies.pending.of(route.route);
  if (awaited.length === 0) return [];
  const watcher = watchMailboxes(route.mailboxes, signal);
  try {
    return (await search(route, dependencies, { watcher, awaited, until: dependencies.now() })).ended;
  } finally {
    await watcher.close();
  }
}

/** Interrupted before anything was sent. */
const interrupted = { kind: "unseen", reason: "interrupted" } as const satisfies Fate;

function roundOf(ended: readonly ProbeResult[], newest: ProbeResult | undefined): RoundResult {
  const all = newest === undefined || ended.includes(newest) ? ended : [...ended, newest];
  const state = all.reduce((one, other) => (urgency[other.grade] >= urgency[one.grade] ? other : one));
  return { ended, state };
}

async function send(
  route: MonitoredRoute,
  { key, now, random, pending }: MonitorRoundDependencies,
  signal: AbortSignal,
): Promise<PendingProbe | { readonly fate: Fate; readonly at: number }> {
  const { from, to } = route;
  const { mark, submitted } = await route.limit(async () => {
    const fresh = newMark(random(16), now()); // a wait for the limit is no delay of the mail
    const octets = writeMessage(fresh, { key, from, to }, route.route);
    if (signal.aborted) return { mark: fresh, submitted: interrupted };
    return { mark: fresh, submitted: await route.submit({ from, to, envid: fresh.id }, octets) };
  });
  if (submitted.kind !== "submitted") return { fate: submitted, at: mark.at };
  const note: PendingProbe = { ...mark, route: route.route, from, to, submitted: submitted.took };
  await pending.add(note);
  return note;
}

interface MailboxSearch {
  readonly watcher: MailboxWatcher;
  readonly awaited: readonly PendingProbe[];
  readonly until: number;
}

interface SearchResult {
  readonly ended: readonly ProbeResult[];
  readonly waiting: readonly PendingProbe[];
  /** Why the mailboxes could not be read at the last look. */
  readonly trouble?: Fate;
}

/** Looks into the mailboxes until all of `awaited` have ended, or it is `until`; at least once. */
async function search(
  route: MonitoredRoute,
  dependencies: MonitorRoundDependencies,
  { watcher, awaited, until }: MailboxSearch,
): Promise<SearchResult> {
  const { now, pause } = dependencies;
  const { signal } = watcher;
  const ended: ProbeResult[] = [];
  let waiting = awaited;
  const since = Math.min(...awaited.map(({ at }) => at));
  let absentAt: number | undefined;
  for (let step = shortest; waiting.length > 0; step = Math.min(step * 1.5, longest)) {
    const begun = now();
    const messages = await watcher.look(since, wantedBy(waiting));
    waiting = await stillWaiting(route, dependencies, waiting, { messages, ended, absentAt });
    if (!watcher.trouble()) absentAt = begun;
    if (waiting.length === 0 || now() >= until || signal.aborted || watcher.isHopeless()) break;
    await pause(Math.min(step, until - now()), signal);
  }
  const trouble = watcher.trouble();
  // A mailbox that cannot be read may hold it, until it is so old that it would have been deleted.
  waiting = await givenUp(route, dependencies, waiting, {
    ended,
    limit: trouble ? dependencies.keep : route.crit,
  });
  if (trouble) return { ended, waiting, trouble };
  await tidy(route, dependencies, watcher);
  return { ended, waiting };
}

/** Compares the identifier alone, which is cheap and cannot be guessed; the signature is checked on what is found. */
const wantedBy = (waiting: readonly PendingProbe[]): SearchCriteria => ({
  mark: (field) => waiting.some(({ id }) => field.startsWith(id)),
  report: (octets) => waiting.some(({ id }) => octets.includes(id)),
});

interface LookResult {
  readonly messages: readonly FoundMessage[];
  readonly ended: ProbeResult[];
  /** The last look at all mailboxes, in which what is still waited for was not there. */
  readonly absentAt: number | undefined;
}

/** Those of `waiting` that are not among `messages`; the results of the others go to `ended`. */
async function stillWaiting(
  route: MonitoredRoute,
  { key, pending, now }: MonitorRoundDependencies,
  waiting: readonly PendingProbe[],
  { messages, ended, absentAt }: LookResult,
): Promise<readonly PendingProbe[]> {
  const left: PendingProbe[] = [];
  for (const one of waiting) {
    const { id, at, from, to, submitted } = one;
    const bound = { key, from, to };
    const { authority } = route;
    const octets = writeMessage({ id, at }, bound, route.route);
    const sent: SentProbe = {
      ...{ mark: { id, at }, bound, octets },
      ...(absentAt !== undefined && { absentAt }),
      ...(authority !== undefined && { authority }),
    };
    const fate = fateIn(messages, sent, now());
    if (!fate) left.push(one);
    else if (await pending.remove(id)) ended.push(resultOf(route, fate, at, submitted));
  }
  return left;
}

/** Gives up what is lost, into `ended`, and returns what is left. */
async function givenUp(
  route: MonitoredRoute,
  { pending, now }: MonitorRoundDependencies,
  waiting: readonly PendingProbe[],
  { ended, limit }: { readonly ended: ProbeResult[]; readonly limit: number },
): Promise<readonly PendingProbe[]> {
  const left: PendingProbe[] = [];
  for (const one of waiting) {
    const after = now() - one.at;
    if (after <= limit) left.push(one);
    else if (await pending.remove(one.id))
      ended.push(resultOf(route, { kind: "missing", after }, one.at, one.submitted));
  }
  return left;
}

/** Deletes old probe mail; what cannot be deleted stays until the next round. */
async function tidy(
  { from, to }: MonitoredRoute,
  { key, keep, now }: MonitorRoundDependencies,
  watcher: MailboxWatcher,
): Promise<void> {
  await watcher.tidy(now() - keep, (mark) => readMark(mark, { key, from, to }) !== undefined);
}

/** Limits how many do their work at the same time; the others wait. */
export type WorkLimit = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** At most `most` at the same time. */
export function concurrencyLimit(most: number): WorkLimit {
  const waiting: (() => void)[] = [];
  let free = most;
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => void waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
