/** One run of the probe: what it shows while it runs, and what is said about it at the end. */

import type { Plan } from "./plan.ts";
import type { World } from "./transaction/session.ts";
import { run } from "./transaction/transaction.ts";
import { openJournal } from "./transcript/journal.ts";
import { asJson, summary } from "./transcript/report.ts";
import { openTranscript, type Stream } from "./transcript/transcript.ts";

/** Where it shows itself. */
export interface Streams {
  readonly stdout: Stream;
  readonly stderr: Stream;
}

/** Does what `plan` says, and shows it as `plan.output` has it. Returns the exit status (transaction/exit.ts). */
export async function probe(plan: Plan, streams: Streams, world: World): Promise<number> {
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
  const took = world.clock() - begun;
  if (output.json) {
    const document = asJson(journal.read(), status, world.now(), took);
    streams.stdout.write(Buffer.from(`${JSON.stringify(document, null, 2)}\n`));
  } else if (streams.stderr.terminal && output.silent === 0 && !output.hide.all) {
    streams.stderr.write(Buffer.from(`${summary(journal.read(), status, took)}\n`));
  }
  return status;
}

const nowhere: Stream = { write: () => undefined, terminal: false };
