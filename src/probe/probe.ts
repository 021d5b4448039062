/** One run of the probe: what it shows while it runs, and what is said about it at the end. */

import type { Plan } from "./plan.ts";
import type { World } from "./transaction/session.ts";
import { run } from "./transaction/transaction.ts";
import { openJournal, type Recorded } from "./transcript/journal.ts";
import { asJson, summary } from "./transcript/report.ts";
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
