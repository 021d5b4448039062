/**
 * One round of one route: a message is sent, and looked for together with those of earlier rounds, for as long as the round may
 * take and no longer. What it finds is results; what it does not find yet stays noted for the next.
 */
import type { Letter, OpenMailbox, Wanted } from "../arrival/mailbox.ts";
import { type Eyes, newEyes } from "../arrival/mailbox-watcher.ts";
import { newMark, readMark, writeMessage } from "../arrival/mark.ts";
import { fateIn, type Sent } from "../arrival/matching.ts";
import { type Fate, type Judged, judge, type Result, urgency } from "../result.ts";
import type { Pending, PendingFolder } from "./pending.ts";
import type { Envelope, Submitted } from "./submit.ts";

/** A route, with all that it needs from outside. */
export interface Route extends Judged {
  readonly from: string;
  readonly to: string;
  readonly authority?: string;
  /** Where the messages arrive, and where reports do if that is another place. */
  readonly mailboxes: readonly OpenMailbox[];
  readonly submit: (envelope: Envelope, message: Buffer) => Promise<Submitted>;
  /** Routes by the same server take turns, as servers let few in at a time; looking and waiting takes none. */
  readonly turn: Turn;
}

/** What all rounds share. */
export interface Station {
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

/** What a round found: everything that has come to its end, the oldest first, and the new message wherever it is. */
export interface Round {
  readonly ended: readonly Result[];
  /** How the route stands: the worst of these and of the new message. Never absent. */
  readonly standing: Result;
}

/** Milliseconds between two looks: soon at first, as most mail is fast, then seldom, as mailboxes are others'. */
const shortest = 250;
const longest = 10_000;

/**
 * Runs a round that waits for mail `patience` milliseconds at most. Throws nothing that is a server's or the network's
 * doing.
 */
export async function runRound(
  route: Route,
  station: Station,
  patience: number,
  signal: AbortSignal,
): Promise<Round> {
  const { now, pending } = station;
  const older = await pending.of(route.route);
  const eyes = newEyes(route.mailboxes, signal);
  try {
    await eyes.open(); // before sending, as some of them are where it arrives
    const sent = await send(route, station, signal);
    if ("fate" in sent && sent.fate.kind === "unseen") return roundOf([], judge(route, sent.fate, sent.at));
    if ("fate" in sent) {
      const refused = judge(route, sent.fate, sent.at);
      const { ended } = await pursue(route, station, { eyes, awaited: older, until: now() });
      return roundOf([...ended, refused], refused);
    }
    const awaited = [...older, sent];
    const { ended, waiting, trouble } = await pursue(route, station, {
      eyes,
      awaited,
      until: now() + patience,
    });
    const newest = waiting.at(-1);
    if (newest === undefined) return roundOf(ended, ended.at(-1));
    const fate: Fate = trouble ?? { kind: "missing", after: now() - newest.at };
    return roundOf(ended, judge(route, fate, newest.at, newest.submitted));
  } finally {
    await eyes.close();
  }
}

/** Looks for what is under way of `route`, without sending anything. */
export async function lookAgain(
  route: Route,
  station: Station,
  signal: AbortSignal,
): Promise<readonly Result[]> {
  const awaited = await station.pending.of(route.route);
  if (awaited.length === 0) return [];
  const eyes = newEyes(route.mailboxes, signal);
  try {
    return (await pursue(route, station, { eyes, awaited, until: station.now() })).ended;
  } finally {
    await eyes.close();
  }
}

/** Told to stop before anything was sent. */
const interrupted = { kind: "unseen", reason: "interrupted" } as const satisfies Fate;

function roundOf(ended: readonly Result[], newest: Result | undefined): Round {
  const all = newest === undefined || ended.includes(newest) ? ended : [...ended, newest];
  const standing = all.reduce((one, other) => (urgency[other.grade] >= urgency[one.grade] ? other : one));
  return { ended, standing };
}

async function send(
  route: Route,
  { key, now, random, pending }: Station,
  signal: AbortSignal,
): Promise<Pending | { readonly fate: Fate; readonly at: number }> {
  const { from, to } = route;
  const { mark, submitted } = await route.turn(async () => {
    const fresh = newMark(random(16), now()); // the time of waiting for a turn is nobody's delay
    const octets = writeMessage(fresh, { key, from, to }, route.route);
    if (signal.aborted) return { mark: fresh, submitted: interrupted };
    return { mark: fresh, submitted: await route.submit({ from, to, envid: fresh.id }, octets) };
  });
  if (submitted.kind !== "submitted") return { fate: submitted, at: mark.at };
  const note: Pending = { ...mark, route: route.route, from, to, submitted: submitted.took };
  await pending.add(note);
  return note;
}

interface Chase {
  readonly eyes: Eyes;
  readonly awaited: readonly Pending[];
  readonly until: number;
}

interface Pursued {
  readonly ended: readonly Result[];
  readonly waiting: readonly Pending[];
  /** Why the mailboxes could not be looked at, where that was so at last. */
  readonly trouble?: Fate;
}

/** Looks into the mailboxes until all of `awaited` have come to their end, or it is `until`; once in any case. */
async function pursue(route: Route, station: Station, { eyes, awaited, until }: Chase): Promise<Pursued> {
  const { now, pause } = station;
  const { signal } = eyes;
  const ended: Result[] = [];
  let waiting = awaited;
  const since = Math.min(...awaited.map(({ at }) => at));
  let absentAt: number | undefined;
  for (let step = shortest; waiting.length > 0; step = Math.min(step * 1.5, longest)) {
    const begun = now();
    const letters = await eyes.look(since, wantedBy(waiting));
    waiting = await told(route, station, waiting, { letters, ended, absentAt });
    if (!eyes.trouble()) absentAt = begun;
    if (waiting.length === 0 || now() >= until || signal.aborted || eyes.blind()) break;
    await pause(Math.min(step, until - now()), signal);
  }
  const trouble = eyes.trouble();
  // What cannot be seen may be there, until it is so old that it would have been deleted.
  waiting = await givenUp(route, station, waiting, { ended, limit: trouble ? station.keep : route.crit });
  if (trouble) return { ended, waiting, trouble };
  await tidy(route, station, eyes);
  return { ended, waiting };
}

/** The identifier alone is looked at, as it is cheap and cannot be guessed; the signature is when the letter is there. */
const wantedBy = (waiting: readonly Pending[]): Wanted => ({
  mark: (field) => waiting.some(({ id }) => field.startsWith(id)),
  report: (octets) => waiting.some(({ id }) => octets.includes(id)),
});

interface Seen {
  readonly letters: readonly Letter[];
  readonly ended: Result[];
  /** When all mailboxes were looked into before, and what is still waited for was not there. */
  readonly absentAt: number | undefined;
}

/** Those of `waiting` of which `letters` tell nothing; what became of the others goes to `ended`. */
async function told(
  route: Route,
  { key, pending, now }: Station,
  waiting: readonly Pending[],
  { letters, ended, absentAt }: Seen,
): Promise<readonly Pending[]> {
  const left: Pending[] = [];
  for (const one of waiting) {
    const { id, at, from, to, submitted } = one;
    const bound = { key, from, to };
    const { authority } = route;
    const octets = writeMessage({ id, at }, bound, route.route);
    const sent: Sent = {
      ...{ mark: { id, at }, bound, octets },
      ...(absentAt !== undefined && { absentAt }),
      ...(authority !== undefined && { authority }),
    };
    const fate = fateIn(letters, sent, now());
    if (!fate) left.push(one);
    else if (await pending.remove(id)) ended.push(judge(route, fate, at, submitted));
  }
  return left;
}

/** Tells of what is lost, and gives what is left. */
async function givenUp(
  route: Route,
  { pending, now }: Station,
  waiting: readonly Pending[],
  { ended, limit }: { readonly ended: Result[]; readonly limit: number },
): Promise<readonly Pending[]> {
  const left: Pending[] = [];
  for (const one of waiting) {
    const after = now() - one.at;
    if (after <= limit) left.push(one);
    else if (await pending.remove(one.id))
      ended.push(judge(route, { kind: "missing", after }, one.at, one.submitted));
  }
  return left;
}

/** Deletes old probe mail; where that fails it stays until the next round. */
async function tidy({ from, to }: Route, { key, keep, now }: Station, eyes: Eyes): Promise<void> {
  await eyes.tidy(now() - keep, (mark) => readMark(mark, { key, from, to }) !== undefined);
}

/** Turns: so many do their work at the same time, and the others wait. */
export type Turn = <Value>(work: () => Promise<Value>) => Promise<Value>;

/** Turns for `lanes` at the same time. */
export function turns(lanes: number): Turn {
  const waiting: (() => void)[] = [];
  let free = lanes;
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
