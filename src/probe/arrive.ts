/** One run of the probe with --arrive: it sends a marked message, and looks whether and when it arrives. */
import type { FoundMessage, OpenMailbox, SearchCriteria } from "./arrival/mailbox.ts";
import { type MailboxWatcher, watchMailboxes } from "./arrival/mailbox-watcher.ts";
import {
  type MarkBinding,
  markField,
  markOf,
  newMark,
  type ProbeMark,
  readMark,
  writeMark,
} from "./arrival/mark.ts";
import { fateIn, type SentProbe } from "./arrival/matching.ts";
import type { ReceivedHop } from "./arrival/trace.ts";
import { statusOf } from "./exit-status.ts";
import { submissionFailure } from "./monitor/submit.ts";
import { nagiosText } from "./nagios.ts";
import type { ArrivalPlan, MessageData, ProbePlan } from "./plan.ts";
import { conclude, type FinishedRun, type OutputStreams, runShown } from "./probe.ts";
import { type Fate, type ProbeOutcome, type ProbeResult, resultOf, seconds } from "./result.ts";
import { type ArrivedSignature, type ArrivedSignatures, signatureText } from "./signatures.ts";
import type { ProbeDependencies } from "./transaction/session.ts";
import { silentOutput, silentTranscript } from "./transaction/smtp-check.ts";

/** What the wait needs from outside. */
export interface ArrivalDependencies {
  readonly open: OpenMailbox;
  /** Shows that it is waiting; returns what ends that. */
  readonly waiting: (words: string) => () => void;
  /** Resolves after so many milliseconds, or when `signal` comes. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  /** Verifies the signatures of what has arrived. */
  readonly signaturesOf: (message: Buffer) => Promise<ArrivedSignatures>;
}

type PlanWithArrival = ProbePlan & { readonly arrival: ArrivalPlan; readonly data: MessageData };

/** A plan whose message is to arrive somewhere. */
export const hasArrival = (plan: ProbePlan): plan is PlanWithArrival =>
  plan.arrival !== undefined && plan.data !== undefined;

/**
 * Opens the mailbox, carries out `plan`, waits for the message and reports. Returns the exit status: of the SMTP
 * session where that failed, else of the arrival; with --nagios the grade.
 */
export async function probeArrival(
  plan: PlanWithArrival,
  streams: OutputStreams,
  dependencies: ProbeDependencies,
  watch: ArrivalDependencies,
): Promise<number> {
  const { arrival } = plan;
  const watcher = watchMailboxes([watch.open], watch.signal);
  try {
    await watcher.open(); // before anything is sent, as it may be the listener
    const trouble = watcher.trouble();
    if (trouble) return report(plan, streams, dependencies, { fate: trouble, at: dependencies.now() });
    const mark = newMark(dependencies.random(16), dependencies.now());
    const bound = boundOf(plan, arrival.key ?? dependencies.random(32));
    const marked = withMark(plan, mark, bound);
    const spoken = await runShown(quietFor(marked), arrival.nagios ? unseen : streams, dependencies);
    const { at } = mark;
    if (spoken.status !== 0) {
      const { user = "", password = "" } = plan.auth ?? {};
      const fate = submissionFailure(spoken.status, spoken.recorded, { user, password });
      return report(plan, streams, dependencies, { fate, at, spoken });
    }
    const octets = unstuffed(marked.data);
    const { authority } = arrival;
    const sent: SentProbe = { mark, bound, octets, ...(authority !== undefined && { authority }) };
    const fate = await awaited(watcher, sent, arrival.timeout, dependencies, watch);
    if (arrival.key)
      await watcher.tidy(dependencies.now() - arrival.keep, (text) => readMark(text, bound) !== undefined);
    return report(plan, streams, dependencies, { fate, at, spoken });
  } finally {
    await watcher.close();
  }
}

/** Milliseconds between two looks: short at first, then longer, to spare somebody else's mailbox. */
const shortest = 250;
const longest = 5000;

async function awaited(
  watcher: MailboxWatcher,
  sent: SentProbe,
  timeout: number,
  { now }: ProbeDependencies,
  watch: ArrivalDependencies,
): Promise<Fate> {
  const { id, at } = sent.mark;
  const until = now() + timeout;
  const wanted: SearchCriteria = {
    mark: (field) => field.startsWith(id),
    report: (octets) => octets.includes(id),
  };
  let absentAt: number | undefined;
  const waited = watch.waiting("waiting for the message");
  try {
    for (let step = shortest; ; step = Math.min(step * 1.5, longest)) {
      const begun = now();
      const messages: readonly FoundMessage[] = await watcher.look(at, wanted);
      const fate = fateIn(messages, { ...sent, ...(absentAt !== undefined && { absentAt }) }, now());
      if (fate) return await withSignatures(fate, messages, sent, watch);
      const trouble = watcher.trouble();
      if (!trouble) absentAt = begun;
      if (now() >= until || watch.signal.aborted || watcher.isHopeless())
        return trouble ?? { kind: "missing", after: now() - at };
      await watch.pause(Math.min(step, until - now()), watch.signal);
    }
  } finally {
    waited();
  }
}

