/** One run of the probe: what it shows while it runs, and what is said about it at the end. */

import { meanings } from "./exit-status.ts";
import type { Plan } from "./plan.ts";
import { daysLeft, endOf } from "./tls.ts";
import type { World } from "./transaction/session.ts";
import { run } from "./transaction/transaction.ts";
import { openJournal, type Recorded, type Step } from "./transcript/journal.ts";
import { openTranscript, type Stream, type Transcript } from "./transcript/transcript.ts";

/** Where it shows itself. */
export interface Streams {
  readonly stdout: Stream;
  readonly stderr: Stream;
}

/** Does what `plan` says, and shows it as `plan.output` has it. Returns the exit status (transaction/exit.ts). */
export async function probe(plan: Plan, streams: Streams, world: World): Promise<number> {
  const spoken = await converse(plan, streams, world);
  conclude(spoken, plan, streams, world);
  return spoken.status;
}

/** A conversation that is over, and what is needed to tell of it. */
export interface Spoken {
  readonly status: number;
  readonly recorded: Recorded;
  /** Milliseconds. */
  readonly took: number;
  /** For what else there is to say. */
  readonly transcript: Transcript;
}

/** Has the conversation, and shows it while it goes on. */
export async function converse(plan: Plan, streams: Streams, world: World): Promise<Spoken> {
  const { output } = plan;
  const begun = world.clock();
  const journal = openJournal();
  const stdout = output.json ? nowhere : streams.stdout;
  const transcript = openTranscript(output, stdout, streams.stderr);
  const told = {
    ...transcript,
    error(text: string): void {
      journal.error(text);
      transcript.error(text);
    },
  };
  const status = await run(plan, told, journal, world);
  return { status, recorded: journal.read(), took: world.clock() - begun, transcript: told };
}

/** Says how it ended: as JSON, with `more` in it, or in a line for whoever watches. */
export function conclude(
  { status, recorded, took }: Pick<Spoken, "status" | "recorded" | "took">,
  { output }: Plan,
  streams: Streams,
  world: World,
  more: Readonly<Record<string, unknown>> = {},
): void {
  if (output.json) {
    const document = { ...asJson(recorded, status, world.now(), took), ...more };
    streams.stdout.write(Buffer.from(`${JSON.stringify(document, null, 2)}\n`));
  } else if (streams.stderr.terminal && output.silent === 0 && !output.hide.all) {
    streams.stderr.write(Buffer.from(`${summary(recorded, status, took)}\n`));
  }
}

const nowhere: Stream = { write: () => undefined, terminal: false };

// The run in one line for people who watch, and as a value for programs.

const meaningOf = (status: number): string =>
  Object.values(meanings).find(([number]) => number === status)?.[1] ?? "";

/** `delivered (250 2.0.0 Ok): mail.example.org:587, TLSv1.3, PLAIN, 0.42 s`. `took` is in milliseconds. */
export function summary(recorded: Recorded, status: number, took: number): string {
  const { server, tls, auth, errors } = recorded;
  const facts = [server, tls?.version, auth, `${(took / 1000).toFixed(2)} s`].filter(
    (fact) => fact !== undefined,
  );
  return `${outcome(recorded, status, errors)}: ${facts.join(", ")}`;
}

function outcome({ steps }: Recorded, status: number, errors: readonly string[]): string {
  const message = steps.findLast(({ at }) => at === "DOT");
  if (status === 0) return message === undefined ? "done" : `delivered (${lastLine(message)})`;
  const refusal = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = refusal === undefined || refusal.reply.length === 0 ? errors.at(-1) : lastLine(refusal);
  return `failed, status ${status} (${reason?.replaceAll("\n\t", " ") ?? meaningOf(status)})`;
}

/** On a terminal nothing of it may be obeyed. */
const lastLine = ({ reply }: Step): string => (reply.at(-1) ?? "").replace(/\p{Cc}/gu, "?").slice(0, 200);

/** What --json prints. `now` and `took` are in milliseconds, since the epoch and of the run. */
export function asJson(
  recorded: Recorded,
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
