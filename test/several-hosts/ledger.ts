/**
 * What was promised by which host and what the next hop took from which, and the judgement: nothing that was answered with
 * 250 may be lost with a host, nothing may come that was refused, and nothing may come twice but where a host was stopped,
 * cut off or without its database between the next hop's 250 and the record of it. Pure. Times in milliseconds.
 */

/**
 * A message as its client knows it. "promised": 250. "refused": no, before all of it was sent, or for good. "unsent": the
 * host was gone before. "later": all of it was sent, and the answer was 4xx, which a host gives also where it does not know
 * what became of its commit. "unknown": all of it was sent, and nothing was heard.
 */
export interface Sent {
  readonly token: string;
  /** Of the host that took it. */
  readonly host: string;
  readonly recipients: readonly string[];
  readonly outcome: "promised" | "refused" | "later" | "unknown" | "unsent";
  readonly ended: number;
  /** Where it was promised. */
  readonly id?: string;
}

/** A copy that the next hop took. */
export interface Taken {
  readonly token: string;
  readonly recipient: string;
  /** Address of the host that brought it. */
  readonly from: string;
  /** MAIL came. */
  readonly begun: number;
  /** All of it was there, and is the next hop's from here on. */
  readonly at: number;
  /** Its 250 was sent. */
  readonly answered?: number;
  readonly whole: boolean;
}

/** "too slow": it did not renew its lease in time, and others took over what it had. */
export const disasters = [
  "killed",
  "cut off",
  "stopped by SIGSTOP",
  "ended",
  "drained",
  "failover",
  "too slow",
] as const;

export type Disaster = (typeof disasters)[number];

export interface Happened {
  readonly kind: Disaster;
  /** Address of the host; "" for the database, which is everybody's. */
  readonly host: string;
  readonly at: number;
  /** When the host, or the database, was at work again; undefined where it is not yet. */
  readonly over?: number;
}

export interface Ledger {
  readonly sent: readonly Sent[];
  readonly taken: readonly Taken[];
  readonly happened: readonly Happened[];
}

export interface Judgement {
  readonly promised: number;
  readonly copies: number;
  /** A line each; none is what is hoped for. */
  readonly lost: readonly string[];
  readonly invented: readonly string[];
  readonly altered: readonly string[];
  readonly againOutside: readonly string[];
  /** Copies that came again within the known window of something that happened. */
  readonly again: ReadonlyMap<Disaster, number>;
  /** Messages that came though their clients heard nothing, or 4xx. */
  readonly unheard: number;
  readonly later: number;
  /** From what happened to a host to the first message of it that another one brought. */
  readonly takeovers: ReadonlyMap<Disaster, readonly number[]>;
}

/**
 * Milliseconds from a next hop's 250 to the end of a host that may have come before the record. A record takes some milliseconds;
 * but a host that is cut off or stopped in the middle of a transaction keeps its locks for two seconds, and the others wait.
 */
const recording = 5_000;

/** Milliseconds after a host's return in which what hung in its connections still goes out: TCP tries again at its own times. */
const unsticking = 4_000;

