/**
 * Half of the checks are the service's user's: it meets files, folders and mounts as they are for it. Where root asks, this
 * program is started once more, becomes that user before it looks, and tells what it found.
 */
import { print } from "../../cli/output.ts";
import { exitStatus } from "../../failure.ts";
import { become, canBecome, wordsAs } from "../system-user.ts";
import type { CheckContext } from "./context.ts";
import { lookAt } from "./looks.ts";
import { type CheckId, type CheckRowResult, cannotTell } from "./rows.ts";
import { askSecond, taskGiven } from "./second-process.ts";

/** Set for the second process, which reads on standard input what it is to do. */
const variable = "TPA_SUBMIT_CHECK_TAKEN_ON";

interface TakenOn {
  readonly context: Omit<CheckContext, "now">;
  readonly ids: readonly CheckId[];
}

/** Milliseconds that the second process has to start, where the checks may not take their time. Our choice. */
const startsWithin = 5_000;

/** What the checks `ids` find, in a process of its own where root asks for another user. */
export async function lookAsService(
  context: CheckContext,
  ids: readonly CheckId[],
): Promise<readonly CheckRowResult[]> {
  if (process.geteuid?.() !== 0 || context.user.uid === 0) return lookAt(context, ids);
  const taken: TakenOn = { context, ids };
  const { program, patience } = context;
  const limit = patience === null ? null : startsWithin + patience;
  // By itself where it can: the program may lie where that user cannot even start it, which is a finding then.
  const words = canBecome() ? undefined : (own: readonly string[]) => wordsAs(context.user, own);
  const answer = await askSecond(taken, { program, variable, limit, cwd: "/", words });
  if ("said" in answer) return JSON.parse(answer.said) as readonly CheckRowResult[]; // the same program wrote it
  const trouble = `could not look as ${context.user.name}: ${answer.trouble}`;
  return [{ check: "service", ...cannotTell("", trouble) }];
}

/** The work of the second process; undefined in any other. */
export async function takenOn(now: () => number): Promise<number | undefined> {
  const task = await taskGiven(variable);
  if (task === undefined) return undefined;
  const { context, ids } = JSON.parse(task) as TakenOn;
  if (process.geteuid?.() === 0) become(context.user);
  print(`${JSON.stringify(await lookAt({ ...context, now }, ids))}\n`);
  return exitStatus.ok;
}
