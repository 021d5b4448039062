/** An operator at work: the real `tpa-submit queue`, about messages that are on their way. */
import { program, type Relay } from "../../demo/relay.mjs";
import { run } from "../tools/child.mjs";
import type { Ordered } from "./story.ts";

/** A message that was promised. */
export interface Known {
  readonly token: string;
  readonly id: string;
}

type Act = Ordered["act"];

const outcomes: readonly Ordered["outcome"][] = ["done", "unknown", "skipped", "busy", "failed"];
const isOutcome = (word: unknown): word is Ordered["outcome"] => outcomes.some((one) => one === word);

/** Orders it for each message; `now` in milliseconds. What is not there any more is "unknown". */
export async function order(
  relay: Relay,
  act: Act,
  messages: readonly Known[],
  now: () => number,
  more: readonly string[] = [],
): Promise<readonly Ordered[]> {
  const began = now();
  const ids = messages.map(({ id }) => id);
  const { status, stdout, stderr } = await run(process.execPath, [
    program,
    "queue",
    act,
    "--config",
    relay.config,
    "--yes",
    "--json",
    ...more,
    ...ids,
  ]);
  const ended = now();
  // 66: some are gone; 74: the disk refused; 75: busy, or the spool was taken; 69 and a signal: the relay died;
  // 73 and 77: it was dead, and the disk refused.
  if (![0, 66, 69, 73, 74, 75, 77].includes(status ?? 69))
    throw new Error(`queue ${act} ended with ${String(status)}: ${stderr}`);
  const said = new Map(stdout.split("\n").flatMap(answerIn));
  const silent = status === 0 || status === 66 ? "unknown" : "lost";
  return messages.map(({ token, id }) => ({ act, token, outcome: said.get(id) ?? silent, began, ended }));
}

function answerIn(line: string): readonly (readonly [string, Ordered["outcome"]])[] {
  if (!line.startsWith("{")) return [];
  const { queue_id: id, outcome } = JSON.parse(line);
  return typeof id === "string" && isOutcome(outcome) ? [[id, outcome]] : [];
}
