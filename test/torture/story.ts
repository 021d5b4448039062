/**
 * What happened in a torture run, as those outside the relay saw it, and the judgement: nothing that was answered with
 * 250 may be lost, nothing may come that was not sent or was refused, and nothing may come twice but for a crash between
 * the next hop's 250 and our record, or a next hop that took a message and never said so. Pure.
 */

/** A message as its client knows it. "unknown": all of it was sent, and then the relay was gone. */
export interface Sent {
  readonly token: string;
  readonly recipients: readonly string[];
  readonly outcome: "promised" | "refused" | "unknown" | "unsent";
  /** Where it was promised. */
  readonly id?: string;
}

/** A copy that a next hop took. Times in milliseconds. */
export interface Taken {
  readonly token: string;
  readonly recipient: string;
  /** MAIL came. */
  readonly begun: number;
  /** Our 250 went out; undefined where the hop hung up instead. */
  readonly answered: number | undefined;
  readonly whole: boolean;
}

/** A report to the sender that arrived. */
export interface Told {
  readonly token: string;
  readonly recipient: string;
  readonly at: number;
}

/** What an operator's command said about one message. */
export interface Ordered {
  readonly act: "hold" | "release" | "retry" | "redirect" | "bounce" | "drop";
  readonly token: string;
  /** "lost": the relay died over it. */
  readonly outcome: "done" | "unknown" | "skipped" | "busy" | "failed" | "lost";
  readonly began: number;
  readonly ended: number;
}

export interface Story {
  readonly sent: readonly Sent[];
  readonly taken: readonly Taken[];
  readonly told: readonly Told[];
  readonly ordered: readonly Ordered[];
  /** When the relay was dead. */
  readonly deaths: readonly number[];
  /** Messages whose state the disk refused to take, once at least. */
  readonly troubled: ReadonlySet<string>;
  /** Times in which nothing could be recorded. */
  readonly outages?: readonly Outage[];
}

export interface Outage {
  readonly from: number;
  readonly to: number;
}

export interface Judgement {
  /** A line each; none is what is hoped for. */
  readonly wrong: readonly string[];
  readonly promised: number;
  /** Delivered though no client heard 250: the relay died between the promise and the word. */
  readonly unheard: number;
  /** Copies that came again after a crash, and after a hop that did not answer. */
  readonly afterCrash: number;
  readonly afterSilence: number;
  /** Reports that came again. */
  readonly toldAgain: number;
  readonly copies: number;
}

/**
 * Milliseconds from a next hop's 250 to a death that may have come before our record. Our choice: a record takes some
 * milliseconds, on a machine with nothing else to do.
 */
const recording = 3_000;

export function judge(story: Story): Judgement {
  const wrong: string[] = [];
  const sent = new Map(story.sent.map((one) => [one.token, one]));
  const orders = by(story.ordered, ({ token }) => token);
  const taken = by(story.taken, pair);
  const told = by(story.told, pair);
  let [unheard, afterCrash, afterSilence, toldAgain] = [0, 0, 0, 0];

  for (const [name, copies] of taken) {
    const [first, ...more] = [...copies].sort((one, other) => one.begun - other.begun);
    if (first === undefined) continue;
    const letter = sent.get(first.token);
    if (!letter?.recipients.includes(first.recipient)) wrong.push(`${name} was invented`);
    else if (letter.outcome === "unsent") wrong.push(`${name} came though it was not sent to its end`);
    else if (letter.outcome === "refused")
      wrong.push(`${name} came though its client heard that it was refused`);
    else if (letter.outcome === "unknown") unheard += 1;
    if (copies.some(({ whole }) => !whole)) wrong.push(`${name} came altered`);
    for (const [index, copy] of more.entries()) {
      const before = [first, ...more.slice(0, index)];
      const answered = before.flatMap(({ answered }) => (answered === undefined ? [] : [answered]));
      const unexcused = answered.filter((at) => at <= copy.begun && !isExcused(at, copy, story));
      if (unexcused.length > 0) wrong.push(`${name} came again ${twice(unexcused, copy)}`);
      else if (answered.length > 0) afterCrash += 1;
      else afterSilence += 1;
    }
    wrong.push(...disobeyed(name, copies, orders.get(first.token) ?? []));
  }

  for (const [name, reports] of told) {
    const [first, ...more] = reports;
    if (first === undefined) continue;
    const letter = sent.get(first.token);
    if (!letter?.recipients.includes(first.recipient)) wrong.push(`a report about ${name} was invented`);
    const bounced = orders.get(first.token)?.some(({ act }) => act === "bounce");
    if (!isNobody(first.recipient) && !bounced)
      wrong.push(`${name} was given up, and nothing was wrong with it`);
    toldAgain += more.length;
    if (more.length > 0 && story.deaths.length === 0 && story.troubled.size === 0)
      wrong.push(`${name} was told twice`);
  }

  const promised = story.sent.filter(({ outcome }) => outcome === "promised");
  for (const letter of promised) {
    const dropped = orders.get(letter.token)?.some(isDrop) ?? false;
    for (const recipient of letter.recipients) {
      const name = pair({ token: letter.token, recipient });
      if (isNobody(recipient) && taken.has(name))
        wrong.push(`${name} was taken, and there is no such recipient`);
      if (!taken.has(name) && !told.has(name) && !dropped)
        wrong.push(`${name} is lost, promised as ${letter.id ?? "?"}`);
    }
  }
  return {
    wrong,
    promised: promised.length,
    unheard,
    afterCrash,
    afterSilence,
    toldAgain,
    copies: story.taken.length,
  };
}

const pair = ({ token, recipient }: { readonly token: string; readonly recipient: string }): string =>
  `${token} to ${recipient}`;

const isNobody = (recipient: string): boolean => recipient.startsWith("nobody-");

/** It may have been dropped: what an order whose answer was lost did, nobody knows. */
const isDrop = ({ act, outcome }: Ordered): boolean =>
  act === "drop" && ["done", "busy", "lost", "failed"].includes(outcome);

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

/** Whether the relay died between the 250 of `answered` and the record of it, before it sent `copy`. */
function isExcused(answered: number, copy: Taken, { deaths, troubled, outages = [] }: Story): boolean {
  const died = deaths.filter((at) => answered <= at && at <= copy.begun);
  const away = (until: number): number =>
    outages.reduce(
      (sum, { from, to }) => sum + Math.max(0, Math.min(to, until) - Math.max(from, answered)),
      0,
    );
  return troubled.has(copy.token)
    ? died.length > 0
    : died.some((at) => at - answered - away(at) <= recording);
}

const twice = (answered: readonly number[], { begun }: Taken): string =>
  `${String(begun - Math.max(...answered))} ms after it had been taken, without a crash between`;

/** Copies that an operator had forbidden. */
function disobeyed(name: string, copies: readonly Taken[], orders: readonly Ordered[]): readonly string[] {
  const wrong: string[] = [];
  for (const { act, outcome, ended } of orders) {
    if (outcome !== "done" || (act !== "hold" && act !== "drop")) continue;
    const released =
      act === "drop" ? [] : orders.filter((each) => each.act === "release" && each.ended > ended);
    const until = Math.min(Number.POSITIVE_INFINITY, ...released.map(({ began }) => began));
    const during = copies.filter(({ begun }) => begun > ended && begun < until);
    if (during.length > 0) wrong.push(`${name} came after ${act} had been done`);
  }
  return wrong;
}
