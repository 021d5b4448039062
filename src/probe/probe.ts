/** One run of the probe: the session is shown while it runs; at the end comes JSON, or one line for a terminal. */

import { exitStatuses } from "./exit-status.ts";
import type { ProbePlan } from "./plan.ts";
import { daysLeft, endOf } from "./tls.ts";
import type { ProbeDependencies } from "./transaction/session.ts";
import { run } from "./transaction/transaction.ts";
import { openJournal, type RecordedStep, type RunRecord } from "./transcript/journal.ts";
import { type OutputStream, openTranscript, type Transcript } from "./transcript/transcript.ts";

/** Where output goes. */
export interface OutputStreams {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

/** Carries out `plan`, and shows it as `plan.output` says. Returns the exit status (exit-status.ts). */
export async function probe(
  plan: ProbePlan,
  streams: OutputStreams,
  dependencies: ProbeDependencies,
): Promise<number> {
  const spoken = await runShown(plan, streams, dependencies);
  conclude(spoken, plan, streams, dependencies);
  return spoken.status;
}

/** A session that is over, and what is needed to report it. */
export interface FinishedRun {
  readonly status: number;
  readonly recorded: RunRecord;
  /** Milliseconds. */
  readonly took: number;
  /** For what else is to be shown. */
  readonly transcript: Transcript;
}

/** Runs the session, and shows it meanwhile. */
export async function runShown(
  plan: ProbePlan,
  streams: OutputStreams,
  dependencies: ProbeDependencies,
): Promise<FinishedRun> {
  const { output } = plan;
  const begun = dependencies.clock();
  const journal = openJournal();
  const stdout = output.json ? nowhere : streams.stdout;
  const transcript = openTranscript(output, stdout, streams.stderr);
  const recording = {
    ...transcript,
    error(text: string): void {
      journal.error(text);
      transcript.error(text);
    },
  };
  const status = await run(plan, recording, journal, dependencies);
  return { status, recorded: journal.read(), took: dependencies.clock() - begun, transcript: recording };
}

/** Reports how it ended: as JSON, with `more` in it, or in one line on a terminal. */
export function conclude(
  { status, recorded, took }: Pick<FinishedRun, "status" | "recorded" | "took">,
  { output }: ProbePlan,
  streams: OutputStreams,
  dependencies: ProbeDependencies,
  more: Readonly<Record<string, unknown>> = {},
): void {
  if (output.json) {
    const document = { ...asJson(recorded, status, dependencies.now(), took), ...more };
    streams.stdout.write(Buffer.from(`${JSON.stringify(document, null, 2)}\n`));
  } else if (streams.stderr.terminal && output.silent === 0 && !output.hide.all) {
    streams.stderr.write(Buffer.from(`${summary(recorded, status, took)}\n`));
  }
}

const nowhere: OutputStream = { write: () => undefined, terminal: false };

const meaningOf = (status: number): string =>
  Object.values(exitStatuses).find(([number]) => number === status)?.[1] ?? "";

/** `delivered (250 2.0.0 Ok): mail.example.org:587, TLSv1.3, PLAIN, 0.42 s`. `took` is in milliseconds. */
export function summary(recorded: RunRecord, status: number, took: number): string {
  const { server, tls, auth, errors } = recorded;
  const facts = [server, tls?.version, auth, `${(took / 1000).toFixed(2)} s`].filter(
    (fact) => fact !== undefined,
  );
  return `${outcomeText(recorded, status, errors)}: ${facts.join(", ")}`;
}

function outcomeText({ steps }: RunRecord, status: number, errors: readonly string[]): string {
  const message = steps.findLast(({ at }) => at === "DOT");
  if (status === 0) return message === undefined ? "done" : `delivered (${lastLine(message)})`;
  const refusal = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = refusal === undefined || refusal.reply.length === 0 ? errors.at(-1) : lastLine(refusal);
  return `failed, status ${status} (${reason?.replaceAll("\n\t", " ") ?? meaningOf(status)})`;
}

/** Without control characters, which a terminal would obey. */
const lastLine = ({ reply }: RecordedStep): string =>
  (reply.at(-1) ?? "").replace(/\p{Cc}/gu, "?").slice(0, 200);

/** What --json prints. `now` and `took` are in milliseconds, since the epoch and of the run. */
export function asJson(
  recorded: RunRecord,
  status: number,
  now: number,
  took: number,
): Readonly<Record<string, unknown>> {
  const { tls } = recorded;
  return {
    status,
    meaning: meaningOf(status),
    server: recorded.server,
    milliseconds: Math.round(took),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            version: tls.version,
            cipher: tls.cipher,
            bits: tls.bits,
            trusted: tls.distrust === undefined,
            distrust: tls.distrust,
            host: tls.host,
            hostMatches: tls.hostMatches,
            dane: recorded.dane,
            chain: tls.peer.map((certificate) => ({
              subject: certificate.subject,
              issuer: certificate.issuer,
              alternativeNames: certificate.subjectAltName,
              notAfter: endOf(certificate),
              daysLeft: daysLeft(certificate, now),
              sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
            })),
          },
        }),
    auth: recorded.auth,
    steps: recorded.steps,
    errors: recorded.errors,
  };
}
