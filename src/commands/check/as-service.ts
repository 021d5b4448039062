/**
 * Half of the checks are the service's user's: it meets files, folders and mounts as they are for it. Where root asks, this
 * program is started once more, becomes that user before it looks, and tells what it found.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { print } from "../../cli/output.ts";
import { exitStatus } from "../../failure.ts";
import { become, canBecome, wordsAs } from "../system-user.ts";
import type { CheckContext } from "./context.ts";
import { lookAt } from "./looks.ts";
import { type CheckId, type CheckRowResult, cannotTell } from "./rows.ts";

/** Set for the second process, which reads on standard input what it is to do. */
const variable = "TPA_SUBMIT_CHECK_TAKEN_ON";

interface TakenOn {
  readonly context: Omit<CheckContext, "now">;
  readonly ids: readonly CheckId[];
}

/** What the checks `ids` find, in a process of its own where root asks for another user. */
export async function lookAsService(
  context: CheckContext,
  ids: readonly CheckId[],
): Promise<readonly CheckRowResult[]> {
  if (process.geteuid?.() !== 0 || context.user.uid === 0) return lookAt(context, ids);
  const [node = "", program = ""] = context.program;
  const own = [node, ...process.execArgv, program, "check"] as const;
  // By itself where it can: the program may lie where that user cannot even start it, which is a finding then.
  const [first, ...words] = canBecome() ? own : wordsAs(context.user, own);
  const child = spawn(first, words, {
    cwd: "/",
    env: { ...process.env, [variable]: "1" },
    stdio: "pipe",
  });
  child.stdin.on("error", () => undefined); // it ended early: its status tells
  const takenOn: TakenOn = { context, ids };
  child.stdin.end(JSON.stringify(takenOn));
  const ended = once(child, "close");
  const [said, trouble] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = (await ended) as [number | null];
  if (status === exitStatus.ok) return JSON.parse(said) as readonly CheckRowResult[]; // the same program wrote it
  const reason = trouble.trim().split("\n")[0] ?? "";
  return [{ check: "service", ...cannotTell("", `could not look as ${context.user.name}: ${reason}`) }];
}

/** The work of the second process; undefined in any other. */
export async function takenOn(now: () => number): Promise<number | undefined> {
  if (process.env[variable] === undefined) return undefined;
  const { context, ids } = JSON.parse(await text(process.stdin)) as TakenOn;
  if (process.geteuid?.() === 0) become(context.user);
  print(JSON.stringify(await lookAt({ ...context, now }, ids)));
  return exitStatus.ok;
}
