/** The quick checks in a process of their own, for whom nothing may keep waiting: a status, and a relay at work. */
import { type CheckId, type CheckRowResult, cannotTell } from "./rows.ts";
import { askSecond, taskGiven } from "./second-process.ts";

/** Set for the second process, which reads on standard input what it is to do. */
const variable = "TPA_SUBMIT_CHECK_APART";

export interface ApartTask {
  /** The configuration. */
  readonly file: string;
  readonly ids: readonly CheckId[];
  /** Milliseconds that each check has. */
  readonly patience: number;
}

/** Milliseconds that the process has to start, and one more for the service's user. Our choice. */
const startsWithin = 12_000;

/** What the checks find; that of a check that took too long is that it is not known. */
export async function lookApart(
  task: ApartTask,
  more: { readonly signal?: AbortSignal; readonly isUnhurried?: boolean } = {},
): Promise<readonly CheckRowResult[]> {
  const program = [process.execPath, ...process.argv.slice(1, 2)];
  const answer = await askSecond(task, { program, variable, limit: startsWithin + task.patience, ...more });
  if ("said" in answer) return JSON.parse(answer.said) as readonly CheckRowResult[]; // the same program wrote it
  return [{ check: "service", ...cannotTell("", `nothing could be looked at: ${answer.trouble}`) }];
}

/** In the second process, what it is to do. */
export async function taskApart(): Promise<ApartTask | undefined> {
  const task = await taskGiven(variable);
  return task === undefined ? undefined : (JSON.parse(task) as ApartTask);
}