/** `fate`, with what the signatures of the message are worth, if all of it is here. */
async function withSignatures(
  fate: Fate,
  messages: readonly FoundMessage[],
  { mark, bound }: SentProbe,
  { signaturesOf }: ArrivalDependencies,
): Promise<Fate> {
  if (fate.kind !== "arrived") return fate;
  const own = messages.find(({ octets }) => readMark(markOf(octets), bound)?.id === mark.id);
  if (own === undefined || own.octets.length < own.size) return fate;
  return { ...fate, signatures: (await signaturesOf(own.octets)).signatures };
}

/** The whole envelope, so that the mark fits no other. */
const boundOf = ({ protocol }: ProbePlan, key: Uint8Array): MarkBinding => ({
  key,
  from: protocol.from,
  to: protocol.to.join(","),
});

/** The plan with the mark as its message's first field, and as its ENVID where it has none. */
function withMark(plan: PlanWithArrival, mark: ProbeMark, bound: MarkBinding): PlanWithArrival {
  const field = Buffer.from(`${markField}: ${writeMark(mark, bound)}\r\n`);
  const { data, protocol } = plan;
  return {
    ...plan,
    protocol: { envid: mark.id, ...protocol },
    data: { ...data, octets: Buffer.concat([field, data.octets]) },
  };
}

/** RFC 5321 section 4.5.2, reversed. */
const unstuffed = ({ octets }: MessageData): Buffer =>
  Buffer.from(Buffer.from(octets).toString("latin1").replace(/^\.\./gm, "."), "latin1");

const quietFor = (plan: PlanWithArrival): PlanWithArrival =>
  plan.arrival.nagios ? { ...plan, output: { ...silentOutput, json: false } } : plan;

const nowhere = { write: () => undefined, terminal: false };
const unseen: OutputStreams = { stdout: nowhere, stderr: nowhere };

/** Exit statuses where the SMTP session went well. */
const statuses: Readonly<Partial<Record<ProbeOutcome, number>>> = {
  inbox: statusOf("ok"),
  spam: statusOf("spam"),
  late: statusOf("late"),
  overdue: statusOf("late"),
  pending: statusOf("lostMail"), // interrupted before it was there
  delayed: statusOf("lostMail"),
  lost: statusOf("lostMail"),
  returned: statusOf("returned"),
  unseen: statusOf("unseen"),
};

interface ArrivalEnd {
  readonly fate: Fate;
  readonly at: number;
  /** Absent where there was no SMTP session. */
  readonly spoken?: FinishedRun;
}

function report(
  plan: PlanWithArrival,
  streams: OutputStreams,
  dependencies: ProbeDependencies,
  { fate, at, spoken }: ArrivalEnd,
): number {
  const { arrival } = plan;
  const submitted = spoken?.status === 0 ? Math.round(spoken.took) : undefined;
  const judged = { ...arrival, route: "probe", provider: "", grades: {} };
  const result = resultOf(judged, fate, at, submitted);
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
      ...silentTranscript,
      error: (text: string) => streams.stderr.write(Buffer.from(`*** ${text}\n`)),
    },
  };
  if (spoken === undefined || spoken.status === 0) show(result, fate, transcript);
  conclude({ status, recorded, took }, plan, streams, dependencies, { arrival: asJson(result, fate) });
  return status;
}

/** A message that did not arrive is an error, which --silent does not hide. */
function show(result: ProbeResult, fate: Fate, transcript: FinishedRun["transcript"]): void {
  const [verdict = "", ...more] = arrivalLines(result, fate);
  if (fate.kind === "arrived") transcript.info(verdict);
  else transcript.error(verdict);
  for (const line of more) transcript.info(line);
}

const asJson = ({ outcome, grade, words }: ProbeResult, fate: Fate): unknown => ({
  outcome,
  grade,
  words,
  ...fate,
});

/**
 * The result, and for a message that arrived its hops, what the receiving side found, and what was changed: a line
 * each.
 */
function arrivalLines({ words }: ProbeResult, fate: Fate): readonly string[] {
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
    ...signatureLines(fate.signatures),
  ];
}

function signatureLines(signatures: readonly ArrivedSignature[] | undefined): readonly string[] {
  if (signatures === undefined) return [];
  if (signatures.length === 0) return ["It has no DKIM signature"];
  return signatures.map((one) => plain(`DKIM ${signatureText(one)}`));
}

const kinds = {
  "field-gone": (field: string) => `${field} is gone`,
  "field-changed": (field: string) => `${field} is another`,
  "field-added": (field: string) => `${field} was added`,
  "body-changed": () => "the body is another",
} as const;

function hopWords({ by, from, took, skew }: ReceivedHop): string {
  const who = `${by === "" ? "somebody" : by}${from === "" ? "" : ` from ${from}`}`;
  const time = took === undefined ? "at a time that cannot be read" : `after ${duration(took)}`;
  return `${who}, ${time}${skew === undefined ? "" : `; its clock is off by ${seconds(skew)} or more`}`;
}

const duration = (took: number): string => (took < 0 ? `-${seconds(-took)}` : seconds(took));

/** Strangers wrote the names. */
const plain = (text: string): string => text.replace(/[^\x20-\x7e]+/g, "?").slice(0, 300);
