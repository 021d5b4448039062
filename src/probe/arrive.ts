/** One run of the probe that wants to know whether its message arrives: --arrive. */
import type { Letter, OpenMailbox, Wanted } from "./arrival/mailbox.ts";
import { type Eyes, newEyes } from "./arrival/mailbox-watcher.ts";
import { type Bound, type Mark, markField, newMark, readMark, writeMark } from "./arrival/mark.ts";
import { fateIn, type Sent } from "./arrival/matching.ts";
import type { Hop } from "./arrival/trace.ts";
import { statusOf } from "./exit-status.ts";
import { whyNot } from "./monitor/submit.ts";
import { nagiosText } from "./nagios.ts";
import type { Arrival, Data, Plan } from "./plan.ts";
import { conclude, converse, type Spoken, type Streams } from "./probe.ts";
import { type Fate, judge, type Outcome, type Result, seconds } from "./result.ts";
import type { World } from "./transaction/session.ts";
import { nothingShown, silence } from "./transaction/smtp-check.ts";

/** What waiting takes from outside. */
export interface Watch {
  readonly open: OpenMailbox;
  /** Shows somebody that it goes on; returns what ends that. */
  readonly waiting: (words: string) => () => void;
  /** Resolves after so many milliseconds, or when `signal` comes. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

type Expecting = Plan & { readonly arrival: Arrival; readonly data: Data };

/** A plan whose message is to arrive somewhere. */
export const expects = (plan: Plan): plan is Expecting =>
  plan.arrival !== undefined && plan.data !== undefined;

/**
 * Opens the mailbox, does what `plan` says, waits for the message and tells of it. Returns the exit status: of the
 * conversation where that failed, else of the arrival; with --nagios the grade.
 */
export async function probeArrival(
  plan: Expecting,
  streams: Streams,
  world: World,
  watch: Watch,
): Promise<number> {
  const { arrival } = plan;
  const eyes = newEyes([watch.open], watch.signal);
  try {
    await eyes.open(); // before anything is sent, as it may be where the message arrives
    const blind = eyes.trouble();
    if (blind) return tell(plan, streams, world, { fate: blind, at: world.now() });
    const mark = newMark(world.random(16), world.now());
    const bound = boundOf(plan, arrival.key ?? world.random(32));
    const marked = withMark(plan, mark, bound);
    const spoken = await converse(quietFor(marked), arrival.nagios ? unseen : streams, world);
    const { at } = mark;
    if (spoken.status !== 0) {
      const { user = "", password = "" } = plan.auth ?? {};
      const fate = whyNot(spoken.status, spoken.recorded, { user, password });
      return tell(plan, streams, world, { fate, at, spoken });
    }
    const octets = unstuffed(marked.data);
    const { authority } = arrival;
    const sent: Sent = { mark, bound, octets, ...(authority !== undefined && { authority }) };
    const fate = await awaited(eyes, sent, arrival.timeout, world, watch);
    if (arrival.key)
      await eyes.tidy(world.now() - arrival.keep, (text) => readMark(text, bound) !== undefined);
    return tell(plan, streams, world, { fate, at, spoken });
  } finally {
    await eyes.close();
  }
}

/** Milliseconds between two looks: soon at first, then seldom, as the mailbox is somebody else's. */
const shortest = 250;
const longest = 5000;

async function awaited(eyes: Eyes, sent: Sent, timeout: number, { now }: World, watch: Watch): Promise<Fate> {
  const { id, at } = sent.mark;
  const until = now() + timeout;
  const wanted: Wanted = {
    mark: (field) => field.startsWith(id),
    report: (octets) => octets.includes(id),
  };
  let absentAt: number | undefined;
  const waited = watch.waiting("waiting for the message");
  try {
    for (let step = shortest; ; step = Math.min(step * 1.5, longest)) {
      const begun = now();
      const letters: readonly Letter[] = await eyes.look(at, wanted);
      const fate = fateIn(letters, { ...sent, ...(absentAt !== undefined && { absentAt }) }, now());
      if (fate) return fate;
      const trouble = eyes.trouble();
      if (!trouble) absentAt = begun;
      if (now() >= until || watch.signal.aborted || eyes.blind())
        return trouble ?? { kind: "missing", after: now() - at };
      await watch.pause(Math.min(step, until - now()), watch.signal);
    }
  } finally {
    waited();
  }
}

/** The whole envelope, so that the mark fits no other. */
const boundOf = ({ protocol }: Plan, key: Uint8Array): Bound => ({
  key,
  from: protocol.from,
  to: protocol.to.join(","),
});

/** The plan with the mark as its message's first field, and as its ENVID where it has none. */
function withMark(plan: Expecting, mark: Mark, bound: Bound): Expecting {
  const field = Buffer.from(`${markField}: ${writeMark(mark, bound)}\r\n`);
  const { data, protocol } = plan;
  return {
    ...plan,
    protocol: { envid: mark.id, ...protocol },
    data: { ...data, octets: Buffer.concat([field, data.octets]) },
  };
}

/** RFC 5321 section 4.5.2, the other way round. */
const unstuffed = ({ octets }: Data): Buffer =>
  Buffer.from(Buffer.from(octets).toString("latin1").replace(/^\.\./gm, "."), "latin1");

const quietFor = (plan: Expecting): Expecting =>
  plan.arrival.nagios ? { ...plan, output: { ...nothingShown, json: false } } : plan;

const nowhere = { write: () => undefined, terminal: false };
const unseen: Streams = { stdout: nowhere, stderr: nowhere };

/** Exit statuses where the conversation went well. */
const statuses: Readonly<Partial<Record<Outcome, number>>> = {
  inbox: statusOf("ok"),
  spam: statusOf("spam"),
  late: statusOf("late"),
  overdue: statusOf("late"),
  pending: statusOf("lostMail"), // told to stop before it was there
  delayed: statusOf("lostMail"),
  lost: statusOf("lostMail"),
  returned: statusOf("returned"),
  unseen: statusOf("unseen"),
};

interface Told {
  readonly fate: Fate;
  readonly at: number;
  /** Absent where nothing was said. */
  readonly spoken?: Spoken;
}

function tell(plan: Expecting, streams: Streams, world: World, { fate, at, spoken }: Told): number {
  const { arrival } = plan;
  const submitted = spoken?.status === 0 ? Math.round(spoken.took) : undefined;
  const judged = { ...arrival, route: "probe", provider: "", grades: {} };
  const result = judge(judged, fate, at, submitted);
  if (arrival.nagios) {
    streams.stdout.write(Buffer.from(nagiosText([result], () => arrival)));
    return result.grade;
  }
  const status =
    spoken && spoken.status !== 0 ? spoken.status : (statuses[result.outcome] ?? statusOf("unseen"));
  const { recorded, took, transcript } = spoken ?? {
    recorded: { steps: [], errors: [result.words] },
    took: 0,
    transcript: {
      ...silence,
      error: (text: string) => streams.stderr.write(Buffer.from(`*** ${text}\n`)),
    },
  };
  if (spoken === undefined || spoken.status === 0) show(result, fate, transcript);
  conclude({ status, recorded, took }, plan, streams, world, { arrival: asJson(result, fate) });
  return status;
}

/** What has gone wrong is an error, which --silent does not hide. */
function show(result: Result, fate: Fate, transcript: Spoken["transcript"]): void {
  const [verdict = "", ...more] = arrivalLines(result, fate);
  if (fate.kind === "arrived") transcript.info(verdict);
  else transcript.error(verdict);
  for (const line of more) transcript.info(line);
}

const asJson = ({ outcome, grade, words }: Result, fate: Fate): unknown => ({
  outcome,
  grade,
  words,
  ...fate,
});

// What became of a message, in the lines that stand at the end of the transcript: pure.

/** The verdict, and for what arrived its hops, what the receiving side found, and what was changed; a line each, plain text. */
export function arrivalLines({ words }: Result, fate: Fate): readonly string[] {
  if (fate.kind !== "arrived") return [`The message did not arrive: ${words}`];
  const found = (["spf", "dkim", "dmarc"] as const).map(
    (method) => `${method.toUpperCase()} ${fate.findings[method] ?? "not told"}`,
  );
  const changes = fate.changes.map(({ kind, field }) => plain(kinds[kind](field)));
  return [
    `The message arrived ${words}`,
    ...fate.hops.map((hop, at) => plain(`Hop ${at + 1}: ${hopWords(hop)}`)),
    `The receiving side says: ${found.join(", ")}`,
    `Changed on the way: ${changes.length === 0 ? "nothing" : changes.join(", ")}`,
  ];
}

const kinds = {
  "field-gone": (field: string) => `${field} is gone`,
  "field-changed": (field: string) => `${field} is another`,
  "field-added": (field: string) => `${field} was added`,
  "body-changed": () => "the body is another",
} as const;

function hopWords({ by, from, took, skew }: Hop): string {
  const who = `${by === "" ? "somebody" : by}${from === "" ? "" : ` from ${from}`}`;
  const time = took === undefined ? "at a time that cannot be read" : `after ${duration(took)}`;
  return `${who}, ${time}${skew === undefined ? "" : `; its clock is off by ${seconds(skew)} or more`}`;
}

const duration = (took: number): string => (took < 0 ? `-${seconds(-took)}` : seconds(took));

/** Strangers wrote the names. */
const plain = (text: string): string => text.replace(/[^\x20-\x7e]+/g, "?").slice(0, 300);