export function judge({ sent, taken, happened }: Ledger): Judgement {
  const letters = new Map(sent.map((one) => [one.token, one]));
  const copiesOf = by(taken, pair);
  const invented: string[] = [];
  const altered: string[] = [];
  const againOutside: string[] = [];
  const unheard = new Set<string>();
  const later = new Set<string>();
  const again = new Map<Disaster, number>();

  for (const [name, copies] of copiesOf) {
    const [first, ...more] = [...copies].sort((one, other) => one.at - other.at);
    if (first === undefined) continue;
    const letter = letters.get(first.token);
    if (!letter?.recipients.includes(first.recipient)) invented.push(`${name} was sent by nobody`);
    else if (letter.outcome === "unsent" || letter.outcome === "refused")
      invented.push(`${name} came though it was ${letter.outcome}`);
    else if (letter.outcome === "unknown") unheard.add(first.token);
    else if (letter.outcome === "later") later.add(first.token);
    if (copies.some(({ whole }) => !whole)) altered.push(`${name} came altered`);
    for (const [index, copy] of more.entries()) {
      const before = more[index - 1] ?? first;
      const excuse = windowOf(before, copy, happened);
      if (excuse !== undefined) again.set(excuse, (again.get(excuse) ?? 0) + 1);
      else
        againOutside.push(
          `${name} came from ${before.from} and ${String(Math.round(copy.at - before.at))} ms later from ${copy.from}`,
        );
    }
  }

  const promised = sent.filter(({ outcome }) => outcome === "promised");
  const lost = promised.flatMap(({ token, recipients, id, host }) =>
    recipients
      .map((recipient) => pair({ token, recipient }))
      .filter((name) => !copiesOf.has(name))
      .map((name) => `${name} is lost, promised by ${host} as ${id ?? "?"}`),
  );
  return {
    promised: promised.length,
    copies: taken.length,
    lost,
    invented,
    altered,
    againOutside,
    again,
    unheard: unheard.size,
    later: later.size,
    takeovers: takeovers(promised, copiesOf, happened),
  };
}

const pair = ({ token, recipient }: { readonly token: string; readonly recipient: string }): string =>
  `${token} to ${recipient}`;

function by<Value>(
  values: readonly Value[],
  key: (value: Value) => string,
): ReadonlyMap<string, readonly Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group) group.push(value);
    else groups.set(key(value), [value]);
  }
  return groups;
}

/**
 * Why `before` may not have been recorded when `copy` went out, or why `copy` was already under way when its host was lost.
 * What ends in good order is no reason: nothing is in doubt then.
 */
function windowOf(before: Taken, copy: Taken, happened: readonly Happened[]): Disaster | undefined {
  return happened.find(({ kind, host, at, over = Number.POSITIVE_INFINITY }) => {
    if (kind === "ended" || kind === "drained") return false;
    const isOf = ({ from }: Taken): boolean => host === "" || host === from;
    const isUnrecorded = isOf(before) && touches(before, at - recording, over + unsticking);
    return isUnrecorded || (isOf(copy) && touches(copy, at, over + unsticking));
  })?.kind;
}

/** Whether the time of a copy, from MAIL to its 250, and the other one have a moment in common. */
const touches = ({ begun, at, answered = at }: Taken, from: number, until: number): boolean =>
  begun <= until && answered >= from;

/**
 * The times of takeovers. Only what a host took since its last return counts as its own: what it took before that may be
 * another's since then.
 */
function takeovers(
  promised: readonly Sent[],
  copiesOf: ReadonlyMap<string, readonly Taken[]>,
  happened: readonly Happened[],
): ReadonlyMap<Disaster, readonly number[]> {
  const times = new Map<Disaster, number[]>();
  for (const { kind, host, at, over = Number.POSITIVE_INFINITY } of happened) {
    if (host === "") continue;
    const since = Math.max(
      0,
      ...happened.filter((other) => other.host === host && other.at < at).map(({ over: end = at }) => end),
    );
    let soonest = Number.POSITIVE_INFINITY;
    for (const { token, recipients, host: taker, ended } of promised) {
      if (taker !== host || ended < since || ended > at) continue;
      for (const recipient of recipients) {
        const copy = firstOf(copiesOf.get(pair({ token, recipient })) ?? []);
        if (copy !== undefined && copy.at > at && copy.at < over && copy.from !== host)
          soonest = Math.min(soonest, copy.at - at);
      }
    }
    if (Number.isFinite(soonest)) times.set(kind, [...(times.get(kind) ?? []), soonest]);
  }
  return times;
}

const firstOf = (copies: readonly Taken[]): Taken | undefined =>
  [...copies].sort((one, other) => one.at - other.at)[0];

/** The value below which so many percent of them are; undefined of none. */
export function percentile(values: readonly number[], percent: number): number | undefined {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)];
}
